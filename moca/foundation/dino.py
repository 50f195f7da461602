"""DINO: picture features learnt without labels, by which frames that look alike are found.

A published DINO is a plain ViT in the `transformers` folder format: `config.json` (model_type "vit", no
pooling layer) and `model.safetensors`. Letters: B frames, D width, G patches per side.
Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import ViTModel

from moca.core.frames import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from moca.errors import InputError
from moca.foundation import preprocessing
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE
from moca.foundation.pretrained import load_pretrained, read_config, read_document, save_pretrained
from moca.foundation.published import Kind, find_source
from moca.foundation.roles import Frames

TOKENS = ("patches", "class")
KIND = Kind(role="images", types=("vit",), example="facebook/dino-vits8", spare=("pooler.",))


class Dino:
    """A frozen DINO that turns frames into features, in batches, on the device its model is on.

    model: a ViT without pooling layer, which is frozen and put in eval mode. image_size: side in pixels of the
    square that a frame is stretched to, a multiple of the patch; None takes the model's own, any other has its
    positions interpolated.
    """

    def __init__(self, model: ViTModel, *, image_size: int | None = None):
        size, patch = model.config.image_size if image_size is None else image_size, model.config.patch_size
        if size < 1 or size % patch:
            raise InputError(f"image_size must be a multiple of the patch ({patch} pixels), got {size}; change it.")
        self.model = model.eval().requires_grad_(False)
        self.image_size = size

    @property
    def width(self) -> int:
        """D, the length of a feature."""
        return self.model.config.hidden_size

    @property
    def grid(self) -> int:
        """G, the number of patches along a side."""
        return self.image_size // self.model.config.patch_size

    def features(self, frames: Frames, *, token: str = "patches", batch: int = 64) -> np.ndarray:
        """One feature per frame, (B, D) float32, not normed.

        frames: RGB uint8 (B, H, W, 3), which may be memory-mapped, or a sequence of (H, W, 3) of any sizes.
        token "patches": the mean of the patch features, the "global average pooling" by which MoCA
        (arXiv 2403.14203, section 3.2) finds neighbours; "class": the class token, DINO's own for k-NN.
        batch: frames computed at a time; it changes memory, not results. No frames give (0, D).
        """
        if token not in TOKENS:
            raise InputError(f"token must be 'patches' or 'class', got {token!r}; choose one of them.")
        rows = [x[:, 1:].mean(1) if token == "patches" else x[:, 0] for x in self._tokens(frames, batch)]
        return torch.cat(rows).numpy() if rows else np.empty((0, self.width), np.float32)

    def patches(self, frames: Frames, *, batch: int = 64) -> np.ndarray:
        """The features of every patch, (B, G, G, D) float32, rows from top to bottom; frames as in `features`."""
        side = self.grid
        grids = [x[:, 1:].unflatten(1, (side, side)) for x in self._tokens(frames, batch)]
        return torch.cat(grids).numpy() if grids else np.empty((0, side, side, self.width), np.float32)

    @torch.inference_mode()
    def _tokens(self, frames: Frames, batch: int) -> Iterator[Tensor]:
        """Normed last tokens (b, 1 + G * G, D) of one batch after the other, float32 on the CPU."""
        if batch < 1:
            raise InputError(f"batch must be at least 1 frame, got {batch}; raise it.")
        for start in range(0, len(frames), batch):
            pixels = preprocess_frames(frames[start : start + batch], self.image_size).to(self.model.device)
            tokens = self.model(pixels.to(self.model.dtype), interpolate_pos_encoding=True).last_hidden_state
            yield tokens.float().cpu()


def preprocess_frames(frames: Frames, size: int) -> Tensor:
    """Frames as DINO reads them: stretched to the square, ImageNet statistics, float32 (B, 3, size, size)."""
    pixels = preprocessing.preprocess_frames(frames, size)  # by CLIP's statistics, which are turned into ImageNet's
    clip_mean, clip_std, mean, std = (
        torch.tensor(values).reshape(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD)
    )
    return pixels * (clip_std / std) + (clip_mean - mean) / std


def load_dino(
    name: str | Path = "mini",
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    image_size: int | None = None,
) -> Dino:
    """A frozen DINO.

    name: "mini" (bundled), a name of `moca weights list`, a folder in the published format, or a hub id such as
    "facebook/dino-vits8", which is downloaded once. dtype: float32 or bfloat16, what is computed in; features are
    float32 either way.
    image_size: see `Dino`. Only safetensors are read, so nothing stored in a file is ever executed. Raises
    InputError, in one line, for a model that is not there, is damaged, or is not a DINO.
    """
    source = find_source(name, KIND)
    read_config(source, KIND)
    _check_preprocessor(source)
    model = load_pretrained(ViTModel, source, KIND, dtype=dtype, add_pooling_layer=False)
    return Dino(model.to(device), image_size=image_size)


def save_dino(folder: str | Path, model: ViTModel, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model into a folder, which is created, in the published format that `load_dino` reads.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. All files
    are complete before any of them replaces an older one.
    """
    size = model.config.image_size
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 3,  # Pillow's bicubic
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
    }
    save_pretrained(folder, model, dtype=dtype, documents={PREPROCESSOR_FILE: preprocessor})


def _check_preprocessor(source: str) -> None:
    """Refuse a ViT that reads pictures in another way than DINO."""
    stated = read_document(source, PREPROCESSOR_FILE, KIND) or {}
    for key, wanted in (("image_mean", IMAGENET_MEAN), ("image_std", IMAGENET_STD)):
        if stated.get(key, list(wanted)) != list(wanted):
            raise InputError(
                f"{source} must read pictures with DINO's {key} {list(wanted)}, got {stated[key]}; use a DINO's."
            )
