"""What a class-token encoder may take over from an encoder already trained: its audio tower and its image stem.

Locked-tower tuning (Zhai et al. 2022, LiT, arXiv:2111.07991): there the pictures are kept still and the texts learn,
here the sounds are. Every sound is embedded once, which leaves a step only the image trunk to compute.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.weights import load_imagebind
from moca.media.logmel import log_mel
from recipes.cards import sha256
from recipes.stage_pairs import Pairs, PairsConfig, stated

FREE = ("pooling", "reading")


def is_still(name: str) -> bool:
    """Whether a parameter is of the image stem's convolutions or of the audio side."""
    return ".audio." in name or ".vision.rgbt_stem." in name


def take_over(folder: Path, config: ImageBindConfig, seed: int) -> ImageBind:
    """An encoder whose stem and audio side are those in a folder and do not learn; the rest is new and does.

    Refuses a folder of another size.
    """
    encoder = load_imagebind(folder)
    config = replace(config, folded=encoder.config.folded)
    for name, wanted in asdict(config).items():
        if name not in FREE and (has := asdict(encoder.config)[name]) != wanted:
            raise InputError(f"the encoder in {folder} must have {name} {wanted}, got {has}; give another one.")
    model = random_imagebind(config, seed)
    model.load_state_dict({name: value for name, value in encoder.state_dict().items() if is_still(name)}, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_still(name))
    return model


@torch.no_grad()
def embed_sounds(model: ImageBind, pairs: Pairs, *, part: int = 256) -> Tensor:
    """L2-normed embeddings (N, E) float32 of every pair's sound."""
    found = []
    for start in range(0, len(pairs.waves), part):
        waves = torch.from_numpy(pairs.sound(slice(start, start + part)))
        found.append(model.audio_direction(model.embed_audio(log_mel(waves, model.config.log_mel))))
    return torch.cat(found)


def sounds_of(folder: Path, model: ImageBind, pairs: Pairs, config: PairsConfig, cache: Path) -> Tensor:
    """`embed_sounds`, or what an earlier run with the same encoder in `folder` and the same pairs left in cache."""
    path = cache / f"sounds-{config.split}-{config.count}.safetensors"
    made_of = {"pairs": stated(config), "encoder": sha256(folder / "model.safetensors")}
    if path.is_file():
        with safe_open(path, "pt") as stored:
            if stored.metadata() == made_of:
                return stored.get_tensor("sounds")
    sounds = embed_sounds(model.eval(), pairs)
    save_file({"sounds": sounds}, path, metadata=made_of)
    return sounds
