"""Where training data comes from, and how a video becomes rows."""

import math
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from moca.corpus.finding import find_clips
from moca.corpus.sources import AVSBenchSource, ReadingConfig, VideoSource, evenly_spread, square, to_int16
from moca.data.audio import read_wav
from moca.errors import InputError
from moca.foundation.preprocessing import preprocess_frames
from moca.media import read_steps, write_video
from moca.stage import write_stage


def write_clip(path: Path, *, seconds: float = 3.0, rate_hz: int = 4, sound: bool = True, seed: int = 0) -> Path:
    """Pictures that brighten with time, and a tone that grows louder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(seed).integers(0, 40, (48, 64, 3))
    frames = [(texture + 200 * number / (60 * rate_hz)).astype(np.uint8) for number in range(round(seconds * rate_hz))]
    time = np.arange(round(seconds * 16_000)) / 16_000
    audio = 0.01 * (1 + time) * np.sin(2 * np.pi * 440 * time) if sound else None
    write_video(path, frames, rate_hz=rate_hz, audio=audio, sample_rate_hz=16_000)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> VideoSource:
    """Seven seconds and a quarter."""
    path = write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", seconds=7.25)
    return VideoSource(name="a.mp4", path=path)


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Path:
    return write_stage(tmp_path_factory.mktemp("stage") / "world", s4=(2, 1, 0), ms3=(1, 0, 0), size=48, rate_hz=2)


def refusal(call, *arguments, **keywords) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_are_the_steps_as_the_encoder_would_see_and_hear_them(clip):
    rows = clip.read(ReadingConfig(image_size=32, steps_per_video=20))
    steps = list(read_steps(clip.path))[:7]  # the eighth lasts a quarter of a second
    assert rows.frames.shape == (7, 32, 32, 3) and rows.frames.dtype == np.uint8
    assert rows.waves.shape == (7, 16_000) and rows.waves.dtype == np.int16
    seen = preprocess_frames([step.frame for step in steps], 32, fit="stretch")
    assert (preprocess_frames(rows.frames, 32) == seen).all()
    assert (preprocess_frames(rows.frames, 32) != preprocess_frames([s.frame for s in steps], 32, fit="crop")).any()
    heard = np.stack([step.audio for step in steps])
    assert np.abs(rows.waves / 32767 - heard).max() <= 0.51 / 32767 and np.abs(heard).max() > 0.05
    assert rows.times_s.tolist() == [step.frame_s for step in steps] and rows.times_s.dtype == np.float64


def test_a_long_video_gives_evenly_spread_rows(clip):
    every = clip.read(ReadingConfig(image_size=16))
    few = clip.read(ReadingConfig(image_size=16, steps_per_video=3))
    places = [1, 3, 5]
    assert np.array_equal(few.frames, every.frames[places]) and np.array_equal(few.waves, every.waves[places])
    assert few.times_s.tolist() == every.times_s[places].tolist()


@pytest.mark.parametrize("count", [1, 2, 7, 10, 31, 3600])
@pytest.mark.parametrize("most", [1, 2, 3, 10, 50])
def test_spread_indices_are_as_many_as_allowed_symmetric_and_never_far_apart(count, most):
    chosen = sorted(evenly_spread(count, most))
    assert len(chosen) == min(count, most) and chosen[0] >= 0 and chosen[-1] < count
    gaps = set(np.diff(chosen))
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert abs(chosen[0] - (count - 1 - chosen[-1])) <= 1


@pytest.mark.parametrize(
    ("most", "promised", "readings"),
    [(2, 7, 1), (2, 1, 2), (2, 6, 2), (2, 900, 2), (3, 7, 1), (3, 6, 1), (3, 1, 2), (7, 1, 1), (7, 900, 2), (20, 1, 1)],
)
def test_a_wrong_promise_of_the_header_costs_at_most_a_second_reading_and_changes_nothing(
    clip, monkeypatch, most, promised, readings
):
    reading = ReadingConfig(image_size=16, steps_per_video=most)
    wanted = clip.read(reading)
    calls = []

    def counted(*arguments, **keywords):
        calls.append(arguments)
        return read_steps(*arguments, **keywords)

    monkeypatch.setattr("moca.corpus.sources.read_steps", counted)
    monkeypatch.setattr(VideoSource, "expected_steps", lambda source, reading: promised)
    rows = clip.read(reading)
    assert all(np.array_equal(got, want) for got, want in zip(rows, wanted, strict=True))
    assert len(calls) == readings


def test_the_header_usually_promises_right(clip):
    assert clip.expected_steps(ReadingConfig(image_size=16)) == 7
    assert clip.expected_steps(ReadingConfig(image_size=16, step_s=0.5)) == 15


@pytest.mark.parametrize(("seconds", "rows"), [(0.25, 1), (2.25, 2), (2.5, 3), (2.75, 3), (3.0, 3)])
def test_a_last_step_counts_from_half_its_length_or_alone(tmp_path, seconds, rows):
    source = VideoSource(name="a", path=write_clip(tmp_path / "a.mp4", seconds=seconds))
    read = source.read(ReadingConfig(image_size=16))
    assert len(read.times_s) == rows
    rest = round((seconds - (rows - 1)) * 16_000)
    if rest < 16_000:  # the rest of the second is silence; the encoder's last block may reach over the end
        assert read.waves[-1, :rest].any() and not read.waves[-1, rest + 2048 :].any()


def test_steps_and_sample_rate_may_be_others(clip):
    rows = clip.read(ReadingConfig(image_size=16, step_s=0.3, sample_rate_hz=8_001, steps_per_video=100))
    assert rows.waves.shape == (24, 2400) and (np.abs(rows.waves).max(axis=1) > 0).all()
    assert np.diff(rows.times_s).max() <= 0.5


def test_a_video_without_sound_has_silent_rows(tmp_path):
    source = VideoSource(name="a", path=write_clip(tmp_path / "a.mp4", sound=False))
    rows = source.read(ReadingConfig(image_size=16))
    assert rows.waves.shape == (3, 16_000) and not rows.waves.any() and rows.frames.any()


def test_sound_becomes_int16_cut_or_filled_up():
    assert to_int16(np.array([0, 1, -1, 2, -2, np.nan, 0.5], np.float32), 9).tolist() == [
        0, 32767, -32767, 32767, -32767, 0, 16384, 0, 0,
    ]  # fmt: skip
    assert to_int16(np.ones(5, np.float32), 3).tolist() == [32767] * 3
    assert to_int16(None, 2).tolist() == [0, 0] and to_int16(None, 2).dtype == np.int16


def test_a_square_frame_of_the_right_size_is_not_resampled():
    frame = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    assert np.array_equal(square(frame, 24), frame)
    assert square(frame[:20], 24).shape == (24, 24, 3)


def test_a_file_that_is_cut_off_is_refused_although_it_opens(clip, tmp_path):
    whole = clip.path.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="cut off"):
        assert list(read_steps(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the refusal is all that is told
        message = refusal(VideoSource(name="cut", path=path).read, ReadingConfig(image_size=16))
    assert message.startswith(f"{path} ends at ")
    assert message.endswith(" s although it declares 7.2 s; it is cut off or damaged: mend or replace it.")


def test_the_stamp_follows_the_file(tmp_path):
    source = VideoSource(name="a", path=tmp_path / "a.mp4")
    assert source.stamp() is None
    source.path.write_bytes(b"one")
    before = source.stamp()
    assert before == source.stamp() and len(before) == 16
    source.path.write_bytes(b"three")
    assert source.stamp() != before


def test_a_folder_of_videos_at_any_depth(tmp_path):
    for name in ("b/c/x.MKV", "a.mp4", "b/a.webm", "b/notes.txt", ".hidden.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"video")
    sources = find_clips(str(tmp_path))
    assert [(source.name, source.path) for source in sources] == [
        (name, tmp_path / name) for name in ("a.mp4", "b/a.webm", "b/c/x.MKV")
    ]


def test_a_stage_gives_the_training_clips_of_both_subsets_and_no_video_twice(stage):
    sources = find_clips(stage)
    assert [source.name for source in sources] == ["s4/s4_train_00000", "s4/s4_train_00001", "ms3/ms3_train_00000"]
    assert all(isinstance(source, AVSBenchSource) for source in sources)
    assert [source.name for source in find_clips(stage / "Multi-sources")] == ["ms3/ms3_train_00000"]
    assert [source.name for source in find_clips(stage / "Single-source" / "s4_data")] == [
        source.name for source in sources[:2]
    ]


def test_rows_of_an_avsbench_clip_are_its_frames_and_seconds(stage):
    source = find_clips(stage)[2]
    rows = source.read(ReadingConfig(image_size=48))
    assert rows.times_s.tolist() == [index + 15 / 16 for index in range(5)]
    assert np.array_equal(rows.frames, np.stack([step.frame for step in source.clip.steps()]))
    sound = read_wav(source.clip.audio)
    assert np.abs(rows.waves.reshape(-1) / 32767 - sound).max() <= 0.51 / 32767
    two = source.read(ReadingConfig(image_size=48, steps_per_video=2))
    assert np.array_equal(two.frames, rows.frames[[1, 3]])


def test_masks_and_labels_are_not_part_of_a_source(stage, tmp_path):
    source = find_clips(stage)[0]
    assert not any("gt_masks" in str(path) for path in source.files) and len(source.files) == 6
    table, sources = vggsound(tmp_path, there=3)
    assert sources and {field.name for field in fields(sources[0])} == {"name", "path"}
    assert "secret" in table.read_text() and not any("secret" in repr(entry) for entry in sources)


def vggsound(folder: Path, *, there: int, listed: int = 3):
    """A csv of `listed` clips of which `there` are there, and the sources found."""
    clips = folder / "clips"
    clips.mkdir()
    table = folder / "vggsound.csv"
    table.write_text("".join(f"id{number},{number},secret,train\n" for number in range(listed)))
    for number in range(there):
        (clips / f"id{number}_{number:06d}.mp4").write_bytes(b"video")
    return table, find_clips(table, clips=clips)


def test_vggsound_is_a_csv_and_a_folder(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, sources = vggsound(tmp_path, there=3)
    assert [(source.name, source.path) for source in sources] == [
        (f"id{number}_{number:06d}", tmp_path / "clips" / f"id{number}_{number:06d}.mp4") for number in range(3)
    ]


def test_clips_that_youtube_lost_are_told_in_one_line(tmp_path):
    with pytest.warns(UserWarning) as caught:
        _, sources = vggsound(tmp_path, there=2, listed=9)
    assert [str(warning.message) for warning in caught] == [
        f"vggsound.csv lists 9 train clips, 7 of them are not in {tmp_path / 'clips'} and are left out: "
        "id2_000002, id3_000003, id4_000004, ..."
    ]
    assert len(sources) == 2


def test_refusals(tmp_path, stage):
    accepted = "give a folder of videos, AVSBench's folder, or VGGSound's csv with --clips."
    assert refusal(find_clips, tmp_path / "no") == f"{tmp_path / 'no'} does not exist; {accepted}"
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    assert refusal(find_clips, video) == f"{video} is a file and no csv; {accepted}"
    assert refusal(find_clips, tmp_path, clips=tmp_path) == (
        f"--clips goes with VGGSound's csv, {tmp_path} is a folder; leave --clips out or give the csv."
    )
    table = tmp_path / "vggsound.CSV"
    table.write_text("a,1,cat,train\n")
    assert refusal(find_clips, table) == f"{table} needs the folder that holds its clips; name it with --clips."
    video.unlink()
    assert refusal(find_clips, tmp_path).startswith(f"folder {tmp_path} must hold at least one video file (.3gp, ")
    assert refusal(find_clips, stage / "Multi-sources", split="val") == (
        f"split val must have at least 1 clip, {stage / 'Multi-sources' / 'ms3_meta_data.csv'} lists 0; "
        "check its split column."
    )
    assert refusal(find_clips(stage)[0].check, ReadingConfig(image_size=48, step_s=2)) == (
        "AVSBench has a frame per second and sound at 16000 Hz, got step_s 2 and sample_rate_hz 16000; leave both out."
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_size", 15, "image_size must be a whole number between 16 and 2048 pixels, got 15; change it."),
        ("image_size", 32.0, "image_size must be a whole number between 16 and 2048 pixels, got 32.0; change it."),
        (
            "sample_rate_hz",
            999,
            "sample_rate_hz must be a whole number between 1000 and 384000 Hz, got 999; change it.",
        ),
        ("step_s", 0.0, "step_s must be a number between 0.05 and 60 seconds, got 0.0; the paper uses 1."),
        ("step_s", math.nan, "step_s must be a number between 0.05 and 60 seconds, got nan; the paper uses 1."),
        ("steps_per_video", 0, "steps_per_video must be a whole number of at least 1, got 0; change it."),
        ("steps_per_video", True, "steps_per_video must be a whole number of at least 1, got True; change it."),
    ],
)
def test_settings_are_checked(field, value, message):
    assert refusal(ReadingConfig, **{"image_size": 32, field: value}) == message
