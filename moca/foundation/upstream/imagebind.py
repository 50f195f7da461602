"""The original ImageBind (package imagebind) against the towers here, with one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.weights import load_imagebind
from moca.foundation.preprocessing import preprocess_frames
from moca.foundation.state_dicts import read_checkpoint
from moca.foundation.upstream.comparing import Difference, difference, original
from moca.foundation.upstream.examples import example_files, read_pictures, read_sounds
from moca.foundation.upstream.inputs import drawn_frame, drawn_sounds
from moca.media.logmel import log_mel

PACKAGE = "imagebind"


@torch.no_grad()
def compare_imagebind(
    checkpoint: Path, *, examples: Path | None = None, config: ImageBindConfig | None = None
) -> list[Difference]:
    """Embeddings of a drawn picture and drawn sounds by both, from the same inputs; of the example files, where given,
    also by each one's own reading of them.

    checkpoint: the official one, with all six modalities. config: what it holds, None for ImageBind-Huge.
    """
    ours, found = load_imagebind(checkpoint, config), []
    with original(PACKAGE, "models.imagebind_model") as (module,):
        theirs = module.imagebind_huge(pretrained=False)
        theirs.load_state_dict(read_checkpoint(checkpoint), strict=True, assign=True)
        theirs.eval()
        both = _Both(ours, theirs, module.ModalityType)
        waves = torch.from_numpy(drawn_sounds(2.0, ours.config.log_mel.sample_rate_hz))
        pixels = preprocess_frames([drawn_frame(240, 320)], ours.config.image_size)
        found += both.differences("drawn", pixels, log_mel(waves, ours.config.log_mel))
        if examples is not None:
            pictures, sounds = example_files(examples)
            pixels, mels = read_pictures(pictures, ours.config.image_size), read_sounds(sounds, ours)
            found += both.differences("example", pixels, mels)
            found += _read(pictures, sounds, pixels, mels)
    return found


@dataclass(frozen=True)
class _Both:
    ours: ImageBind
    theirs: Any
    names: Any
    """The original's ModalityType."""

    def differences(self, what: str, pixels: Tensor, mels: Tensor) -> list[Difference]:
        answers = self.theirs({self.names.VISION: pixels, self.names.AUDIO: mels})
        image, audio = self.ours.embed_image(pixels), self.ours.embed_audio(mels)
        scale = 20  # the norm of a sound's embedding
        return [
            difference(f"{what} pictures, embedding", image, answers[self.names.VISION], allowed=1e-4),
            difference(f"{what} sounds, embedding", audio / scale, answers[self.names.AUDIO] / scale, allowed=1e-4),
        ]


def _read(pictures: list[Path], sounds: list[Path], pixels: Tensor, mels: Tensor) -> list[Difference]:
    """The example files as each reads them."""
    with original(PACKAGE, "data") as (data,):
        seen = data.load_and_transform_vision_data([str(path) for path in pictures], "cpu")
        heard = data.load_and_transform_audio_data([str(path) for path in sounds], "cpu")
    return [
        difference("example pictures as read", pixels, seen, allowed=2e-2),  # a grey level is 1 / 255 / .26
        difference("example sounds as read", mels, heard, allowed=2e-2),
    ]
