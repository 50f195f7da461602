"""`moca calibrate` and `--calibration` as a user meets them."""

import json
import shutil

import pytest

from moca import Segmenter
from moca.pipeline.calibration_file import read_calibration
from moca.pipeline.loading import load_pipeline
from moca.stage import write_stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Six small training clips and a test clip, and two of off-screen sound."""
    return write_stage(tmp_path_factory.mktemp("stages") / "stage", s4=(6, 0, 1), extras=2, size=56)


def test_a_calibration_is_written_shown_and_used(stage, tmp_path, here, model):
    out = tmp_path / "out" / "c.json"
    arguments = ("calibrate", stage, "-o", out, "--model", model, "--offscreen", stage / "offscreen")
    code, stdout, stderr = here(*arguments, "--false-positive-rate", "0.5", "--set", "mirror=true")
    assert code == 0 and "note: It is random." in stderr
    assert sorted(path.name for path in out.parent.iterdir()) == ["c.html", "c.json"]  # the scores are gone
    lines = stdout.splitlines()
    assert lines[0] == "29 frames with sound of 6 videos; 0 videos left out" and lines[2].startswith("gates: AUC 0.")
    assert lines[3].split() == ["at", "most", "gate_rank", "own", "sound", "swapped", "noise", "silent", "off-screen"]
    assert next(line for line in lines if line.startswith("*")).split()[1] == "0.5"
    assert lines[-1] == f"next: moca segment VIDEO --model {model} --calibration {out} -o OUT"
    record = read_calibration(out)
    assert record.segment == record.frozen_segment and record.segment.settings.mirror and record.rate == 0.5
    assert record.data["offscreen_videos"] == 2
    assert Segmenter.load(model, calibration=out, device="cpu").config == record.segment.settings
    assert Segmenter.load(model, calibration=out, device="cpu", gate=0.125).config.gate == 0.125
    assert load_pipeline(model, calibration=out).frozen_segment == record.segment.settings
    again = here(*arguments, "--false-positive-rate", "0.5", "--set", "mirror=true")
    assert again[1] == stdout and read_calibration(out) == record


def test_segment_and_evaluate_take_it_and_refuse_another_models(stage, tmp_path, here, model, pipeline):
    out, video = tmp_path / "c.json", next(stage.rglob("*.mp4"))
    assert here("calibrate", stage, "-o", out, "--model", model, "--false-positive-rate", "0.9")[0] == 0
    code, _, _ = here("segment", video, "--model", model, "--calibration", out, "-o", tmp_path / "seg", "--no-overlay")
    stored = json.loads((tmp_path / "seg" / "segments.json").read_text())
    assert code == 0 and stored["settings"]["segment"]["gate"] == read_calibration(out).segment.settings.gate
    document = json.loads(out.read_text())
    for part in ("segment", "frozen_segment"):
        document[part]["fingerprints"]["encoder"] = "0" * 16
    out.write_text(json.dumps(document))
    for command in (("segment", video), ("evaluate", stage)):
        code, _, stderr = here(*command, "--model", model, "--calibration", out, "-o", tmp_path / "no")
        assert code == 2 and stderr.count("\n") == 1 and not (tmp_path / "no").exists()
        assert f"error: calibration {out} is for tiny with encoder {'0' * 16}, this model's is " in stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "{out}.txt"], "--out must name a .json file, got {out}.txt; such as {out}.json."),
        (
            ["-o", "{out}.json", "--false-positive-rate", "1"],
            "--false-positive-rate must be a number above 0 and below 1",
        ),
        (["-o", "{out}.json", "--offscreen", "{out}.mp4"], "{out}.mp4 does not exist; "),
    ],
)
def test_options_are_checked_before_any_work(stage, tmp_path, here, model, arguments, words):
    out = tmp_path / "new" / "c"
    code, stdout, stderr = here("calibrate", stage, "--model", model, *(each.format(out=out) for each in arguments))
    assert (code, stdout) == (2, "") and words.format(out=out) in stderr and not out.parent.exists()


@pytest.mark.parametrize("name", ["pipeline.json", "pipeline.html"])
def test_a_file_that_is_no_calibration_is_never_replaced(stage, tmp_path, here, model, name):
    out = tmp_path / "pipeline.json"
    (tmp_path / name).write_text("{}")
    code, stdout, stderr = here("calibrate", stage, "--model", model, "-o", out)
    assert (code, stdout) == (2, "") and (tmp_path / name).read_text() == "{}"
    assert f"error: {tmp_path / name} is there and not of a calibration; choose another file with -o." in stderr


def test_too_few_frames_are_refused_and_nothing_is_written(stage, tmp_path, here, model):
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(next(stage.rglob("*.mp4")), videos / "one.mp4")
    code, _, stderr = here("calibrate", videos, "-o", tmp_path / "c.json", "--model", model)
    assert code == 2 and "calibration needs at least 20 frames with sound of at least 2 videos, got 5 of 1; " in stderr
    assert not (tmp_path / "c.json").exists() and not (tmp_path / "c.html").exists()


def test_random_weights_have_no_calibration(tmp_path, here, stage, model):
    out = tmp_path / "c.json"
    assert here("calibrate", stage, "-o", out, "--model", model, "--false-positive-rate", "0.9")[0] == 0
    code, _, stderr = here("evaluate", stage, "-o", tmp_path / "o", "--weights", "random", "--calibration", out)
    assert code == 2 and "is for trained weights, got random ones; leave one of them out." in stderr
