"""Sound families: ranges, determinism, and that their classes can be told apart."""

import numpy as np
import pytest

from moca.stage.objects import CLASSES
from moca.stage.seeds import generator
from moca.stage.sounds import VOICES, ambience, limit, render_voice
from moca.stage.synthesis import SAMPLE_RATE_HZ, harmonic_table, shaped_noise, tone


def spectral_features(wave: np.ndarray) -> np.ndarray:
    """Means and movements of 24 log bands, level removed: a simple picture of timbre and rhythm."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 400)[::160] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    edges = np.unique(np.round(np.geomspace(2, 256, 25)).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-7)
    bands -= bands.max()
    return np.concatenate([bands.mean(0), bands.std(0), np.abs(np.diff(bands, axis=0)).mean(0)])


def voice(name: str, seed: int, samples: int = SAMPLE_RATE_HZ) -> np.ndarray:
    return render_voice(name, generator(seed, name), samples=samples, level_db=-20.0)


def test_every_class_has_a_voice_and_an_appearance():
    assert tuple(VOICES) == CLASSES
    assert len(CLASSES) >= 12


@pytest.mark.parametrize("name", CLASSES)
def test_a_voice_has_its_level_varies_and_is_never_long_silent(name):
    waves = [voice(name, seed) for seed in range(6)]
    for wave in waves:
        assert wave.dtype == np.float32 and wave.shape == (SAMPLE_RATE_HZ,)
        assert np.isfinite(wave).all()
        assert 20 * np.log10(np.sqrt(np.mean(wave.astype(float) ** 2))) == pytest.approx(-20, abs=0.1)
    assert len({wave.tobytes() for wave in waves}) == 6
    np.testing.assert_array_equal(voice(name, 0), waves[0])
    seconds = voice(name, 9, 5 * SAMPLE_RATE_HZ).reshape(5, -1)
    assert np.sqrt(np.mean(seconds**2, axis=1)).min() > 0.1 * 0.2  # every second within 14 dB of the whole


def test_a_nearest_centroid_tells_the_classes_apart():
    features = np.array([[spectral_features(voice(name, seed)) for seed in range(24)] for name in CLASSES])
    train, test = features[:, :16], features[:, 16:]
    scale = train.std(axis=(0, 1)) + 1e-6
    centroids = train.mean(axis=1) / scale
    distance = np.square(test[:, :, None] / scale - centroids).sum(-1)
    right = distance.argmin(-1) == np.arange(len(CLASSES))[:, None]
    assert right.mean() > 0.75  # chance is 0.07
    moved = distance.argmin(-1) == np.roll(np.arange(len(CLASSES)), 1)[:, None]
    assert moved.mean() < 0.1  # with the names exchanged the same rule fails


def test_a_tone_has_its_frequency_and_noise_stays_in_its_band():
    spectrum = np.abs(np.fft.rfft(tone(1000.0, SAMPLE_RATE_HZ)))
    assert spectrum.argmax() == 1000
    noise = np.abs(np.fft.rfft(shaped_noise(generator(0), SAMPLE_RATE_HZ, low_hz=500, high_hz=1500))) ** 2
    assert noise[600:1400].sum() > 0.7 * noise.sum()
    assert np.abs(harmonic_table(np.ones(5), generator(0))).max() == pytest.approx(1)


def test_limit_scales_only_what_is_too_loud():
    quiet = np.array([0.1, -0.5], np.float32)
    np.testing.assert_array_equal(limit(quiet), quiet)
    np.testing.assert_allclose(limit(quiet * 10), [0.196, -0.98], rtol=1e-5)
    np.testing.assert_array_equal(limit(np.zeros(3, np.float32)), np.zeros(3))


def test_ambience_has_its_level():
    wave = ambience(generator(1), samples=SAMPLE_RATE_HZ, level_db=-50.0)
    assert 10 * np.log10(np.mean(wave.astype(float) ** 2)) == pytest.approx(-50, abs=0.1)
