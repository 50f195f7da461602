"""How Grounding DINO reads frames: resized by their sides, and normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD, resized
from moca.errors import InputError
from moca.foundation.preprocessing import normalised
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE, read_preprocessor
from moca.foundation.published import Kind

PUBLISHED_SIDES = (800, 1333)


def fitted_size(height: int, width: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Height and width to which a frame is resized: its short side to the first of `sides` or, where its long side
    would get longer than the second, to what keeps within; rounded as published."""
    short, long = min(height, width), max(height, width)
    target = sides[0] if long / short * sides[0] <= sides[1] else sides[1] * short / long
    low = round(target)
    high = long if short == low else int(target * long / short)
    return (low, high) if height <= width else (high, low)


def preprocess_frames(frames: Sequence[np.ndarray], sides: tuple[int, int]) -> Tensor:
    """Frames of one size as Grounding DINO reads them: bilinear to `fitted_size`, ImageNet statistics.

    Returns float32 (B, 3, height, width).
    """
    height, width = fitted_size(*frames[0].shape[:2], sides)
    small = np.stack([resized(frame, width, height, by=Image.Resampling.BILINEAR) for frame in frames])
    return normalised(torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255, IMAGENET_MEAN, IMAGENET_STD)


def read_sides(source: str, kind: Kind) -> tuple[int, int]:
    """The sides that preprocessor_config.json of a source names; the published ones where there is none."""
    size = read_preprocessor(source, kind, IMAGENET_MEAN, IMAGENET_STD).get("size")
    if size is None:
        return PUBLISHED_SIDES
    if not isinstance(size, dict) or {"shortest_edge", "longest_edge"} - set(size):
        raise InputError(
            f"size in {PREPROCESSOR_FILE} of {source} must name shortest_edge and longest_edge, got {size}; restore it."
        )
    return size["shortest_edge"], size["longest_edge"]


def checked_sides(model: PreTrainedModel, sides: tuple[int, int] | None) -> tuple[int, int]:
    """The sides that are given, or for None the side of the model's backbone for both; InputError for others."""
    if sides is None:
        return (model.config.backbone_config.image_size,) * 2
    short, long = sides
    if not (isinstance(short, int) and isinstance(long, int) and 1 <= short <= long):
        raise InputError(f"sides must be two whole numbers of pixels, the short one first, got {sides}; change them.")
    return short, long


def check_shape(model: PreTrainedModel, shape: tuple[int, int], sides: tuple[int, int]) -> None:
    """InputError for a frame so narrow that it has fewer places than the model has boxes."""
    config = model.config
    swin, size = config.backbone_config, fitted_size(*shape, sides)
    steps = [swin.patch_size * 2 ** (stage - 1) for stage in swin.out_indices]
    while len(steps) < config.num_feature_levels:
        steps.append(2 * steps[-1])
    places = sum(-(-size[0] // step) * -(-size[1] // step) for step in steps)
    if places < config.num_queries:
        raise InputError(
            f"a frame must have at least {config.num_queries} places to look at when it is read, got {places} for "
            f"{shape[0]} x {shape[1]} pixels; cut it to a shape that is less narrow."
        )
