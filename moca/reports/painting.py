"""Painting results onto frames: masks, heat maps, proposals, contact sheets.

Every function takes and returns (H, W, 3) uint8 RGB, leaves its input untouched, keeps the frame's size, and takes
frames of any shape. Lines grow with the shorter side, so that 240p and 4K look alike.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from moca.core.frames import check_frames
from moca.core.maps import window_of
from moca.errors import InputError

Colour = tuple[int, int, int]
"""Red, green, blue, each from 0 to 255."""

MASK_COLOUR: Colour = (255, 32, 128)
"""Of a step's mask: hardly any natural surface has it."""
COARSE_COLOUR: Colour = (40, 150, 255)
"""Of the coarse mask that proposals are compared with."""


def paint_mask(frame: np.ndarray, mask: np.ndarray, *, colour: Colour = MASK_COLOUR, alpha: float = 0.45) -> np.ndarray:
    """Tint the mask and draw its outline.

    frame: (H, W, 3) uint8 RGB; mask: (H, W) bool; alpha: share of the tint in [0, 1]. The outline is white
    inside and black outside the mask's edge, so that it shows on any background, this colour included.
    """
    check_plane(frame, mask, "mask")
    _check_share("alpha", alpha)
    if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
        raise InputError(f"colour must be three values from 0 to 255, got {colour}; give it as (r, g, b).")
    painted = frame.copy()
    if not mask.any():
        return painted
    width = _line_px(frame)
    window = _window(mask, margin=width + 1)
    area, region = painted[window], mask[window].astype(np.uint8)
    tint = cv2.addWeighted(area, 1.0 - alpha, np.full_like(area, colour), alpha, 0.0)
    np.copyto(area, tint, where=region[..., None].astype(bool))
    inside, outside = _outline(region, width)
    area[outside] = area[outside] // 4
    area[inside] = 255
    return painted


def paint_heat(frame: np.ndarray, heat: np.ndarray, *, alpha: float = 0.65) -> np.ndarray:
    """Blend a score map over the greyscale frame: black is 0, yellow is 1 (colour map inferno).

    frame: (H, W, 3) uint8 RGB; heat: (H, W) float, clipped to [0, 1], NaN as 0; alpha: share of the map.
    """
    check_plane(frame, heat, "heat")
    _check_share("alpha", alpha)
    levels = np.rint(np.clip(np.nan_to_num(heat), 0.0, 1.0) * 255.0).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(_grey(frame), 1.0 - alpha, colours, alpha, 0.0)


def paint_proposals(frame: np.ndarray, masks: Sequence[np.ndarray], matched: Sequence[int] = ()) -> np.ndarray:
    """Outline every mask in a colour of its own over a grey frame; those that matched keep the frame's colours.

    frame: (H, W, 3) uint8 RGB; masks: (H, W) bool each, best first; matched: indices, whose masks are also tinted and
    lie over the others with an outline twice as wide. The better mask lies over the worse; empty ones are left out.
    """
    painted = cv2.convertScaleAbs(_grey(frame), alpha=0.7)
    for index in sorted(range(len(masks)), key=lambda index: (index in matched, -index)):
        mask = masks[index]
        check_plane(frame, mask, "mask")
        if not mask.any():
            continue
        width = (2 if index in matched else 1) * _line_px(frame)
        window = _window(mask, margin=width + 1)
        area, inside = painted[window], mask[window]
        colour = np.array(proposal_colour(index), np.uint8)
        if index in matched:
            tint = cv2.addWeighted(frame[window], 0.7, np.full_like(area, colour), 0.3, 0.0)
            np.copyto(area, tint, where=inside[..., None])
        edge, _ = _outline(inside.astype(np.uint8), width)
        area[edge] = colour
    return painted


def proposal_colour(index: int) -> Colour:
    """A bright colour for a proposal; neighbours in rank are far apart in hue."""
    red, green, blue = colorsys.hsv_to_rgb(0.12 + index * 0.618034 % 1, 0.8, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def dim_outside(frame: np.ndarray, mask: np.ndarray, *, strength: float = 0.7) -> np.ndarray:
    """Keep the mask's pixels; the others turn grey and darker, by strength in [0, 1] (1 is black).

    frame: (H, W, 3) uint8 RGB; mask: (H, W) bool. An empty mask dims the whole frame.
    """
    check_plane(frame, mask, "mask")
    _check_share("strength", strength)
    dimmed = cv2.convertScaleAbs(_grey(frame), alpha=1.0 - strength)
    np.copyto(dimmed, frame, where=mask[..., None].astype(bool))
    return dimmed


def contact_sheet(
    images: Sequence[np.ndarray], columns: int, *, gap: int = 4, background: Colour = (24, 26, 30)
) -> np.ndarray:
    """Lay images out in a grid, row by row; cells are as large as the largest, smaller images are centred."""
    if not images or columns < 1:
        raise InputError(
            f"a contact sheet needs at least 1 image and 1 column, got {len(images)} and {columns}; add some."
        )
    check_frames(images)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.broadcast_to(np.array(background, np.uint8), size).copy()
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap) + (height - image.shape[0]) // 2
        left = gap + (index % columns) * (width + gap) + (width - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def check_plane(frame: np.ndarray, plane: np.ndarray, name: str) -> None:
    """InputError unless frame is (H, W, 3) uint8 and plane, called name in the refusal, is (H, W)."""
    check_frames([frame])
    if plane.shape != frame.shape[:2]:
        raise InputError(f"{name} must have the frame's size {frame.shape[:2]}, got {plane.shape}; resize it first.")


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must be between 0 and 1, got {value}; leave it out for the default.")


def _window(mask: np.ndarray, *, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the mask's window: painting within it keeps small masks cheap."""
    top, left, bottom, right = window_of(mask, margin=margin)
    return slice(top, bottom), slice(left, right)


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _line_px(frame: np.ndarray) -> int:
    return max(1, round(min(frame.shape[:2]) / 300))


def _outline(region: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Bands of `width` pixels inside and outside the edge of region (h, w) uint8, as bool (h, w).

    Outside the window counts as background, so that a mask reaching the frame's border is closed there.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    inner = cv2.erode(region, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outer = cv2.dilate(region, disc)
    return (region > inner), (outer > region)
