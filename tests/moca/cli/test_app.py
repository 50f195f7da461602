"""The command line as a user meets it: exit codes, one line per error, nothing left behind."""

import json
import shutil
import subprocess
import sys
import wave

import numpy as np
import pytest

from moca.foundation.catalogue import CATALOGUE
from moca.foundation.manifest import bundled_weights
from moca.media import write_video

MINI = bundled_weights() / "mini"


def moca(*arguments, cwd=None):
    """Run the installed command; returns (exit code, stdout, stderr)."""
    run = subprocess.run(
        [sys.executable, "-c", "from moca.cli.app import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
    )
    return run.returncode, run.stdout, run.stderr


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of video with a tone."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    frames = [np.full((48, 64, 3), 40 + 10 * i, np.uint8) for i in range(8)]
    audio = (0.3 * np.sin(np.arange(32_000) / 9)).astype(np.float32)
    write_video(path, iter(frames), rate_hz=4, audio=audio, sample_rate_hz=16_000)
    return path


@pytest.fixture
def refuse(tmp_path, here):
    """The one line on stderr of a refused `moca segment`, which must leave no output folder."""

    def run(*arguments) -> str:
        code, stdout, stderr = here("segment", *arguments, "-o", tmp_path / "out")
        assert code == 2 and stdout == "" and "Traceback" not in stderr
        lines = [line for line in stderr.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1 and lines[0].startswith("error: "), stderr
        assert not (tmp_path / "out").exists()
        return lines[0].removeprefix("error: ")

    return run


def test_help_version_and_no_command():
    code, stdout, _ = moca("--version")
    assert code == 0 and stdout.startswith("moca-avs ")
    code, stdout, stderr = moca()
    assert code == 2 and "segment" in stdout and stderr == ""
    code, stdout, _ = moca("segment", "--help")
    assert code == 0 and "--steps-per-second" in stdout


def test_a_file_with_a_command_is_a_command_and_is_not_imported_to_be_listed(tmp_path, monkeypatch):
    from moca.cli import app

    (tmp_path / "greet.py").write_text(
        '"""Say hello,\nfile.txt too. Or\nmore.\n\nMore."""\nimport nothing\n\ndef command(): ...\n'
    )
    (tmp_path / "group.py").write_text('"""Several things."""\ncommand = 1\n')
    (tmp_path / "helpers.py").write_text('"""No command."""\n\ndef other(): ...\n')
    monkeypatch.setattr(app, "HERE", tmp_path)
    app.commands.cache_clear()
    try:
        assert app.commands() == {"greet": "Say hello, file.txt too.", "group": "Several things."}
    finally:
        app.commands.cache_clear()


def test_doctor_says_what_is_here():
    code, stdout, _ = moca("doctor")
    assert code == 0
    for word in (
        "torch",
        "mini",
        "huge",
        "CC BY-NC-SA",
        "device:",
        "ready: moca segment runs with --model mini",
    ):
        assert word in stdout


def hostile(tmp_path, clip, kind):
    path = tmp_path / f"{kind}.mp4"
    if kind == "text":
        path.write_text("this is not a video\n" * 20)
    elif kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (32, 48, 64, 3), dtype=np.uint8)
        write_video(path, iter(noise), rate_hz=8, audio=None, sample_rate_hz=16_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "headless":
        path.write_bytes(clip.read_bytes()[clip.stat().st_size // 2 :])
    elif kind == "zero-byte":
        path.touch()
    elif kind == "audio-only":
        with wave.open(str(path), "wb") as stream:
            stream.setparams((1, 2, 16_000, 0, "NONE", ""))
            stream.writeframes(np.zeros(16_000, np.int16).tobytes())
    return path


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("missing", "does not exist"),
        ("text", "is not a video that can be read"),
        ("truncated", "although it declares"),
        ("headless", "is not a video that can be read"),
        ("zero-byte", "is empty"),
        ("audio-only", "no video"),
    ],
)
def test_hostile_files_are_one_line(tmp_path, clip, kind, begins, refuse):
    path = hostile(tmp_path, clip, kind)
    line = refuse(path)
    assert line.startswith(f"{path} ") and begins in line and ";" in line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--sounding", "loud"], "--sounding must be one of best, ratio, otsu, level, got 'loud'; change it."),
        (["--clusters", "0"], "--clusters must be a whole number between 1 and 64, got 0; 4 suits most frames."),
        (
            ["--steps-per-second", "0"],
            "--steps-per-second must be a number above 0 and at most 100, got 0; the paper uses 1.",
        ),
        (["--proposals", "words"], "--proposals must be one of none, boxes, grid, got 'words'; change it."),
        (
            ["--proposals", "grid", "--rule", "best"],
            "--rule must be one of iou, cover, agreement, crops, got 'best'; change it.",
        ),
        (
            ["--proposals", "grid", "--match", "1"],
            "--match must be a number of at least 0 and below 1, got 1; the paper uses 0.5.",
        ),
        (["--unmatched", "all"], "--unmatched must be one of coarse, empty, got 'all'; change it."),
        (["--weights", "good"], "--weights must be one of trained, random, got 'good'; change it."),
        (
            ["--device", "tpu9"],
            "device must be auto, cpu, cuda or cuda:N and present, got tpu9; try --device cpu.",
        ),
        (
            ["--model", "tiny"],
            f"model must be {', '.join(CATALOGUE)} or a folder with a pipeline.json, got tiny; give one of them, or "
            "make one with moca train.",
        ),
    ],
)
def test_option_values_are_checked_before_any_work(tmp_path, clip, options, line, refuse):
    assert refuse(clip, *options) == line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--set", "clusters"], "--set must be KEY=VALUE, got 'clusters'; name the setting, then = and its value."),
        (
            ["--set", "clusters=many"],
            "clusters must be a whole number between 1 and 64, got 'many'; 4 suits most frames.",
        ),
        (["--set", "clusters=0"], "clusters must be a whole number between 1 and 64, got 0; 4 suits most frames."),
        (["--frozen", "--adapters", "run"], "--frozen and --adapters exclude each other; give one of them."),
    ],
)
def test_settings_are_checked_before_any_work(tmp_path, clip, options, line, refuse):
    assert refuse(clip, *options) == line


def test_an_unknown_method_names_the_known_ones(tmp_path, clip, refuse):
    assert refuse(clip, "--method", "magic").startswith("method must be one of moca")


def test_another_method_segments_with_settings_of_its_own(tmp_path, clip, monkeypatch, capsys):
    """In this process, where the method is brought without installing a package."""
    from importlib.metadata import EntryPoint

    from moca import methods
    from moca.cli.app import app

    entry = EntryPoint(name="owod-bind", value="moca.baselines.owod_bind:OwodBind", group=methods.GROUP)
    monkeypatch.setattr(methods, "entry_points", lambda group: [entry])
    common = ["segment", str(clip), "--method", "owod-bind", "-o", str(tmp_path / "out")]
    typed = {"--clusters": ("--clusters", "4"), "--frozen": ("--frozen",), "--adapters": ("--adapters", "run")}
    for flag, options in typed.items():
        with pytest.raises(ValueError) as caught:
            app([*common, *options], standalone_mode=False)
        line = f"{flag} is not for method owod-bind, whose settings are side, silence_dbfs, "
        assert str(caught.value).startswith(line)
        assert str(caught.value).endswith("; leave it out, or change those with --set.")
    assert not (tmp_path / "out").exists()
    app([*common, "--set", "bind_threshold=1", "--silence-dbfs", "-50", "--no-overlay"], standalone_mode=False)
    settings = json.loads((tmp_path / "out" / "segments.json").read_text())["settings"]
    assert settings["method"] == "owod-bind" and settings["config"]["bind_threshold"] == 1
    assert settings["config"]["silence_dbfs"] == -50
    assert "0 of 2 steps have a mask" in capsys.readouterr().out


def test_usage_errors_are_one_line_too(tmp_path, clip, refuse):
    line = "--clusters must be a whole number between 1 and 64, got 'many'; 4 suits most frames."
    assert refuse(clip, "--clusters", "many") == line
    code, _, stderr = moca("segment", clip, "--no-such-option", "-o", tmp_path / "out")
    assert code == 2 and stderr.count("\n") == 1 and "--no-such-option" in stderr


def test_huge_without_its_weights_says_how_to_get_them(tmp_path, clip, monkeypatch, refuse):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    line = refuse(clip, "--model", "huge")
    assert line.startswith("model huge needs imagebind_huge.pth (4.8 GB, licence CC BY-NC-SA 4.0: research only")


def test_adapters_of_another_encoder_are_refused(tmp_path, clip, refuse):
    from moca.adapters import save_adapters
    from moca.foundation.imagebind.weights import load_imagebind
    from moca.pipeline.encoder import frozen_towers

    towers = frozen_towers(load_imagebind(MINI / "imagebind"))
    save_adapters(tmp_path / "adapters", towers, fingerprint="1a2b3c4d5e6f7a8b")
    line = refuse(clip, "--adapters", tmp_path / "adapters")
    assert line.startswith(f"adapters in {tmp_path / 'adapters'}/ were trained on encoder 1a2b3c4d, got ")


@pytest.mark.parametrize("part", ["imagebind/model.safetensors", "adapters/adapters.safetensors"])
def test_corrupted_weights_are_refused(tmp_path, clip, part, refuse):
    model = tmp_path / "model"
    shutil.copytree(MINI, model)
    data = bytearray((model / part).read_bytes())
    (model / part).write_bytes(data[: len(data) // 2])
    card = (model / "pipeline.json").read_text()
    (model / "pipeline.json").write_text(card)
    assert str(model / part) in refuse(clip, "--model", model)


@pytest.mark.parametrize("inside", ["", "out", "out/deep"])
@pytest.mark.parametrize("command", ["segment", "evaluate", "train", "stage", "reproduce", "calibrate"])
def test_a_file_in_place_of_the_output_folder_is_refused_before_any_work(
    tmp_path, clip, here, monkeypatch, command, inside
):
    file = tmp_path / "file"
    file.write_text("in the way")
    for load in ("moca.methods.load_method", "moca.training.run._set_up", "moca.stage.writing._jobs"):
        monkeypatch.setattr(load, lambda *_, **__: pytest.fail("loaded before it was refused"))
    first = {"segment": [clip], "evaluate": [tmp_path], "train": [clip.parent], "stage": ["--s4", "1,0,0"]}
    first |= {"reproduce": ["table1", "--data", tmp_path], "calibrate": [clip.parent]}
    out = file / inside / "c.json" if command == "calibrate" else file / inside
    code, stdout, stderr = here(command, *first[command], "-o", out)
    assert (code, stdout) == (2, "")
    assert stderr == f"error: {file} must be a folder, it is a file; choose another with -o.\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["segment", "", "-o", "z"], "INPUTS"),
        (["segment", "{clip}", "", "-o", "z"], "INPUTS"),
        (["segment", "{clip}", "-o", ""], "--out"),
        (["segment", "{clip}", "-o", "z", "--model", ""], "--model"),
        (["segment", "{clip}", "-o", "z", "--adapters="], "--adapters"),
        (["segment", "{clip}", "-o", "z", "--bank", ""], "--bank"),
        (["segment", "{clip}", "-o", "z", "--match", ""], "--match"),
        (["segment", "{clip}", "-o", "z", "--set", ""], "--set"),
        (["train", "", "-o", "z"], "SOURCE"),
        (["evaluate", "", "-o", "z"], "ROOT"),
        (["stage", "--s4", "1,0,0", "--out", ""], "--out"),
        (["weights", "path", ""], "NAME"),
        (["weights", "fetch", ""], "NAMES"),
        (["doctor", "--model", ""], "--model"),
        (["compare", "", "x"], "A"),
    ],
)
def test_an_empty_text_is_refused_everywhere(tmp_path, clip, here, monkeypatch, arguments, name):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = here(*(each.format(clip=clip) for each in arguments))
    assert (code, stdout) == (2, "") and list(tmp_path.iterdir()) == []
    assert stderr == f"error: {name} must not be empty, got ''; give it a value, or leave it out.\n"


def test_segment_end_to_end_and_again(tmp_path, clip):
    code, stdout, stderr = moca("segment", clip, "-o", tmp_path / "out")
    assert code == 0 and "of 2 steps have a mask" in stdout
    assert "note: mini only knows Soundstage's drawn classes" in stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "masks", "overlay.mp4", "report.html", "segments.json",
    ]  # fmt: skip
    code, stdout, _ = moca("segment", clip, "-o", tmp_path / "out")
    assert code == 0 and "finished before, not done again" in stdout


def test_what_is_there_of_a_cut_off_file_can_be_asked_for(tmp_path, clip, here):
    path = hostile(tmp_path, clip, "truncated")
    code, stdout, stderr = here("segment", path, "-o", tmp_path / "out", "--allow-truncated")
    assert code == 0 and "0 of 2 steps" in stdout and "although it declares 4.0 s" in stderr
    assert "although it declares" in (tmp_path / "out" / "report.html").read_text()


def test_a_folder_with_a_broken_file_finishes_the_rest_and_says_so(tmp_path, clip, here):
    (tmp_path / "videos").mkdir()
    shutil.copy(clip, tmp_path / "videos" / "good.mp4")
    (tmp_path / "videos" / "bad.mp4").write_text("not a video")
    code, stdout, stderr = here("segment", tmp_path / "videos", "-o", tmp_path / "out")
    assert code == 2 and "good.mp4" in stdout
    assert f"error: 1 of 2 videos failed; see {tmp_path / 'out' / 'failures.csv'}" in stderr
    assert (tmp_path / "out" / "good_mp4" / "segments.json").is_file()


def test_a_pickle_is_never_executed(tmp_path, clip, monkeypatch, refuse):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "imagebind_huge.pth").write_bytes(pickle.dumps(Bomb()))
    monkeypatch.setenv("MOCA_WEIGHTS", str(weights))
    refuse(clip, "--model", "huge")
    assert not (tmp_path / "executed").exists()
