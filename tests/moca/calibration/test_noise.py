"""Noise: of the promised level and colour, and the same for the same seed."""

import numpy as np
import pytest

from moca.calibration.noise import LEVELS_DBFS, SLOPES, coloured_noise
from moca.core.loudness import level_dbfs

RATE_HZ = 16_000


def slope_of(wave) -> float:
    """Power's fall with frequency between 500 and 1400 Hz, by a line through the logarithms."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    inside = (hz > 500) & (hz < 1400)
    return -float(np.polyfit(np.log(hz[inside]), np.log(power[inside]), 1)[0])


def noises(count=40, samples=RATE_HZ):
    return [coloured_noise(samples, RATE_HZ, np.random.default_rng(seed)) for seed in range(count)]


def test_levels_and_colours_are_spread_over_their_ranges():
    waves = noises()
    levels, slopes = [level_dbfs(wave) for wave in waves], [slope_of(wave) for wave in waves]
    assert min(levels) > LEVELS_DBFS[0] - 1 and max(levels) < LEVELS_DBFS[1] + 1 and np.ptp(levels) > 20
    assert min(slopes) < 0.4 and max(slopes) > 1.4 and SLOPES[0] - 0.6 < min(slopes) and max(slopes) < SLOPES[1] + 1
    assert all(wave.dtype == np.float32 and np.abs(wave).max() <= 1 for wave in waves)


def test_equal_seeds_give_equal_noise_and_others_do_not():
    one, two, other = (coloured_noise(800, RATE_HZ, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, two) and not np.allclose(one, other)


@pytest.mark.parametrize(("samples", "rate_hz"), [(2, 16_000), (800, 8_000), (44_101, 44_100)])
def test_any_length_and_rate(samples, rate_hz):
    wave = coloured_noise(samples, rate_hz, np.random.default_rng(0))
    assert wave.shape == (samples,) and np.isfinite(wave).all()
