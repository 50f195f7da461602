"""Regions cut out of a picture so that an encoder, which looks at whole pictures, sees one thing in its surroundings.

A region is left as it is; what lies around it is blurred and made pale, so that it says where the thing is, but not
what else is there. Compared with cutting along the tight box, with or without painting over the rest, this chose best
among proposals on a small ImageBind (docs/results/crops).

Legend: H x W the picture, N regions, S side of a crop in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from moca.core.frames import resized
from moca.core.maps import pixels_between, window_of
from moca.errors import InputError

STATED_SIZE = 224
"""Side of the square pictures that the widths of both blurs are stated for; they grow with the picture."""
EDGE_SIGMA = 2.0
"""Of the Gaussian that softens a region's edge, in pixels of such a picture."""
SURROUND_SIGMA = 12.0
"""Of the Gaussian that blurs what lies around it."""
SURROUND_GREY = 0.5
"""Share of grey that is mixed into what lies around it."""
GREY = 127.5
SIDE = 1.5
"""Side of the square that is cut out, over the longer side of the region's box."""


@dataclass(frozen=True)
class Surround:
    """A picture's blurred and pale copy, made once for all of its regions."""

    picture: np.ndarray
    """(H, W, 3) uint8, the picture itself."""
    scale: float
    """Its size over `STATED_SIZE`: the side of a square as large as the picture."""
    pale: np.ndarray
    """(h, w, 3) float32 in [0, 255], as large as the picture or smaller: there is no detail in it."""


def surround_of(picture: np.ndarray) -> Surround:
    """What lies around the regions of a picture (H, W, 3) uint8."""
    height, width = picture.shape[:2]
    scale = float(np.sqrt(height * width)) / STATED_SIZE
    small, sigma = picture, SURROUND_SIGMA * scale
    if scale > 1:  # a blur this wide needs no more pixels than this
        small = cv2.resize(picture, (max(1, round(width / scale)), max(1, round(height / scale))), cv2.INTER_AREA)
        sigma = SURROUND_SIGMA
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return Surround(picture=picture, scale=scale, pale=(1 - SURROUND_GREY) * blurred + SURROUND_GREY * GREY)


def cut_regions(picture: np.ndarray, masks: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Each region in its pale surroundings, (S, S, 3) uint8 with S = size.

    picture: (H, W, 3) uint8. masks: (N, H, W) bool, none of them empty. The square around a region's box, `SIDE` times
    its longer side, is cut out and resized to S; where it reaches beyond the picture, the pale surroundings are drawn
    on. In it a pixel is the picture's by the share that the softened mask has there, and pale for the rest.
    Raises InputError for masks of another size.
    """
    if masks.dtype != bool or masks.shape[1:] != picture.shape[:2]:
        raise InputError(
            f"masks must be bool of the picture's size {picture.shape[:2]}, got {masks.dtype} {masks.shape[1:]}; "
            "resize and threshold them first."
        )
    surround = surround_of(picture)
    for mask in masks:
        yield cut_region(surround, mask, size)


def cut_region(surround: Surround, mask: np.ndarray, size: int) -> np.ndarray:
    """One region of a picture, (S, S, 3) uint8; see `cut_regions`."""
    left, top, side = square_around(mask)
    # Made at the picture's own pixels where that is small, else at the crop's: never more than S x S pixels.
    made = min(max(1, round(side)), size)
    edge = EDGE_SIGMA * surround.scale * made / side
    soft = cv2.GaussianBlur(_window(mask, left, top, side, made), (0, 0), max(edge, 1e-3))[..., None]
    sharp = _window(surround.picture, left, top, side, made)
    shrunk = surround.pale.shape[0] / mask.shape[0], surround.pale.shape[1] / mask.shape[1]
    pale = _window(surround.pale, left * shrunk[1], top * shrunk[0], side * shrunk[1], made, high=side * shrunk[0])
    return resized(np.rint(soft * sharp + (1 - soft) * pale).astype(np.uint8), size, size)


def square_around(mask: np.ndarray) -> tuple[float, float, float]:
    """Left, top and side, in pixels, of the square around the box of a mask (H, W) that has pixels."""
    top, left, bottom, right = window_of(mask)
    side = SIDE * max(bottom - top, right - left)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def _window(
    plane: np.ndarray, left: float, top: float, wide: float, made: int, *, high: float | None = None
) -> np.ndarray:
    """A window of a plane (h, w) or (h, w, 3), whose edges may lie between and beyond pixels, as made x made pixels.

    Beyond a picture its last pixels go on; beyond a mask, which has no colours, is nothing. Returns float32, of a bool
    mask in [0, 1].
    """
    high = wide if high is None else high
    across, down = wide / made, high / made
    shrink = max(across, down)
    # Only the pixels that the window can reach: all that follows costs as much as the window, not as the plane.
    room = 2 + 2 * int(np.ceil(shrink))
    rows = pixels_between(top - room, top + high + room, plane.shape[0])
    columns = pixels_between(left - room, left + wide + room, plane.shape[1])
    part = plane[rows, columns]
    part = part.astype(np.uint8) * 255 if part.dtype == bool else part
    left, top = left - columns.start, top - rows.start
    if shrink > 2:  # sampling alone would skip pixels
        height, width = part.shape[:2]
        small = max(1, round(width * 2 / shrink)), max(1, round(height * 2 / shrink))
        fx, fy = small[0] / width, small[1] / height
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        left, top, across, down = left * fx, top * fy, across * fx, down * fy
    # Centre of the first pixel of the result, in the part's own numbering of pixel centres.
    matrix = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])
    border = cv2.BORDER_CONSTANT if part.ndim == 2 else cv2.BORDER_REPLICATE
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(part.astype(np.float32), matrix, (made, made), flags=flags, borderMode=border, borderValue=0)
    return found / 255 if plane.dtype == bool else found
