"""Frames to the normalised pixels that models read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from moca.core.frames import CLIP_MEAN, CLIP_STD, check_frames, resized
from moca.errors import InputError

FITS = ("stretch", "crop")


def preprocess_frames(frames: Sequence[np.ndarray] | np.ndarray, size: int, fit: str = "stretch") -> Tensor:
    """Frames as ImageBind reads them: a batch (B, 3, size, size) float32, normalised by CLIP's statistics.

    frames: RGB uint8 arrays (H, W, 3), of any and possibly different sizes. fit "crop" is ImageBind's own:
    short side to `size`, then the centre square; "stretch" resizes the whole frame to the square, so that no
    side of the picture is lost, which is what segmentation uses. Both resize with Pillow's bicubic filter;
    a frame that is already `size` x `size` is not resampled. No frames give an empty batch.
    Source of "crop": ImageBind data.py.
    """
    if fit not in FITS:
        raise InputError(f"fit must be 'stretch' or 'crop', got {fit!r}; choose one of them.")
    if size < 1:
        raise InputError(f"size must be at least 1 pixel, got {size}; raise it.")
    check_frames(frames)
    squares = np.empty((len(frames), size, size, 3), dtype=np.uint8)
    for i, frame in enumerate(frames):
        squares[i] = _centre_square(frame, size) if fit == "crop" else resized(frame, size, size)
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous().float().div_(255.0)
    return normalised(pixels, CLIP_MEAN, CLIP_STD)


def normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Pixels (B, 3, H, W), or (3, H, W), less the mean of their channel, over its standard deviation."""
    return pixels.sub(torch.tensor(mean).reshape(3, 1, 1)).div_(torch.tensor(std).reshape(3, 1, 1))


def _centre_square(frame: np.ndarray, size: int) -> np.ndarray:
    height, width = frame.shape[:2]
    short = min(height, width)
    # The long side is truncated and the crop's corner rounded half to even, as torchvision does.
    frame = resized(frame, int(size * width / short), int(size * height / short))
    top, left = (round((side - size) / 2) for side in frame.shape[:2])
    return frame[top : top + size, left : left + size]
