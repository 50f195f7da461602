"""Masks and pictures as the reports show them: small, and as JPEG."""

from __future__ import annotations

import cv2
import numpy as np


def small_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask at another size (width, height); a few pixels of a large frame must not vanish."""
    cover = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    small = cover >= 128
    return small if small.any() else cover > 0


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """An RGB uint8 (H, W, 3) as a JPEG file; quality: 0 to 100."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
