"""preprocessor_config.json, by which a published folder says how its model reads pictures."""

from __future__ import annotations

from moca.errors import InputError
from moca.foundation.pretrained import read_document
from moca.foundation.published import Kind

PREPROCESSOR_FILE = "preprocessor_config.json"


def preprocessor_document(
    size: dict[str, int], mean: tuple[float, ...], std: tuple[float, ...], **others: object
) -> dict:
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


def read_preprocessor(source: str, kind: Kind, mean: tuple[float, ...], std: tuple[float, ...]) -> dict:
    """preprocessor_config.json of a source, {} where there is none; InputError where its statistics are others."""
    stated = read_document(source, PREPROCESSOR_FILE, kind) or {}
    for key, wanted in (("image_mean", list(mean)), ("image_std", list(std))):
        if stated.get(key, wanted) != wanted:
            raise InputError(
                f"{source} must read pictures with {key} {wanted}, got {stated[key]}; use a model "
                f"such as {kind.example}."
            )
    return stated
