"""write_stage: AVSBench's layouts as its loaders expect them, resuming, refusals."""

import csv
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moca.data.avsbench import read_avsbench
from moca.errors import InputError
from moca.media import read_steps
from moca.stage import CLASSES, StageConfig, derive_seed, sample_clip, write_stage

FORM = {"size": 48, "rate_hz": 2}


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Path:
    calls = []
    root = tmp_path_factory.mktemp("stage") / "world"
    write_stage(root, s4=(2, 1, 1), ms3=(1, 0, 1), extras=1, seed=3, progress=lambda *call: calls.append(call), **FORM)
    assert calls == [("drawing clips", done, 9) for done in range(1, 10)]
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file and its bytes."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_s4_has_avsbench_names_columns_and_masks(stage):
    folder = stage / "Single-source"
    with open(folder / "s4_meta_data.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "start", "category", "split"]
    assert [row["split"] for row in rows] == ["train", "train", "val", "test"]
    assert {row["category"] for row in rows} <= set(CLASSES)
    for row in rows:
        inside = Path(row["split"]) / row["category"]
        data, name = folder / "s4_data", row["name"]
        frames = sorted(path.name for path in (data / "visual_frames" / inside / name).iterdir())
        masks = sorted(path.name for path in (data / "gt_masks" / inside / name).iterdir())
        assert frames == [f"{name}_{number}.png" for number in range(1, 6)]
        assert masks == frames[: 1 if row["split"] == "train" else 5]
        assert (data / "audio_wav" / inside / f"{name}.wav").is_file()
        assert (data / "raw_videos" / inside / f"{name}.mp4").is_file()


def test_ms3_has_avsbench_names_columns_and_masks(stage):
    folder = stage / "Multi-sources"
    with open(folder / "ms3_meta_data.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [["ms3_train_00000", "train"], ["ms3_test_00000", "test"]]
    assert list(rows[0]) == ["video_id", "split"]
    for row in rows:
        data, name = folder / "ms3_data", row["video_id"]
        for number in range(1, 6):
            assert (data / "visual_frames" / name / f"{name}.mp4_{number}.png").is_file()
            assert (data / "gt_masks" / row["split"] / name / f"{name}_{number}.png").is_file()
        assert (data / "audio_wav" / row["split"] / f"{name}.wav").is_file()
        assert (data / "raw_videos" / f"{name}.mp4").is_file()


@pytest.mark.parametrize(("kind", "subset"), [("s4", "s4"), ("ms3", "ms3")])
def test_files_hold_exactly_what_was_drawn(stage, kind, subset):
    clip = read_avsbench(stage, subset, "test")[0]
    lead = None if kind == "ms3" else clip.category
    drawn = sample_clip(derive_seed(3, "test", kind, 0), kind, StageConfig(**FORM), lead=lead)
    for step in range(5):
        np.testing.assert_array_equal(np.asarray(Image.open(clip.frames[step])), drawn.frames[drawn.frames_at[step]])
        with Image.open(clip.masks[step]) as image:
            assert image.mode == "L"
            stored = np.asarray(image)
            np.testing.assert_array_equal(np.asarray(image.convert("1")), drawn.masks[step] > 0)  # official reading
        np.testing.assert_array_equal(stored, drawn.masks[step] * 255)
    with wave.open(str(clip.audio)) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, 80_000)
        samples = np.frombuffer(file.readframes(80_000), "<i2")
    np.testing.assert_allclose(samples / 32767, drawn.audio, atol=0.6 / 32767)


def test_raw_videos_play_with_their_sound(stage):
    video = next((stage / "Single-source").rglob("s4_test_00000.mp4"))
    steps = list(read_steps(video))
    assert len(steps) == 5
    assert steps[0].frame.shape == (48, 48, 3)
    assert np.abs(steps[0].audio).max() > 0.01


def test_extras_read_as_s4_with_empty_masks(stage):
    for folder in ("silence", "noise", "offscreen"):
        (clip,) = read_avsbench(stage / folder, "s4", "test")
        assert all(not np.asarray(Image.open(path)).any() for path in clip.masks)
        assert len(clip.masks) == 5


def test_nothing_but_the_promised_kinds_of_file_is_written(stage):
    assert {path.suffix for path in stage.rglob("*") if path.is_file()} == {
        ".csv",
        ".json",
        ".png",
        ".wav",
        ".mp4",
    }
    settings = json.loads((stage / "stage.json").read_text())
    assert (settings["format"], settings["seed"], settings["size"]) == (1, 3, 48)
    assert settings["counts"]["s4"] == {"train": 2, "val": 1, "test": 1}


def test_a_stage_resumes_and_grows_to_what_it_would_have_been(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write_stage(whole, s4=(2, 0, 0), seed=1, **FORM)
    write_stage(parts, s4=(1, 0, 0), seed=1, **FORM)
    kept = next(parts.rglob("s4_train_00000.wav"))
    lost = next(parts.rglob("s4_train_00000.mp4"))
    stamp = kept.stat().st_mtime_ns
    write_stage(parts, s4=(2, 0, 0), seed=1, **FORM)
    assert kept.stat().st_mtime_ns == stamp  # skipped
    assert contents(parts) == contents(whole)
    lost.unlink()
    write_stage(parts, s4=(2, 0, 0), seed=1, **FORM)
    assert contents(parts) == contents(whole)


def test_an_interrupt_leaves_whole_files_and_a_stage_that_can_go_on(tmp_path):
    def stop(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_stage(tmp_path / "cut", s4=(2, 0, 0), progress=stop, **FORM)
    assert not list(tmp_path.rglob("*.partial*")) and not list(tmp_path.rglob("*.csv"))
    write_stage(tmp_path / "cut", s4=(2, 0, 0), **FORM)
    write_stage(tmp_path / "whole", s4=(2, 0, 0), **FORM)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, monkeypatch):
    def full(part, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("moca.stage.layout.write_wave", full)
    with pytest.raises(InputError) as caught:
        write_stage(tmp_path / "new", s4=(1, 0, 0), **FORM)
    assert str(caught.value) == (
        f"clip s4_train_00000 cannot be written below {tmp_path / 'new' / 'Single-source'} "
        f"(No space left on device); make room there, then run the same again to continue."
    )
    assert not list(tmp_path.rglob("*.partial*"))


def test_several_workers_write_the_same_files(tmp_path):
    write_stage(tmp_path / "one", s4=(0, 0, 1), ms3=(0, 0, 1), **FORM)
    write_stage(tmp_path / "two", s4=(0, 0, 1), ms3=(0, 0, 1), workers=2, **FORM)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"s4": (1, -1, 0)},
            "s4 must be three clip counts (train, val, test) of at least 0, got (1, -1, 0); "
            "pass for example (20, 5, 5).",
        ),
        (
            {"ms3": (1, 2)},
            "ms3 must be three clip counts (train, val, test) of at least 0, got (1, 2); pass for example (20, 5, 5).",
        ),
        ({"extras": -1}, "extras must be a clip count of at least 0, got -1; pass for example 5."),
        (
            {"s4": (1, 0, 0), "workers": 0},
            "--workers must be a whole number between 1 and 256, got 0; give for example 2.",
        ),
        ({}, "a stage needs at least 1 clip, got 0; raise one of s4, ms3, avss, vggsound, vggss and extras."),
        ({"s4": (1, 0, 0), "seed": -2}, "seed must be an integer of at least 0, got -2; pass for example 0."),
    ],
)
def test_refused_requests_write_nothing(tmp_path, options, message):
    with pytest.raises(InputError) as caught:
        write_stage(tmp_path / "new", **options)
    assert str(caught.value) == message
    assert not (tmp_path / "new").exists()


def test_a_stage_of_other_settings_is_refused_and_left_alone(stage):
    before = contents(stage)
    with pytest.raises(InputError) as caught:
        write_stage(stage, s4=(1, 0, 0), seed=4, **FORM)
    assert str(caught.value) == f"{stage} holds a stage with seed 3, got seed 4; choose another folder."
    with pytest.raises(InputError, match="holds a stage with size 48, got size 64; choose another folder"):
        write_stage(stage, s4=(1, 0, 0), seed=3, size=64, rate_hz=2)
    assert contents(stage) == before


def test_folders_that_hold_something_else_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        write_stage(tmp_path, s4=(1, 0, 0))
    assert str(caught.value) == (
        f"{tmp_path} is not empty and holds no stage (no stage.json); choose an empty or new folder."
    )
    for folder in (tmp_path / "notes.txt", tmp_path / "notes.txt" / "deeper"):
        with pytest.raises(InputError) as caught:
            write_stage(folder, s4=(1, 0, 0))
        assert str(caught.value) == f"{tmp_path / 'notes.txt'} must be a folder, it is a file; choose another with -o."
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "stage.json").write_text("[")
    with pytest.raises(InputError, match="must be what a stage writes, and it cannot be understood"):
        write_stage(tmp_path / "broken", s4=(1, 0, 0))
    assert (tmp_path / "notes.txt").read_text() == "mine"
