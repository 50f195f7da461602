"""Masks and pictures as the reports show them: small, and as JPEG."""

from __future__ import annotations

import cv2
import numpy as np


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """An RGB uint8 (H, W, 3) as a JPEG file; quality: 0 to 100."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
