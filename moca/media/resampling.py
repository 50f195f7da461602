"""Another sample rate by a windowed sinc, with the numbers that ImageBind's own reading has."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

ZERO_CROSSINGS = 6
ROLLOFF = 0.99


def sinc_resample(waves: Tensor, rate_hz: int, wanted_hz: int) -> Tensor:
    """Waves (C, S) at rate_hz -> (C, S') at wanted_hz, S' = ceil(S * wanted_hz / rate_hz); the same type.

    Each sample is a sum over a low-pass sinc below 0.99 of the lower Nyquist frequency, six zero crossings wide, under
    a Hann window: what torchaudio's `functional.resample` computes by default, with which ImageBind reads sounds.
    Source: J. O. Smith, Digital Audio Resampling Home Page, "Theory of Ideal Bandlimited Interpolation".
    """
    if rate_hz == wanted_hz:
        return waves
    common = math.gcd(rate_hz, wanted_hz)
    before, after = rate_hz // common, wanted_hz // common
    cutoff = min(before, after) * ROLLOFF
    width = math.ceil(ZERO_CROSSINGS * before / cutoff)
    places = torch.arange(-width, width + before, dtype=torch.float64) / before
    offsets = -torch.arange(after, dtype=torch.float64)[:, None] / after
    moments = ((places + offsets) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(moments * math.pi / ZERO_CROSSINGS / 2) ** 2
    kernels = (torch.sinc(moments) * window * cutoff / before).to(waves.dtype)[:, None]
    padded = functional.pad(waves[:, None], (width, width + before))
    samples = functional.conv1d(padded, kernels, stride=before).transpose(1, 2).flatten(1)
    return samples[:, : math.ceil(after * waves.shape[1] / before)]
