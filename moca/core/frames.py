"""Frames, RGB uint8 (H, W, 3): checking, resampling and normalising them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from moca.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pictures, of RGB in [0, 1]; DINO, SAM and Grounding DINO read pictures by it."""
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of CLIP's training pictures, of RGB in [0, 1]; ImageBind and OWLv2 read pictures by it."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def check_frames(frames: np.ndarray | Sequence[np.ndarray]) -> None:
    """InputError unless every frame is uint8 (H, W, 3) and has pixels."""
    for i, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise InputError(
                f"a frame must be a uint8 array of shape (height, width, 3), got {frame.dtype} {frame.shape} "
                f"for frame {i}; convert it to RGB."
            )


def resized(
    frame: np.ndarray, width: int, height: int, *, by: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    """A frame (H, W, 3) uint8 stretched to (height, width, 3); as it is where it already fits.

    by: Pillow's filter.
    """
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), by))
