"""DINO, DINOv2 and DINOv3: picture features learnt without labels, by which frames that look alike are found.

A published one is a folder of `transformers` with `config.json` and `model.safetensors`; what differs between the
families is in `dino_families`. Letters: B frames, D width, G places per side of the map, P tokens before the map's.
Sources: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021; Oquab et al., DINOv2,
TMLR 2024; Darcet et al., Vision Transformers Need Registers, ICLR 2024; Simeoni et al., DINOv3, 2025
(arXiv:2508.10104).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD, check_frames, resized
from moca.errors import InputError
from moca.foundation.dino_families import FAMILIES, family_of
from moca.foundation.preprocessing import normalised
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE
from moca.foundation.pretrained import load_pretrained, read_config, read_document, save_pretrained
from moca.foundation.published import Kind, find_source
from moca.foundation.roles import Frames

TOKENS = ("patches", "class")
KIND = Kind(role="images", types=tuple(FAMILIES), example="facebook/dino-vits8", spare=("pooler.",))


class Dino:
    """A frozen DINO of any family that turns frames into features, in batches, on the device its model is on.

    model: one of `transformers` (see `dino_families`), which is frozen and put in eval mode. image_size: side in
    pixels of the square that a frame is stretched to, a multiple of `patch_px`; None takes the model's own. A ViT whose
    positions are stored has them interpolated for another size.
    """

    def __init__(self, model: PreTrainedModel, *, image_size: int | None = None):
        self.family = family_of(model.config)
        self.patch_px = self.family.patch_px(model.config)
        size = self.family.image_px(model.config) if image_size is None else image_size
        if size < 1 or size % self.patch_px:
            raise InputError(
                f"image_size must be a multiple of the patch ({self.patch_px} pixels), got {size}; change it."
            )
        self.model = model.eval().requires_grad_(False)
        self.image_size = size

    @property
    def width(self) -> int:
        """D, the length of a feature."""
        return self.family.width(self.model.config)

    @property
    def grid(self) -> int:
        """G, the number of places along a side: patches of a ViT, cells of a ConvNeXt's last map."""
        return self.image_size // self.patch_px

    def features(self, frames: Frames, *, token: str = "patches", batch: int = 64) -> np.ndarray:
        """One feature per frame, (B, D) float32, not normed.

        frames: RGB uint8 (B, H, W, 3), which may be memory-mapped, or a sequence of (H, W, 3) of any sizes.
        token "patches": the mean of the patch features, the "global average pooling" by which MoCA
        (arXiv 2403.14203, section 3.2) finds neighbours; "class": the class token, DINO's own for k-NN, which is a
        ConvNeXt's pooled map. Registers are left out of both.
        batch: frames computed at a time; it changes memory, not results. No frames give (0, D).
        """
        if token not in TOKENS:
            raise InputError(f"token must be 'patches' or 'class', got {token!r}; choose one of them.")
        skipped = self._skipped
        rows = [x[:, skipped:].mean(1) if token == "patches" else x[:, 0] for x in self._tokens(frames, batch)]
        return torch.cat(rows).numpy() if rows else np.empty((0, self.width), np.float32)

    def patches(self, frames: Frames, *, batch: int = 64) -> np.ndarray:
        """The features of every place, (B, G, G, D) float32, rows from top to bottom; frames as in `features`.

        A ViT's are its patches, a ConvNeXt's the cells of its last map: both are the last layer, normed.
        """
        side, skipped = self.grid, self._skipped
        grids = [x[:, skipped:].unflatten(1, (side, side)) for x in self._tokens(frames, batch)]
        return torch.cat(grids).numpy() if grids else np.empty((0, side, side, self.width), np.float32)

    @property
    def _skipped(self) -> int:
        """P, the tokens before the map's: the class token and the registers."""
        return 1 + self.family.registers(self.model.config)

    @torch.inference_mode()
    def _tokens(self, frames: Frames, batch: int) -> Iterator[Tensor]:
        """Normed last tokens (b, P + G * G, D) of one batch after the other, float32 on the CPU."""
        if batch < 1:
            raise InputError(f"batch must be at least 1 frame, got {batch}; raise it.")
        for start in range(0, len(frames), batch):
            squares = preprocess_frames(frames[start : start + batch], self.image_size, by=self.family.resample)
            pixels = squares.to(self.model.device, self.model.dtype)
            yield self.model(pixels, **self.family.options).last_hidden_state.float().cpu()


def preprocess_frames(frames: Frames, size: int, *, by: Image.Resampling = Image.Resampling.BICUBIC) -> Tensor:
    """Frames as DINO reads them: stretched to the square, ImageNet statistics, float32 (B, 3, size, size).

    by: Pillow's filter.
    """
    check_frames(frames)
    squares = np.empty((len(frames), size, size, 3), np.uint8)
    for number, frame in enumerate(frames):
        squares[number] = resized(frame, size, size, by=by)
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous().float().div_(255.0)
    return normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)


def load_dino(
    name: str | Path = "mini",
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    image_size: int | None = None,
) -> Dino:
    """A frozen DINO, DINOv2 or DINOv3.

    name: "mini" (bundled), a name of `moca weights list`, a folder in the published format, or a hub id such as
    "facebook/dino-vits8" or "facebook/dinov2-base", which is downloaded once. Those of DINOv3 are handed out by the
    hub to whoever has agreed to their licence there and is logged in. dtype: float32
    or bfloat16, what is computed in; features are float32 either way.
    image_size: see `Dino`; None takes what the folder's preprocessor crops to (224 for DINOv2, whose stored positions
    are those of 518), else the configuration's. Only safetensors are read, so nothing stored in a file is ever
    executed. Raises InputError, in one line, for a model that is not there, is damaged, or is not a DINO.
    """
    source = find_source(name, KIND)
    family = FAMILIES[read_config(source, KIND)["model_type"]]
    stated = _read_preprocessor(source)
    model = load_pretrained(family.model_class(), source, KIND, dtype=dtype, **family.loading)
    own = _cropped_px(stated) if image_size is None else image_size
    return Dino(model.to(device), image_size=own)


def save_dino(folder: str | Path, model: PreTrainedModel, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model into a folder, which is created, in the published format that `load_dino` reads.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. All files
    are complete before any of them replaces an older one.
    """
    family = family_of(model.config)
    size = family.image_px(model.config)
    preprocessor = {
        "image_processor_type": family.processor,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": int(family.resample),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
    }
    save_pretrained(folder, model, dtype=dtype, documents={PREPROCESSOR_FILE: preprocessor})


def _read_preprocessor(source: str) -> dict:
    """The preprocessor's document, {} where there is none; refuses one that reads pictures in another way than DINO."""
    stated = read_document(source, PREPROCESSOR_FILE, KIND) or {}
    for key, wanted in (("image_mean", IMAGENET_MEAN), ("image_std", IMAGENET_STD)):
        if stated.get(key, list(wanted)) != list(wanted):
            raise InputError(
                f"{source} must read pictures with DINO's {key} {list(wanted)}, got {stated[key]}; use a DINO's."
            )
    return stated


def _cropped_px(stated: dict) -> int | None:
    """The side that a preprocessor crops pictures to, None where it does not crop to a square."""
    crop = stated.get("crop_size") if stated.get("do_center_crop") else None
    sides = {crop.get("height"), crop.get("width")} if isinstance(crop, dict) else {crop}
    side = sides.pop()
    return side if isinstance(side, int) and not sides else None
