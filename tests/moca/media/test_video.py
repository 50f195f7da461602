"""Reading: which frame a step shows, where its sound lies, what a file says about itself."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from moca.errors import InputError
from moca.media import probe, read_steps

EVEN = [125 * k for k in range(26)]  # 8 frames a second, 3.25 s


def shown(times_ms: list[int], at_ms: float) -> int:
    """The naive answer: the last frame that starts by then."""
    return max(number for number, time in enumerate(times_ms) if time <= at_ms)


@pytest.mark.parametrize("frame_at", [0.0, 0.25, 0.5, 0.99, 1.0])
def test_a_step_shows_the_frame_at_its_moment(clips, tmp_path, frame_at):
    path = clips.write_clip(tmp_path / "clip.mp4", EVEN, rate=8, duration_ms=125)
    steps = list(read_steps(path, frame_at=frame_at))
    assert [(step.start_s, step.end_s) for step in steps] == [(0, 1), (1, 2), (2, 3), (3, 3.25)]
    moments = [1000 * (step.start_s + frame_at * (step.end_s - step.start_s)) for step in steps]
    # The end of the video itself still shows its last frame.
    assert [clips.decoded(step.frame) for step in steps] == [shown(EVEN, moment) for moment in moments]
    assert [step.index for step in steps] == [0, 1, 2, 3]


def test_the_last_part_of_a_step_is_represented_by_its_own_middle(clips, tmp_path):
    path = clips.write_clip(tmp_path / "clip.mp4", EVEN, rate=8, duration_ms=125)
    last = list(read_steps(path))[-1]
    assert (last.end_s, last.frame_s) == (3.25, 3.125)
    assert clips.decoded(last.frame) == 25


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("steps_per_s", [1, 4, 1 / 3])
def test_variable_frame_rate_goes_by_time_stamps(clips, tmp_path, suffix, steps_per_s):
    times = [0, 40, 900, 1450, 1500, 1600, 1640, 3200, 4400, 4440, 5960]
    path = clips.write_clip(tmp_path / f"clip{suffix}", times, duration_ms=40, reordered=False)
    steps = list(read_steps(path, steps_per_s=steps_per_s))
    assert len(steps) == 6 * steps_per_s and steps[-1].end_s == 6
    for step in steps:
        number = shown(times, 500 * (step.start_s + step.end_s))
        assert clips.decoded(step.frame) == number
        assert step.frame_s == pytest.approx(times[number] / 1000, abs=1e-9)
    by_count = [int(len(times) * (step.index + 0.5) / len(steps)) for step in steps]
    assert by_count != [clips.decoded(step.frame) for step in steps]  # counting frames would have differed


def test_variable_frame_rate_with_reordered_frames_in_mp4(clips, tmp_path):
    times = [0, 40, 900, 1450, 1500, 1600, 1640, 3200, 4400, 4440, 5960]
    path = clips.write_clip(tmp_path / "clip.mp4", times, duration_ms=40)
    steps = list(read_steps(path))
    # mp4 does not say how long the last frame is shown here; it must be neither lost nor stretched far.
    assert 5.96 < steps[-1].end_s < 6.5
    for step in steps[:6]:
        assert clips.decoded(step.frame) == shown(times, 1000 * step.start_s + 500)


def test_rounded_container_times_do_not_make_a_step(clips, tmp_path):
    times = [round(1000 * k / 30) for k in range(60)]  # 1 ms stamps end at 2.000 or 2.001 s
    path = clips.write_clip(tmp_path / "clip.mkv", times, rate=30)
    assert len(list(read_steps(path))) == 2


@pytest.mark.parametrize("start_ms", [0, 700, 90_000])
def test_time_zero_is_the_first_frame(clips, tmp_path, start_ms):
    wave = clips.clicks(3, 16_000, 1.25)
    track = clips.Track(samples=wave, start_s=start_ms / 1000)
    path = clips.write_clip(tmp_path / "clip.mkv", [start_ms + t for t in EVEN], rate=8, tracks=(track,))
    steps = list(read_steps(path))
    assert clips.decoded(steps[1].frame) == 12
    assert clips.moment(steps[1].audio) == pytest.approx(0.25, abs=0.001)


def test_what_an_edit_list_cuts_off_does_not_exist(clips, tmp_path):
    track = clips.Track(samples=clips.clicks(3, 16_000, 1.25), codec="aac", start_s=-0.375)
    path = clips.write_clip(tmp_path / "clip.mov", [t - 375 for t in EVEN], rate=8, tracks=(track,))
    steps = list(read_steps(path))
    assert [clips.decoded(step.frame) for step in steps] == [3 + 4, 3 + 12, 3 + 19]
    assert clips.moment(steps[0].audio) == pytest.approx(1.25 - 0.375, abs=0.001)


def test_avi_with_reordered_frames_keeps_the_order_shown(clips, tmp_path):
    path = clips.write_clip(tmp_path / "clip.avi", [40 * k for k in range(75)])
    assert [clips.decoded(step.frame) for step in read_steps(path, steps_per_s=25, frame_at=0)] == list(range(75))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(clips, tmp_path, rotation):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:8, :8], stored[-8:, :8] = (255, 0, 0), (0, 255, 0)
    path = clips.write_clip(tmp_path / "clip.mp4", [0, 500], pictures=[stored] * 2, rotation=rotation)
    info, step = probe(path), next(read_steps(path))
    expected = np.rot90(stored, -rotation // 90)
    assert info.rotation_deg == rotation
    assert step.frame.shape == expected.shape == (info.height, info.width, 3)
    assert step.frame.flags.c_contiguous
    for row, column in [(3, 3), (3, -4), (-4, 3), (-4, -4)]:
        assert np.abs(step.frame[row, column].astype(int) - expected[row, column]).max() < 12


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx264", "yuv422p", ".mkv"),
        ("libx264", "yuv444p", ".mp4"),
        ("libx264", "yuv420p10le", ".mp4"),
        ("ffv1", "gray", ".mkv"),
        ("ffv1", "gray16le", ".mkv"),
        ("ffv1", "bgr0", ".mkv"),
        ("mjpeg", "yuvj420p", ".avi"),
        ("libvpx-vp9", "yuva420p", ".webm"),
        ("mpeg2video", "yuv420p", ".mpg"),
        ("libx264", "yuv420p", ".ts"),
    ],
)
def test_any_pixel_format(clips, tmp_path, codec, pix_fmt, suffix):
    times = [40 * k for k in range(50)]
    path = clips.write_clip(tmp_path / f"clip{suffix}", times, codec=codec, pix_fmt=pix_fmt)
    steps = list(read_steps(path))
    assert [clips.decoded(step.frame) for step in steps] == [12, 37]
    assert steps[0].frame.dtype == np.uint8 and steps[0].frame.shape == (48, 64, 3)
    assert steps[0].frame.max() > 245 and steps[0].frame.min() < 10  # full contrast: the range is honoured


def test_odd_size(clips, tmp_path):
    pictures = [clips.coded(number, 67, 45) for number in range(10)]
    path = clips.write_clip(
        tmp_path / "clip.mkv", [100 * k for k in range(10)], pictures=pictures, codec="ffv1", duration_ms=100
    )
    (step,) = read_steps(path)
    assert step.frame.shape == (45, 67, 3)
    assert clips.decoded(step.frame) == 5


@pytest.mark.parametrize(
    ("rate_hz", "layout", "channels", "codec"),
    [
        (8_000, "mono", 1, "pcm_s16le"),
        (16_000, "mono", 1, "flac"),
        (22_050, "stereo", 2, "pcm_u8"),
        (44_100, "stereo", 2, "aac"),
        (48_000, "5.1", 6, "pcm_f32le"),
        (48_000, "stereo", 2, "libopus"),
        (96_000, "stereo", 2, "pcm_s32le"),
    ],
)
def test_sound_of_any_kind_lands_where_it_belongs(clips, tmp_path, rate_hz, layout, channels, codec):
    wave = clips.clicks(3.25, rate_hz, 0.3, 1.25, 2.8, channels=channels)
    track = clips.Track(samples=wave, rate_hz=rate_hz, layout=layout, codec=codec)
    path = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(track,))
    steps = list(read_steps(path))
    assert [step.audio.shape for step in steps] == [(16_000,)] * 3 + [(4_000,)]
    assert all(step.audio.dtype == np.float32 and np.abs(step.audio).max() <= 1 for step in steps)
    found = [clips.moment(step.audio) for step in steps[:3]]
    assert found == pytest.approx([0.3, 0.25, 0.8], abs=0.001)
    assert steps[1].audio.max() == pytest.approx(0.8, abs=0.05)
    assert (probe(path).sample_rate_hz, probe(path).channels) == (rate_hz, channels)


def test_sound_drifts_nowhere_over_a_long_stream(clips, tmp_path):
    moments = [k + 0.5 for k in range(60)]
    track = clips.Track(samples=clips.clicks(60, 44_100, *moments), rate_hz=44_100)
    path = clips.write_clip(tmp_path / "clip.mkv", list(range(0, 60_000, 500)), rate=2, tracks=(track,))
    assert [clips.moment(step.audio) for step in read_steps(path)] == pytest.approx([0.5] * 60, abs=0.001)


def test_mono_is_the_mean_of_the_channels(clips, tmp_path):
    wave = clips.clicks(1, 16_000, 0.5, channels=2)
    wave[1] = -0.5 * wave[0]
    track = clips.Track(samples=wave, layout="stereo")
    path = clips.write_clip(tmp_path / "clip.mkv", EVEN[:8], rate=8, tracks=(track,))
    (step,) = read_steps(path)
    assert step.audio == pytest.approx(wave.mean(axis=0), abs=1e-4)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("start_s", [-0.5, 0.3, 1.5])
def test_sound_is_placed_by_its_own_time_stamps(clips, tmp_path, start_s, rate_hz):
    track = clips.Track(samples=clips.clicks(2, rate_hz, 0.75), rate_hz=rate_hz, start_s=1 + start_s)
    path = clips.write_clip(tmp_path / "clip.mkv", [1000 + t for t in EVEN], rate=8, tracks=(track,))
    steps = list(read_steps(path))
    where, when = divmod(start_s + 0.75, 1)
    assert clips.moment(steps[int(where)].audio) == pytest.approx(when, abs=0.001)
    assert (steps[0].audio is None) == (start_s >= 1)


def test_short_sound_is_padded_and_then_absent(clips, tmp_path):
    track = clips.Track(samples=clips.clicks(1.5, 16_000, 1.25))
    path = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(track,))
    _, second, third, last = read_steps(path)
    assert second.audio.shape == (16_000,) and not second.audio[8_000:].any() and second.audio[:8_000].any()
    assert third.audio is None and last.audio is None


def test_a_pause_in_the_sound_is_silence_and_the_rest_stays_in_place(clips, tmp_path):
    wave = clips.clicks(3, 16_000, 0.5, 1.75)
    track = clips.Track(samples=wave, gap_at_s=1.024, gap_s=1.0)
    path = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(track,))
    steps = list(read_steps(path))
    assert clips.moment(steps[0].audio) == pytest.approx(0.5, abs=0.001)
    assert not steps[1].audio[500:].any()
    assert clips.moment(steps[2].audio) == pytest.approx(0.75, abs=0.001)


def test_long_sound_is_ignored_and_no_sound_is_none(clips, tmp_path):
    track = clips.Track(samples=clips.clicks(9, 16_000, 0.5))
    loud = clips.write_clip(tmp_path / "loud.mkv", EVEN, rate=8, tracks=(track,))
    mute = clips.write_clip(tmp_path / "mute.mkv", EVEN, rate=8)
    assert len(list(read_steps(loud))) == len(list(read_steps(mute))) == 4
    assert [step.audio for step in read_steps(mute)] == [None] * 4
    assert probe(mute).audio_stream is None and probe(mute).audio_streams == ()


def test_streams_can_be_chosen(clips, tmp_path):
    early, late = (clips.Track(samples=clips.clicks(3, 16_000, at)) for at in (0.25, 0.75))
    path = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(early, late), videos=2)
    info = probe(path)
    assert (info.video_streams, info.audio_streams) == ((0, 1), (2, 3))
    assert (info.video_stream, info.audio_stream) == (0, 2)
    first, other = next(read_steps(path)), next(read_steps(path, video_stream=1, audio_stream=3))
    assert (clips.decoded(first.frame), clips.decoded(other.frame)) == (
        4,
        8,
    )  # the second is one bar to the right
    assert clips.moment(first.audio) == pytest.approx(0.25, abs=0.001)
    assert clips.moment(other.audio) == pytest.approx(0.75, abs=0.001)


def test_settings_are_refused_before_the_file_is_opened():
    with pytest.raises(InputError) as caught:
        read_steps("none.mp4", steps_per_s=0)
    assert str(caught.value) == "steps_per_s must be above 0 and at most 1000, got 0."
    with pytest.raises(InputError) as caught:
        read_steps("none.mp4", frame_at=1.5)
    assert str(caught.value) == "frame_at must be between 0 (start of a step) and 1 (its end), got 1.5."
    with pytest.raises(InputError) as caught:
        read_steps("none.mp4", sample_rate_hz=16)
    assert str(caught.value) == "sample_rate_hz must be between 1000 and 384000, got 16."


def test_steps_meet_without_overlap(clips, tmp_path):
    path = clips.write_clip(
        tmp_path / "clip.mkv", EVEN, rate=8, tracks=(clips.Track(samples=clips.clicks(4, 16_000, 1)),)
    )
    steps = list(read_steps(path, steps_per_s=7.3, sample_rate_hz=11_025))
    assert all(a.end_s == b.start_s for a, b in pairwise(steps))
    whole = Fraction(13, 4) * 11_025
    assert sum(len(step.audio) for step in steps) == -(-whole.numerator // whole.denominator)


def test_real_clips(media):
    pancake, cockatoo = list(read_steps(media / "pancake.mkv")), list(read_steps(media / "cockatoo.mp4"))
    assert len(pancake) == 11 and {step.frame.shape for step in pancake} == {(240, 426, 3)}
    assert pancake[-1].end_s == pytest.approx(10.333, abs=1e-9) and len(pancake[-1].audio) == 5_328
    assert all(np.abs(step.audio).max() > 0.01 for step in pancake)
    assert len(cockatoo) == 14 and {step.frame.shape for step in cockatoo} == {(720, 1280, 3)}
    assert all(not step.audio.any() for step in cockatoo)
    info = probe(media / "cockatoo.mp4")
    assert (info.width, info.height, info.rate_hz, info.duration_s) == (1280, 720, 20.0, 14.0)
    assert (info.rotation_deg, info.video_stream, info.audio_stream) == (0, 0, 1)
    assert (info.sample_rate_hz, info.channels) == (16_000, 1)
