"""Sound window by window: what is held, where it starts, what happens at its edges."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from moca.media.sound import Sound
from moca.media.streams import choose_audio, open_container


@pytest.fixture
def sound(clips, tmp_path):
    """Opens a clip with one track and returns its Sound on a clock that starts `zero` late."""
    opened = []

    def open_sound(track, *, zero=Fraction(0), rate_hz=16_000, layout=None) -> Sound:
        times = list(range(0, 1000 * max(1, track.samples.shape[1] // track.rate_hz), 1000))
        path = clips.write_clip(tmp_path / "clip.mkv", times, rate=1, tracks=(track,))
        opened.append(open_container(path))
        stream = choose_audio(opened[-1], path)
        return Sound(opened[-1], stream, zero=zero, sample_rate_hz=rate_hz, layout=layout)

    yield open_sound
    for container in opened:
        container.close()


def noise(seconds: float, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (channels, round(16_000 * seconds))).astype(np.float32)


def test_windows_are_the_samples_themselves(clips, sound):
    wave = noise(2)
    voice = sound(clips.Track(samples=wave, codec="flac"))
    edges = [0, 1, 700, 701, 20_000, 32_000]
    windows = [voice.between(a, b) for a, b in pairwise(edges)]
    assert np.concatenate(windows, axis=1) == pytest.approx(wave, abs=1e-4)
    assert voice.between(32_000, 33_000) is None and voice.ended


def test_a_later_clock_drops_what_came_before(clips, sound):
    wave = noise(2)
    voice = sound(clips.Track(samples=wave, codec="flac"), zero=Fraction(1, 4))
    assert voice.between(0, 1_000) == pytest.approx(wave[:, 4_000:5_000], abs=1e-4)


def test_skipping_ahead_forgets_what_was_skipped(clips, sound):
    wave = noise(3)
    voice = sound(clips.Track(samples=wave, codec="flac"))
    assert voice.between(40_000, 40_100) == pytest.approx(wave[:, 40_000:40_100], abs=1e-4)
    assert voice.held_samples < 10_000


def test_a_jitter_of_the_stamps_is_not_a_gap(clips, sound):
    wave = noise(2)
    track = clips.Track(samples=wave, gap_at_s=1.0, gap_s=0.005)
    assert sound(track).between(0, 32_000) == pytest.approx(wave, abs=1e-4)


def test_channels_can_be_kept(clips, sound):
    wave = noise(1, channels=2)
    track = clips.Track(samples=wave, layout="stereo")
    assert sound(track, layout="stereo").between(0, 16_000) == pytest.approx(wave, abs=1e-4)


def test_loud_sound_stays_within_one(clips, sound):
    wave = 3 * noise(1)
    track = clips.Track(samples=wave, codec="pcm_f32le")
    window = sound(track).between(0, 16_000)
    assert np.abs(wave).max() > 1 and np.abs(window).max() == 1


def test_memory_does_not_grow_with_the_length(clips, sound):
    most = {}
    for seconds in (10, 100):
        voice = sound(clips.Track(samples=noise(seconds)))
        held = []
        for second in range(seconds):
            assert voice.between(16_000 * second, 16_000 * (second + 1)).shape == (1, 16_000)
            held.append(voice.held_samples)
        most[seconds] = max(held)
    assert most[100] <= most[10] <= 1024
