"""AST: what is heard in a sound, as probabilities of AudioSet's classes.

A published AST is a folder in the `transformers` format: `config.json` (model_type "audio-spectrogram-transformer",
with the names of the classes), `model.safetensors` and `preprocessor_config.json` (how a sound is read). Letters:
B sounds, S samples, F frames, M mel bins, C classes.
Source: Gong et al., AST: Audio Spectrogram Transformer, Interspeech 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor
from transformers import ASTForAudioClassification

from moca.errors import InputError
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE
from moca.foundation.pretrained import load_pretrained, read_config, read_document, save_pretrained
from moca.foundation.published import Kind, find_source
from moca.media.logmel import LogMelConfig, log_mel

KIND = Kind(role="tags", types=("audio-spectrogram-transformer",), example="MIT/ast-finetuned-audioset-10-10-0.4593")


class AstTagger:
    """A frozen AST that names what is heard, in batches, on the device its model is on.

    model: frozen and put in eval mode. reading: how a sound becomes a spectrogram; its mel bins and frames must be
    the model's.
    """

    def __init__(self, model: ASTForAudioClassification, reading: LogMelConfig):
        _check_reading(model, reading)
        self.model = model.eval().requires_grad_(False)
        self.reading = reading
        self.labels = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))

    @property
    def heard_s(self) -> float:
        """Seconds from the start of a sound that are listened to; 10.255 for the published AST."""
        last = (self.reading.target_frames - 1) * self.reading.hop_samples
        return (last + self.reading.frame_samples) / self.reading.sample_rate_hz

    @torch.inference_mode()
    def tag(
        self, waves: np.ndarray | Sequence[np.ndarray], sample_rate_hz: int = 16_000, batch: int = 16
    ) -> np.ndarray:
        """Probability of every label for every sound, (B, C) float32 in [0, 1]; they need not sum to 1.

        waves: mono float in [-1, 1], (B, S) or a sequence of (S,) of any lengths. sample_rate_hz: of the waves;
        another rate than the model's is resampled by a polyphase filter. Of a sound only the first `heard_s` are
        heard; a shorter one is padded with zeros in the spectrogram, as in training, and must fill one analysis window
        (25 ms). batch: sounds computed at a time; it changes memory, not results. No sounds give (0, C).
        """
        if batch < 1:
            raise InputError(f"batch must be at least 1 sound, got {batch}; raise it.")
        if sample_rate_hz < 1:
            raise InputError(f"sample_rate_hz must be at least 1, got {sample_rate_hz}; correct it.")
        heard = [self._listen(wave, i, sample_rate_hz) for i, wave in enumerate(waves)]
        chances = [self._probabilities(heard[start : start + batch]) for start in range(0, len(heard), batch)]
        return torch.cat(chances).numpy() if chances else np.empty((0, len(self.labels)), np.float32)

    def _probabilities(self, waves: list[Tensor]) -> Tensor:
        spectrograms = torch.cat([log_mel(wave[None].to(self.model.device), self.reading)[:, 0] for wave in waves])
        logits = self.model(spectrograms.transpose(1, 2).to(self.model.dtype)).logits
        return logits.float().sigmoid().cpu()

    def _listen(self, wave: np.ndarray, index: int, sample_rate_hz: int) -> Tensor:
        """One wave (S,) at the model's rate, float32, no longer than is listened to."""
        wave = np.asarray(wave)
        if wave.ndim != 1 or wave.dtype.kind != "f":
            raise InputError(
                f"a sound must be mono float samples of shape (samples,), got {wave.dtype} {wave.shape} for sound "
                f"{index}; average its channels, or scale it to [-1, 1]."
            )
        if not np.isfinite(wave).all():
            raise InputError(f"a sound must be finite, got values that are not in sound {index}; mend or drop it.")
        wanted = self.reading.sample_rate_hz
        if sample_rate_hz != wanted and wave.size:
            common = gcd(sample_rate_hz, wanted)
            wave = resample_poly(wave, wanted // common, sample_rate_hz // common)
        return torch.from_numpy(np.array(wave[: round(self.heard_s * wanted)], np.float32))


def load_tagger(
    name: str | Path = "mini", *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> AstTagger:
    """A frozen AST.

    name: "mini" (bundled), a name of `moca weights list`, a folder in the published format, or a hub id such as
    "MIT/ast-finetuned-audioset-10-10-0.4593", which is downloaded once. dtype: float32 or bfloat16, what is computed
    in; probabilities are float32 either way. Only safetensors are read, so nothing stored in a file is ever executed.
    Raises InputError, in one line, for a model that is not there, is damaged, or is not an AST.
    """
    source = find_source(name, KIND)
    read_config(source, KIND)
    reading = _read_reading(source)
    model = load_pretrained(ASTForAudioClassification, source, KIND, dtype=dtype)
    return AstTagger(model.to(device), reading)


def save_tagger(
    folder: str | Path,
    model: ASTForAudioClassification,
    dtype: torch.dtype = torch.float32,
    *,
    reading: LogMelConfig,
) -> None:
    """Write a model into a folder, which is created, in the published format that `load_tagger` reads.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. reading: how it was
    trained to read sounds, in windows of 25 ms every 10 ms. All files are complete before any of them replaces an
    older one.
    """
    _check_reading(model, reading)
    if (reading.frame_ms, reading.hop_ms) != (25.0, 10.0):
        raise InputError(
            "the reading of a tagger must have windows of 25 ms every 10 ms, which is all its files can say, got "
            f"{reading.frame_ms:g} every {reading.hop_ms:g}; change it."
        )
    document = {
        "feature_extractor_type": "ASTFeatureExtractor",
        "sampling_rate": reading.sample_rate_hz,
        "num_mel_bins": reading.mel_bins,
        "max_length": reading.target_frames,
        "do_normalize": True,
        "mean": reading.mean,
        "std": reading.std / 2,  # the extractor divides by twice its std
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
    save_pretrained(folder, model, dtype=dtype, documents={PREPROCESSOR_FILE: document})


def _check_reading(model: ASTForAudioClassification, reading: LogMelConfig) -> None:
    given, wanted = (reading.target_frames, reading.mel_bins), (model.config.max_length, model.config.num_mel_bins)
    if given != wanted:
        raise InputError(
            f"the tagger must read {wanted[0]} frames of {wanted[1]} mel bins, which its model is made for, got "
            f"{given[0]} of {given[1]}; correct {PREPROCESSOR_FILE}."
        )


def _read_reading(source: str) -> LogMelConfig:
    """How the source's preprocessor_config.json reads sounds; what it leaves out has the published AST's values."""
    document = read_document(source, PREPROCESSOR_FILE, KIND)
    if document is None:
        raise InputError(f"{source} must hold a {PREPROCESSOR_FILE}, which is not there; restore it.")
    mean, std = document.get("mean", -4.2677393), document.get("std", 4.5689974)
    if not document.get("do_normalize", True):
        mean, std = 0.0, 0.5
    try:
        return LogMelConfig(
            sample_rate_hz=document.get("sampling_rate", 16_000),
            mel_bins=document.get("num_mel_bins", 128),
            target_frames=document.get("max_length", 1024),
            mean=mean,
            std=2 * std,
        )
    except (InputError, TypeError) as error:
        raise InputError(f"{PREPROCESSOR_FILE} of {source} must say how sounds are read: {error}") from None
