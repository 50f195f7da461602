"""Maps over a frame: resampling them, and the windows that hold their pixels."""

from __future__ import annotations

import cv2
import numpy as np


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of (h, w) or (h, w, C) float maps to size (H, W), pixel centres aligned."""
    height, width = size
    maps = np.ascontiguousarray(maps, np.float32)
    resized = cv2.resize(maps, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, *maps.shape[2:])  # OpenCV drops a last axis of length 1


def window_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (the last two exclusive) of the pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """The smallest boxes around masks (N, H, W) bool: (N, 4) float32 x0, y0, x1, y1, zeros around an empty mask.

    They run along the outer edges of pixels, so a mask of one pixel has a box of area 1; the original's end at the
    last pixel's near edge.
    """
    ends = []
    for axis in (1, 2):  # what is left of (N, H, W) is (N, W) for x, (N, H) for y
        lines = masks.any(axis=axis)
        first, last = lines.argmax(1), lines.shape[1] - lines[:, ::-1].argmax(1)
        ends.append((first * lines.any(1), last * lines.any(1)))
    (x0, x1), (y0, y1) = ends
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)
