"""Resampling against torchaudio's numbers, and its laws."""

import numpy as np
import pytest
import torch

from moca.media.resampling import sinc_resample


def test_the_numbers_are_torchaudios(reference):
    golden = np.load(reference / "imagebind_tiny_golden.npz")
    given, wanted = (torch.from_numpy(golden[f"resample/{name}"]).float() for name in ("in_44100", "out_16000"))
    found = sinc_resample(given.reshape(1, -1), 44_100, 16_000)
    torch.testing.assert_close(found, wanted.reshape(1, -1), atol=2e-6, rtol=0)
    assert not torch.allclose(found, given.reshape(1, -1)[:, :1600], atol=1e-3)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
def test_a_slow_tone_stays_what_it_is(rate_hz):
    times = (torch.arange(rate) / rate for rate in (rate_hz, 16_000))
    before, after = (torch.sin(2 * torch.pi * 200 * time_s)[None] for time_s in times)
    found = sinc_resample(before, rate_hz, 16_000)
    assert found.shape == after.shape
    torch.testing.assert_close(found[:, 500:-500], after[:, 500:-500], atol=2e-2, rtol=0)


def test_what_the_lower_rate_cannot_hold_is_removed():
    time_s = torch.arange(48_000) / 48_000
    found = sinc_resample(torch.sin(2 * torch.pi * 12_000 * time_s)[None], 48_000, 16_000)
    assert found[:, 500:-500].abs().max() < 0.05


def test_the_same_rate_is_left_alone():
    wave = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    assert sinc_resample(wave, 16_000, 16_000) is wave
