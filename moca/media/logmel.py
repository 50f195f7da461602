"""Sound to log-mel spectrograms, as Kaldi and ImageBind compute them.

Shape letters: B waves, C channels, S samples, F frames, W samples per frame, K FFT bins, M mel bins,
T target frames.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from moca.core.settings import Settings, setting
from moca.errors import InputError

LOWEST_HZ = 20.0
PREEMPHASIS = 0.97
FLOOR = 1.1920929e-07  # float32's epsilon: what Kaldi takes the logarithm of in digital silence
FRAMES_PER_BATCH = 1 << 16  # spectra held at once: 512 float32 samples each, so about 130 MB


@dataclass(frozen=True, kw_only=True)
class LogMelConfig(Settings):
    """How a wave becomes a picture; the defaults are ImageBind's."""

    sample_rate_hz: int = setting(
        16_000, help="Rate in Hz that the waves must already have.", above=2 * LOWEST_HZ, hint="correct it"
    )
    mel_bins: int = setting(128, help="Rows of the result.", least=1, hint="correct it")
    frame_ms: float = setting(25.0, help="Length of one analysis window.", above=0, hint="correct it")
    hop_ms: float = setting(10.0, help="Distance between two windows.", above=0, hint="correct it")
    target_frames: int = setting(
        204,
        help="Columns of the result: shorter sounds are padded on the right, longer ones cut.",
        least=1,
        hint="correct it",
    )
    mean: float = setting(-4.268, help="Mean of the log-mel values, subtracted after padding.", hint="correct it")
    std: float = setting(
        9.138,
        help="Their standard deviation, divided by after the mean is removed.",
        above=0,
        hint="correct it",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, samples in (("frame_ms", self.frame_samples), ("hop_ms", self.hop_samples)):
            least = 2 if name == "frame_ms" else 1
            if samples < least:
                raise InputError(
                    f"{name} must cover at least {least} samples at {self.sample_rate_hz} Hz, "
                    f"got {getattr(self, name)}; raise it."
                )

    @property
    def frame_samples(self) -> int:
        """Samples in one analysis window, also the least a wave may have."""
        return int(self.sample_rate_hz * self.frame_ms * 0.001)

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of two windows."""
        return int(self.sample_rate_hz * self.hop_ms * 0.001)


def log_mel(waves: Tensor, config: LogMelConfig | None = None) -> Tensor:
    """Normalised log-mel spectrograms of a batch of equally long waves.

    waves: (B, S) float mono or (B, C, S) in [-1, 1] at `config.sample_rate_hz`. As in ImageBind, the mean
    runs over all channels and only channel 0 is heard. Returns (B, 1, mel_bins, target_frames) float32 on
    the waves' device, low frequencies first. Padding is zero in the log domain, *before* normalisation, so
    a padded cell is -mean / std. Refuses waves shorter than one window. Source: ImageBind data.py with
    Kaldi's fbank (hanning window, dither 0, power spectrum, 20 Hz to Nyquist, triangles in mel space).
    """
    config = config or LogMelConfig()
    if waves.ndim not in (2, 3) or not waves.is_floating_point():
        raise InputError(
            "waves must be float of shape (waves, samples) or (waves, channels, samples), "
            f"got {waves.dtype} {tuple(waves.shape)}; reshape or convert them."
        )
    if waves.shape[-1] < config.frame_samples:
        raise InputError(
            f"a wave must hold at least {config.frame_samples} samples "
            f"(one {config.frame_ms:g} ms window at {config.sample_rate_hz} Hz), "
            f"got {waves.shape[-1]}; pad it with zeros."
        )
    waves = waves.float()
    waves = waves - waves.flatten(1).mean(1).reshape(-1, *[1] * (waves.ndim - 1))
    heard = waves if waves.ndim == 2 else waves[:, 0]
    # Samples beyond the last target frame are never looked at.
    heard = heard[:, : config.frame_samples + (config.target_frames - 1) * config.hop_samples]
    frames = 1 + (heard.shape[1] - config.frame_samples) // config.hop_samples
    result = heard.new_zeros(len(heard), config.mel_bins, config.target_frames)
    step = max(1, FRAMES_PER_BATCH // frames)
    for i in range(0, len(heard), step):
        energies = _filter_bank_energies(heard[i : i + step], config)
        result[i : i + step, :, :frames] = energies.transpose(1, 2)
    return result.sub_(config.mean).div_(config.std).unsqueeze(1)


def _filter_bank_energies(waves: Tensor, config: LogMelConfig) -> Tensor:
    """Kaldi's fbank: (B, S) -> (B, F, M) natural logarithms of mel energies, F = 1 + (S - W) // hop."""
    window, bank = _window_and_bank(config.sample_rate_hz, config.frame_samples, config.mel_bins, waves.device)
    frames = waves.unfold(-1, config.frame_samples, config.hop_samples)
    frames = frames - frames.mean(-1, keepdim=True)
    # The first sample of a window has no predecessor and is emphasised with itself.
    previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    spectrum = torch.fft.rfft((frames - PREEMPHASIS * previous) * window, n=2 * bank.shape[0])
    power = spectrum.real.square() + spectrum.imag.square()
    return (power[..., :-1] @ bank).clamp_min(FLOOR).log()  # the Nyquist bin belongs to no triangle


def mel_scale(hz: Tensor) -> Tensor:
    """Kaldi's mel of a frequency in Hz."""
    return 1127.0 * torch.log(1.0 + hz / 700.0)


@lru_cache(maxsize=16)
def _window_and_bank(rate_hz: int, frame_samples: int, mel_bins: int, device: torch.device):
    """The symmetric Hann window (W,) and the mel triangles (K, M), K = half the FFT size.

    Computed in float64 once per configuration and device, stored in float32.
    """
    window = torch.hann_window(frame_samples, periodic=False, dtype=torch.float64)
    bins = 1 << (frame_samples - 1).bit_length() >> 1
    mel = mel_scale(torch.arange(bins, dtype=torch.float64) * rate_hz / (2 * bins))[:, None]
    limits = mel_scale(torch.tensor([LOWEST_HZ, rate_hz / 2], dtype=torch.float64))
    edges = limits[0] + (limits[1] - limits[0]) * torch.arange(mel_bins + 2, dtype=torch.float64) / (mel_bins + 1)
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    bank = torch.minimum(rising, falling).clamp_min(0.0)
    return window.to(device, torch.float32), bank.to(device, torch.float32)


def clip_spans(
    duration_s: Fraction | float, *, clip_s: Fraction | float = 2, clips: int = 3
) -> list[tuple[Fraction, Fraction]]:
    """Start and end of evenly spread clips over a sound, as exact fractions of a second.

    A sound no longer than one clip gives `clips` identical spans, which end after the sound does.
    A float is taken at its exact binary value, as the official code does. Source: ImageBind data.py
    (3 clips of 2 s).
    """
    duration, length = Fraction(duration_s), Fraction(clip_s)
    if duration <= 0 or length <= 0 or clips < 1:
        raise InputError(
            "duration_s and clip_s must be above 0 and clips at least 1, "
            f"got {float(duration):g}, {float(length):g} and {clips}; correct them."
        )
    room = max(duration - length, Fraction(0))
    starts = [room * i / max(clips - 1, 1) for i in range(clips)]
    return [(start, start + length) for start in starts]


def clip_samples(wave: Tensor, config: LogMelConfig | None = None, *, clip_s: float = 2, clips: int = 3) -> Tensor:
    """The clips of `clip_spans` cut from a wave.

    wave: (S,) or (C, S) at the configuration's rate. Returns (clips, S') or (clips, C, S'), where S' is the
    clip length or what the wave has, whichever is shorter. Sample positions are time x rate, truncated.
    """
    rate_hz = (config or LogMelConfig()).sample_rate_hz
    # Dividing in float keeps the official positions: 7.3 s starts its second clip at 42,399, not 42,400.
    spans = clip_spans(wave.shape[-1] / rate_hz, clip_s=clip_s, clips=clips)
    return torch.stack([wave[..., int(start * rate_hz) : int(end * rate_hz)] for start, end in spans])
