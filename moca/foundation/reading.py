"""How the detectors read frames: checked, normalised, and with the statistics that their folder names."""

from __future__ import annotations

import torch
from torch import Tensor

from moca.errors import InputError
from moca.foundation.pretrained import Kind, read_document

READING_FILE = "preprocessor_config.json"


def normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Pixels (B, 3, H, W) in [0, 1] less the mean of their channel, over its standard deviation."""
    return (pixels - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)


def reading_document(size: dict[str, int], mean: tuple[float, ...], std: tuple[float, ...], **others: object) -> dict:
    """A preprocessor_config.json: bilinear resizing to a size, values to [0, 1], mean and deviation of a channel."""
    return {
        **others,
        "do_resize": True,
        "size": size,
        "resample": 2,  # Pillow's bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
        "do_pad": True,
    }


def read_reading(source: str, kind: Kind, mean: tuple[float, ...], std: tuple[float, ...]) -> dict:
    """preprocessor_config.json of a source, {} where there is none; InputError where its statistics are others."""
    reading = read_document(source, READING_FILE, kind) or {}
    for key, wanted in (("image_mean", list(mean)), ("image_std", list(std))):
        if reading.get(key, wanted) != wanted:
            raise InputError(
                f"{source} must read pictures with {key} {wanted}, got {reading[key]}; use a model "
                f"such as {kind.example}."
            )
    return reading
