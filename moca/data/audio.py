"""WAV files to the mono float samples every model here hears."""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np

from moca.errors import InputError

SAMPLE_RATE_HZ = 16_000
"""Rate of AVSBench's own wav files and of every audio encoder in this package."""
_WIDTHS = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "s16be", "s24be", "s32be", "f32be", "f64be")
_CODECS = frozenset(f"pcm_{width}" for width in _WIDTHS)
"""libav's names of integer PCM of 8 to 32 bits and of floats; big-endian ones are those of a RIFX file."""


def read_wav(path: str | Path, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """All samples of a WAV file, (S,) float32 mono in [-1, 1] at sample_rate_hz; S may be 0.

    Integer PCM of 8 to 32 bits and float are understood; channels are averaged; another rate is resampled by
    a polyphase filter. Samples beyond full scale are clipped. A file that is cut off is read as far as it goes.
    Raises InputError if it is not a WAV file, or one with other sound.
    """
    import av
    from scipy.signal import resample_poly

    path = Path(path)
    if not path.exists():
        raise InputError(f"audio must be a WAV file, {path} does not exist; check the path.")
    try:
        rate_hz, samples = _decoded(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        raise InputError(
            f"audio must be a PCM or float WAV file, {path} cannot be read ({reason}); convert it with "
            "ffmpeg -i IN -ac 1 -ar 16000 OUT.wav."
        ) from None
    mono = _to_float(samples)
    mono = mono[:, 0] if mono.shape[1] == 1 else mono.mean(axis=1)
    if rate_hz != sample_rate_hz and mono.size:
        common = gcd(rate_hz, sample_rate_hz)
        mono = resample_poly(mono, sample_rate_hz // common, rate_hz // common)
    return np.clip(mono, -1, 1).astype(np.float32)


def step_slice(samples: np.ndarray, start: int, length: int) -> np.ndarray | None:
    """samples[start : start + length], zero-padded at the end to length; None if nothing falls in it."""
    part = samples[start : start + length]
    return np.pad(part, (0, length - len(part))) if len(part) else None


def _decoded(path: Path) -> tuple[int, np.ndarray]:
    """Rate in Hz and samples (S, channels) as stored; libav's errors, or ValueError for sound that is not PCM."""
    import av

    with av.open(f"file:{path}", format="wav") as container:
        if not container.streams.audio:
            raise ValueError("it holds no sound")
        stream = container.streams.audio[0]
        codec = stream.codec_context
        if codec is None or codec.name not in _CODECS:
            raise ValueError(f"its sound is {'of an unknown kind' if codec is None else codec.name}")
        channels, blocks = codec.layout.nb_channels, []
        for frame in container.decode(stream):
            blocks.append(frame.to_ndarray().reshape(-1, channels))
        return codec.sample_rate, np.concatenate(blocks) if blocks else np.zeros((0, channels), np.float32)


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Stored samples as float64 with full scale at 1; 24-bit ones arrive in the high bytes of int32."""
    if samples.dtype == np.uint8:  # WAV keeps 8-bit samples unsigned
        return (samples.astype(np.float64) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float64)
