"""The painted copy: every frame, its time, its size and the original sound."""

import os
import tracemalloc

import numpy as np
import pytest

from moca.errors import InputError
from moca.media import probe, read_steps, render_video

EVEN = [125 * k for k in range(26)]


def same(frame, time_s):
    return frame


def frames_of(path) -> list[tuple[float, np.ndarray]]:
    import av

    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def codecs(path) -> list[str]:
    import av

    with av.open(str(path)) as container:
        return [stream.codec_context.codec.canonical_name for stream in container.streams]


def test_every_frame_is_painted_at_its_time(clips, tmp_path):
    times = [0, 40, 900, 1450, 1500, 1600, 1640, 3200, 4400, 4440, 5960]
    source = clips.write_clip(tmp_path / "clip.mkv", [700 + time for time in times], duration_ms=40)
    seen, told = [], []

    def paint(frame, time_s):
        assert frame.shape == (48, 64, 3) and frame.dtype == np.uint8
        seen.append((clips.decoded(frame), round(1000 * time_s)))
        return 255 - frame

    render_video(source, tmp_path / "out.mp4", paint, progress=lambda *call: told.append(call))
    assert seen == list(enumerate(times))
    assert [done for _, done, _ in told] == pytest.approx([time / 1000 for time in times])
    length_s = probe(source).duration_s
    assert {(what, total) for what, _, total in told} == {("writing out.mp4", length_s)} and length_s > 6
    copy = frames_of(tmp_path / "out.mp4")
    assert [round(1000 * time) for time, _ in copy] == times  # variable frame rate kept to the millisecond
    assert [255 - clips.decoded(frame) for _, frame in copy] == list(range(len(times)))
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(6.0, abs=1e-6)
    assert codecs(tmp_path / "out.mp4") == ["h264"]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(48, 64), (45, 67)])
def test_the_copy_is_upright_and_of_the_shown_size(clips, tmp_path, rotation, size):
    stored = np.zeros((*size, 3), np.uint8)
    stored[:12, :12] = 255
    source = clips.write_clip(
        tmp_path / "clip.mp4", EVEN[:4], pictures=[stored] * 4, rotation=rotation, pix_fmt="yuv444p", rate=8
    )
    render_video(source, tmp_path / "out.mp4", same)
    expected = np.rot90(stored, -rotation // 90)
    info = probe(tmp_path / "out.mp4")
    assert (info.height, info.width, info.rotation_deg) == (*expected.shape[:2], 0)
    assert np.abs(frames_of(tmp_path / "out.mp4")[0][1].astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    ("codec", "rate_hz", "layout", "suffix", "written"),
    [
        ("aac", 44_100, "stereo", ".mp4", "aac"),
        ("aac", 44_100, "stereo", ".ts", "aac"),
        ("libmp3lame", 44_100, "stereo", ".mkv", "mp3"),
        ("libmp3lame", 8_000, "mono", ".mkv", "aac"),  # mp4 takes mp3 from 16 kHz on
        ("ac3", 48_000, "5.1", ".mkv", "ac3"),
        ("libopus", 48_000, "stereo", ".mkv", "opus"),
        ("flac", 22_050, "mono", ".mkv", "flac"),
        ("pcm_s16le", 16_000, "mono", ".mkv", "aac"),
        ("pcm_s16le", 44_100, "5.1", ".mov", "aac"),
        ("mp2", 44_100, "stereo", ".mkv", "aac"),
        ("pcm_s16le", 10_000, "mono", ".mkv", "aac"),
    ],
)
@pytest.mark.parametrize("late_s", [0.0, 0.3])
def test_the_sound_stays_with_the_pictures(clips, tmp_path, codec, rate_hz, layout, suffix, written, late_s):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    wave = clips.clicks(3, rate_hz, 0.6, 1.75, channels=channels)
    track = clips.Track(samples=wave, rate_hz=rate_hz, layout=layout, codec=codec, start_s=late_s)
    source = clips.write_clip(tmp_path / f"clip{suffix}", EVEN, rate=8, tracks=(track,))
    render_video(source, tmp_path / "out.mp4", same)
    assert codecs(tmp_path / "out.mp4") == ["h264", written]
    before, after = list(read_steps(source)), list(read_steps(tmp_path / "out.mp4"))
    for index in (0, 2 if late_s else 1):
        assert clips.moment(after[index].audio) == pytest.approx(clips.moment(before[index].audio), abs=0.001)
    info = probe(tmp_path / "out.mp4")
    assert (info.channels, info.sample_rate_hz) == (channels, rate_hz if rate_hz != 10_000 else 48_000)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_from_before_the_first_frame_is_cut(clips, tmp_path, codec):
    track = clips.Track(samples=clips.clicks(4, 16_000, 0.25, 1.6), codec=codec)
    source = clips.write_clip(tmp_path / "clip.mkv", [1000 + time for time in EVEN], rate=8, tracks=(track,))
    render_video(source, tmp_path / "out.mp4", same)
    steps = list(read_steps(tmp_path / "out.mp4"))
    assert clips.moment(steps[0].audio) == pytest.approx(0.6, abs=0.001)
    assert [clips.decoded(step.frame) for step in steps[:2]] == [4, 12]


def test_a_pause_survives_encoding(clips, tmp_path):
    track = clips.Track(samples=clips.clicks(3, 16_000, 0.5, 1.75), gap_at_s=1.024, gap_s=1.0)
    source = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(track,))
    render_video(source, tmp_path / "out.mp4", same)
    steps = list(read_steps(tmp_path / "out.mp4"))
    assert clips.moment(steps[0].audio) == pytest.approx(0.5, abs=0.001)
    assert clips.moment(steps[2].audio) == pytest.approx(0.75, abs=0.001)


def test_chosen_streams_are_rendered(clips, tmp_path):
    early, late = (clips.Track(samples=clips.clicks(3, 16_000, at)) for at in (0.25, 0.75))
    source = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(early, late), videos=2)
    render_video(source, tmp_path / "out.mp4", same, video_stream=1, audio_stream=3)
    step = next(read_steps(tmp_path / "out.mp4"))
    assert clips.decoded(step.frame) == 8  # number 4, one bar to the right
    assert clips.moment(step.audio) == pytest.approx(0.75, abs=0.001)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_failure_leaves_what_was_there(clips, tmp_path, failure):
    track = clips.Track(samples=clips.clicks(3, 16_000, 0.5), codec="aac")
    source = clips.write_clip(tmp_path / "clip.mkv", EVEN, rate=8, tracks=(track,))
    (tmp_path / "out.mp4").write_bytes(b"before")

    def paint(frame, time_s):
        if time_s > 1:
            raise failure
        return frame

    with pytest.raises(failure):
        render_video(source, tmp_path / "out.mp4", paint)
    assert sorted(os.listdir(tmp_path)) == ["clip.mkv", "out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"before"
    with pytest.raises(ValueError, match="paint must return"):
        render_video(source, tmp_path / "out.mp4", lambda frame, time_s: frame[1:])
    assert (tmp_path / "out.mp4").read_bytes() == b"before"


def test_targets_are_refused(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.write_clip(tmp_path / "clip.mp4", EVEN[:4], rate=8)
    before = (tmp_path / "clip.mp4").read_bytes()
    for target, message in {
        "clip.mp4": "clip.mp4 is the video that is read; choose another name for the copy.",
        "out.mkv": "a video is written as .mp4, got out.mkv; choose a name that ends in .mp4.",
        "a/out.mp4": "a/out.mp4 cannot be written: there is no folder a; create it first.",
    }.items():
        with pytest.raises(InputError) as caught:
            render_video("clip.mp4", target, same)
        assert str(caught.value) == message
    assert os.listdir(tmp_path) == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == before


def test_memory_does_not_grow_with_the_length(clips, tmp_path):
    peaks = {}
    for seconds in (20, 80):
        track = clips.Track(samples=np.zeros((1, 16_000 * seconds), np.float32))
        times = list(range(0, 1000 * seconds, 250))
        source = clips.write_clip(tmp_path / f"{seconds}.mkv", times, rate=4, tracks=(track,))
        del track
        tracemalloc.start()
        assert sum(1 for _ in read_steps(source)) == seconds
        render_video(source, tmp_path / f"{seconds}.mp4", same)
        peaks[seconds] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[80] < 1.5 * peaks[20] < 1.5 * 4_000_000


@pytest.mark.parametrize(
    ("name", "size", "codec"), [("pancake.mkv", (426, 240), "opus"), ("cockatoo.mp4", (1280, 720), "mp3")]
)
def test_real_clips(media, tmp_path, name, size, codec):
    import av

    render_video(media / name, tmp_path / "out.mp4", same)
    before, after = probe(media / name), probe(tmp_path / "out.mp4")
    assert (after.width, after.height) == (before.width, before.height) == size
    assert after.duration_s == pytest.approx(before.duration_s, abs=1e-3)
    assert codecs(tmp_path / "out.mp4") == ["h264", codec]
    with av.open(str(media / name)) as old, av.open(str(tmp_path / "out.mp4")) as new:
        packets = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (old, new)]
    assert packets[0] == packets[1]  # the sound is untouched
    sound = [np.concatenate([step.audio for step in read_steps(path)]) for path in (media / name, tmp_path / "out.mp4")]
    length = 4 * 16_000
    spectra = [np.fft.rfft(wave[:length], 2 * length) for wave in sound]
    lag = int(np.fft.irfft(spectra[0] * np.conj(spectra[1])).argmax())
    assert min(lag, 2 * length - lag) <= 16  # 1 ms
