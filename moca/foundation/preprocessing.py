"""Pictures to the normalised pixels that ImageBind's image tower reads."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from moca.core.frames import resized
from moca.errors import InputError

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, of RGB in [0, 1]
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
FITS = ("stretch", "crop")


def preprocess_frames(frames: Sequence[np.ndarray] | np.ndarray, size: int, fit: str = "stretch") -> Tensor:
    """Frames as a normalised float32 batch (B, 3, size, size).

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
    pixels = np.empty((len(frames), size, size, 3), dtype=np.uint8)
    for i, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise InputError(
                f"a frame must be a uint8 array of shape (height, width, 3), got {frame.dtype} {frame.shape} "
                f"for frame {i}; convert it to RGB."
            )
        pixels[i] = _centre_square(frame, size) if fit == "crop" else resized(frame, size, size)
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(255.0)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return batch.sub_(mean).div_(std)


def _centre_square(frame: np.ndarray, size: int) -> np.ndarray:
    height, width = frame.shape[:2]
    short = min(height, width)
    # The long side is truncated and the crop's corner rounded half to even, as torchvision does.
    frame = resized(frame, int(size * width / short), int(size * height / short))
    top, left = (round((side - size) / 2) for side in frame.shape[:2])
    return frame[top : top + size, left : left + size]
