"""WAV files to the mono float samples every model here hears."""

from __future__ import annotations

import warnings
from math import gcd
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from moca.errors import InputError

SAMPLE_RATE_HZ = 16_000
"""Rate of AVSBench's own wav files and of every audio encoder in this package."""


def read_wav(path: str | Path, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """All samples of a WAV file, (S,) float32 mono in [-1, 1] at sample_rate_hz; S may be 0.

    Integer PCM of 8 to 32 bits and float are understood; channels are averaged; another rate is resampled by
    a polyphase filter. Samples beyond full scale are clipped. Raises InputError if it is not a WAV file.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks with titles and the like
            rate_hz, samples = wavfile.read(path)
    except FileNotFoundError:
        raise InputError(f"audio must be a WAV file, {path} does not exist; check the path.") from None
    except Exception as error:  # a broken header fails in many ways: ValueError, struct.error, UnboundLocalError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"audio must be a PCM or float WAV file, {path} cannot be read ({reason}); convert it with "
            "ffmpeg -i IN -ac 1 -ar 16000 OUT.wav."
        ) from None
    mono = _to_float(samples)
    if mono.ndim == 2:
        mono = mono.mean(axis=1)
    if rate_hz != sample_rate_hz and mono.size:
        common = gcd(rate_hz, sample_rate_hz)
        mono = resample_poly(mono, sample_rate_hz // common, rate_hz // common)
    return np.clip(mono, -1, 1).astype(np.float32)


def step_slice(samples: np.ndarray, start: int, length: int) -> np.ndarray | None:
    """samples[start : start + length], zero-padded at the end to length; None if nothing falls in it."""
    found = samples[start : start + length]
    return np.pad(found, (0, length - len(found))) if len(found) else None


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Stored samples as float64 with full scale at 1; 24-bit ones arrive in the high bytes of int32."""
    if samples.dtype == np.uint8:  # WAV keeps 8-bit samples unsigned
        return (samples.astype(np.float64) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float64)
