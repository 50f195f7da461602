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


def size_within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A size (H, W) made so small that its longer side is at most longest; each side keeps a pixel, however narrow."""
    share = min(1.0, longest / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) at the size (h, w), bool: true where at least half a pixel is covered.

    A mask that covers half of no pixel, such as a dot in a large frame, is true wherever it covers anything, so that
    only an empty mask becomes empty.
    """
    cover = cv2.resize(mask.astype(np.uint8) * 255, size[::-1], interpolation=cv2.INTER_AREA)
    small = cover >= 128
    if small.any():
        return small
    return cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0


def window_of(mask: np.ndarray, *, margin: int = 0) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (the last two exclusive) of the pixels of a mask (H, W) that has some.

    margin: rows and columns added on every side, as far as the mask reaches.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        max(0, int(rows[0]) - margin),
        max(0, int(columns[0]) - margin),
        min(mask.shape[0], int(rows[-1]) + 1 + margin),
        min(mask.shape[1], int(columns[-1]) + 1 + margin),
    )


def pixels_between(low: float, high: float, size: int) -> slice:
    """The whole pixels of a side of `size` that what lies from low to high touches: within the side, never none.

    >>> pixels_between(1.2, 3.5, 8), pixels_between(-4, -1, 8), pixels_between(9, 12, 8)
    (slice(1, 4, None), slice(0, 1, None), slice(7, 8, None))
    """
    first = min(max(int(np.floor(low)), 0), size - 1)
    return slice(first, max(first + 1, min(int(np.ceil(high)), size)))


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
