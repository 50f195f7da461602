"""A step's pictures as a report shows them: small, and as JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from moca.core.maps import shrink_mask, size_within
from moca.core.step import StepResult
from moca.reports.painting import COARSE_COLOUR, paint_heat, paint_mask, paint_proposals

THUMBNAIL_PX = 420
"""Longer side of a picture."""
_JPEG_QUALITY = 82


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnails:
    """The pictures of one step as JPEG files, all of one size."""

    size: tuple[int, int]
    """Height and width in pixels."""
    frame: bytes
    heat: bytes
    mask: bytes | None
    """None where the mask is empty."""
    frame_s: float
    """Time of the frame."""
    segments: int
    """How many segments the mask has."""
    coarse: bytes | None = None
    """The mask that proposals were compared with; None where none were made."""
    proposals: bytes | None = None
    """Outlines of the proposals; None where none were made."""
    proposed: int = 0
    """How many proposals were made."""
    matched: int = 0
    """How many of them match."""


def thumbnails(frame: np.ndarray, result: StepResult) -> Thumbnails:
    """The pictures of a step, of its frame (H, W, 3) uint8 RGB; shrunk before they are painted: outlines stay crisp."""
    size = size_within(frame.shape[:2], THUMBNAIL_PX)
    small = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
    heat = cv2.resize(np.nan_to_num(result.heat).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    mask = shrink_mask(result.mask, size)
    return Thumbnails(
        size=size,
        frame=jpeg(small, _JPEG_QUALITY),
        heat=jpeg(paint_heat(small, heat), _JPEG_QUALITY),
        mask=jpeg(paint_mask(small, mask), _JPEG_QUALITY) if mask.any() else None,
        frame_s=float(result.frame_s),
        segments=len(result.segments),
        **_stages(small, result),
    )


def _stages(small: np.ndarray, result: StepResult) -> dict[str, Any]:
    """The coarse mask and the proposals on a small frame, and what they come to; nothing where none were made."""
    proposals = result.proposals
    if result.coarse is None or proposals is None:
        return {}
    size = small.shape[:2]
    masks = [shrink_mask(mask, size) for mask in proposals.masks]
    return {
        "coarse": jpeg(paint_mask(small, shrink_mask(result.coarse, size), colour=COARSE_COLOUR), _JPEG_QUALITY),
        "proposals": jpeg(paint_proposals(small, masks, proposals.matched), _JPEG_QUALITY),
        "proposed": len(proposals),
        "matched": len(proposals.matched),
    }


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """An RGB uint8 (H, W, 3) as a JPEG file; quality: 0 to 100."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
