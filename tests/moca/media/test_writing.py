"""New videos: exact size, timing and sound, the same bytes each time, and nothing half-written."""

import os

import numpy as np
import pytest

from moca.errors import InputError
from moca.media import probe, read_steps, write_video


def refusal(target, frames, **settings) -> str:
    settings = {"rate_hz": 8, "audio": None, "sample_rate_hz": 16_000, **settings}
    with pytest.raises(InputError) as caught:
        write_video(target, frames, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("width", "height", "pix_fmt"), [(64, 48, "yuv420p"), (65, 47, "yuv444p"), (64, 47, "yuv444p")]
)
def test_size_timing_and_sound_come_back(clips, tmp_path, width, height, pix_fmt):
    import av

    path = tmp_path / "clip.mp4"
    frames = (clips.coded(number, width, height) for number in range(20))
    write_video(path, frames, rate_hz=8, audio=clips.clicks(2.5, 16_000, 1.25)[0], sample_rate_hz=16_000)
    info, steps = probe(path), list(read_steps(path))
    assert (info.width, info.height, info.rate_hz, info.duration_s) == (width, height, 8.0, 2.5)
    assert [clips.decoded(step.frame) for step in steps] == [4, 12, 18]
    assert [step.end_s for step in steps] == [1, 2, 2.5]
    assert clips.moment(steps[1].audio) == pytest.approx(0.25, abs=0.001)
    assert steps[1].audio.max() == pytest.approx(0.8, abs=0.05)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].pix_fmt == pix_fmt
        assert container.streams.audio[0].codec_context.name == "aac"
    assert os.listdir(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 160, 40)])
def test_colours_come_back(tmp_path, colour):
    frame = np.full((32, 32, 3), colour, np.uint8)
    write_video(tmp_path / "clip.mp4", [frame] * 4, rate_hz=4, audio=None, sample_rate_hz=16_000)
    (step,) = read_steps(tmp_path / "clip.mp4")
    assert np.abs(step.frame.astype(int) - colour).max() <= 4
    assert step.audio is None


@pytest.mark.parametrize("rate_hz", [1, 12.5, 30_000 / 1001, 240])
def test_any_rate(clips, tmp_path, rate_hz):
    frames = [clips.coded(number) for number in range(10)]
    write_video(tmp_path / "clip.mp4", frames, rate_hz=rate_hz, audio=None, sample_rate_hz=16_000)
    info = probe(tmp_path / "clip.mp4")
    assert info.duration_s == pytest.approx(10 / rate_hz, rel=1e-3)
    shown = read_steps(tmp_path / "clip.mp4", steps_per_s=rate_hz)
    assert [clips.decoded(step.frame) for step in shown] == list(range(10))


@pytest.mark.parametrize("sample_rate_hz", [8_000, 22_050, 48_000])
def test_sound_longer_than_the_pictures_is_written_whole(clips, tmp_path, sample_rate_hz):
    import av

    wave = clips.clicks(3, sample_rate_hz, 0.5)[0]
    write_video(tmp_path / "clip.mp4", [clips.coded(0)], rate_hz=1, audio=wave, sample_rate_hz=sample_rate_hz)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(3, abs=0.01)
    (step,) = read_steps(tmp_path / "clip.mp4")
    assert clips.moment(step.audio) == pytest.approx(0.5, abs=0.001)


def test_the_same_input_gives_the_same_bytes(clips, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 96, 128, 3), dtype=np.uint8)
    wave = np.random.default_rng(1).uniform(-1, 1, 48_000)
    for name, frames in (("a", noise), ("b", noise), ("c", noise[::-1])):
        write_video(tmp_path / f"{name}.mp4", frames, rate_hz=8, audio=wave, sample_rate_hz=16_000)
    a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_small_noisy_frames_give_the_same_bytes_every_time(tmp_path):
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (48, 48, 3), dtype=np.uint8) for _ in range(16)]
    for number in range(6):
        write_video(tmp_path / f"{number}.mp4", frames, rate_hz=8, audio=None, sample_rate_hz=16_000)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_refusals_leave_everything_as_it_was(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"before")
    frame = clips.coded(0)
    assert refusal("clip.avi", [frame]) == "a video is written as .mp4, got clip.avi; choose a name that ends in .mp4."
    assert refusal("a/clip.mp4", [frame]) == "a/clip.mp4 cannot be written: there is no folder a; create it first."
    assert refusal("clip.mp4", []) == "clip.mp4 cannot be written: a video needs at least one frame, got none."
    assert refusal("clip.mp4", [frame], rate_hz=0) == (
        "rate_hz must be above 0 and at most 1000 frames per second, got 0."
    )
    assert refusal("clip.mp4", [frame / 255]) == (
        "frame 0 must be (height, width, 3) uint8 RGB, got shape (48, 64, 3) of float64."
    )
    assert refusal("clip.mp4", [frame, frame[1:]]) == (
        "frame 1 must have the shape of the first frame, (48, 64, 3), got shape (47, 64, 3) of uint8."
    )
    assert refusal("clip.mp4", [np.zeros((1, 20_000, 3), np.uint8)]) == (
        "frame 0 must have sides of at most 16384 pixels, got shape (1, 20000, 3) of uint8."
    )
    assert refusal("clip.mp4", [frame], audio=np.zeros((2, 9))) == (
        "audio must be one channel of floats, shape (samples,), got (2, 9) of float64."
    )
    assert refusal("clip.mp4", [frame], audio=np.full(9, np.nan)) == (
        "audio must be finite, got NaN or infinite samples."
    )
    assert refusal("clip.mp4", [frame], audio=np.zeros(9), sample_rate_hz=10_000) == (
        "sample_rate_hz must be one of 7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, "
        "64000, 88200, 96000 (what AAC offers), got 10000; resample first."
    )
    assert os.listdir(tmp_path) == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == b"before"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_nothing_behind(clips, tmp_path, failure):
    def frames():
        yield clips.coded(0)
        yield clips.coded(1)
        raise failure

    with pytest.raises(failure):
        write_video(tmp_path / "clip.mp4", frames(), rate_hz=8, audio=np.zeros(1_000), sample_rate_hz=16_000)
    assert os.listdir(tmp_path) == []
