"""Painting results onto frames: masks, heat maps, captions, contact sheets.

Every function takes and returns (H, W, 3) uint8 RGB, leaves its input untouched, keeps the frame's size, and
works from 16 x 16 upwards. Lines and letters grow with the shorter side, so that 240p and 4K look alike.
"""

from __future__ import annotations

import colorsys
import math
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moca.core.step import StepResult
from moca.errors import InputError

Colour = tuple[int, int, int]

MASK_COLOUR: Colour = (255, 32, 128)  # hardly any natural surface has it
COARSE_COLOUR: Colour = (40, 150, 255)
LEVEL_FLOOR_DBFS = -60.0  # the meter is empty here and full at 0
_LEGIBLE_PX = 8  # letters smaller than this are left out
_DASHES = str.maketrans({"−": "-", "–": "-", "—": "-"})


def paint_mask(frame: np.ndarray, mask: np.ndarray, *, colour: Colour = MASK_COLOUR, alpha: float = 0.45) -> np.ndarray:
    """Tint the mask and draw its outline.

    frame: (H, W, 3) uint8 RGB; mask: (H, W) bool; alpha: share of the tint in [0, 1]. The outline is white
    inside and black outside the mask's edge, so that it shows on any background, this colour included.
    """
    _check(frame, mask, "mask")
    _check_share("alpha", alpha)
    if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
        raise InputError(f"colour must be three values from 0 to 255, got {colour}; give it as (r, g, b).")
    painted = frame.copy()
    if not mask.any():
        return painted
    width = _line_px(frame)
    window = _bounding_window(mask, margin=width + 1)
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
    _check(frame, heat, "heat")
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
    chosen = set(matched)
    for at in sorted(range(len(masks)), key=lambda at: (at in chosen, -at)):
        mask = masks[at]
        _check(frame, mask, "mask")
        if not mask.any():
            continue
        width = (2 if at in chosen else 1) * _line_px(frame)
        window = _bounding_window(mask, margin=width + 1)
        area, inside = painted[window], mask[window]
        colour = np.array(proposal_colour(at), np.uint8)
        if at in chosen:
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
    _check(frame, mask, "mask")
    _check_share("strength", strength)
    dimmed = cv2.convertScaleAbs(_grey(frame), alpha=1.0 - strength)
    np.copyto(dimmed, frame, where=mask[..., None].astype(bool))
    return dimmed


def caption(frame: np.ndarray, lines: Sequence[str], *, meter: float | None = None) -> np.ndarray:
    """Write lines into a dark label at the bottom left, optionally after a level meter.

    meter: None, or how full the meter is in [0, 1]. Long lines wrap, and what does not fit into 40 % of the
    height ends in an ellipsis. Where letters would be under 8 pixels high, only the meter is drawn.
    """
    _check(frame, frame[..., 0], "frame")
    steps = None if meter is None or math.isnan(meter) else round(48 * min(1.0, max(0.0, meter)))
    label = _label(tuple(lines), steps, *frame.shape[:2])
    captioned = frame.copy()
    if label is None:
        return captioned
    colours, opacity, left, top = label
    height, width = opacity.shape[:2]
    area = captioned[top : top + height, left : left + width]
    area[:] = np.rint(area * (1.0 - opacity) + colours * opacity).astype(np.uint8)
    return captioned


def paint_step(frame: np.ndarray, result: StepResult) -> np.ndarray:
    """One frame of the overlay video: the step's mask, time, audio level and score, or why there is no mask.

    frame: (H, W, 3) uint8 RGB of the same size as `result.mask`.
    """
    _check(frame, result.mask, "mask")
    facts = [format_time(result.frame_s), format_level(result.level_dbfs).replace(" ", "\xa0")]
    if not math.isnan(result.score):
        facts.append(f"score\xa0{result.score:.2f}")
    lines = ["   ".join(facts)]
    if not result.mask.any():
        reason = result.reason or "the method found no sounding region"
        lines.append(f"No mask. {reason[:1].upper()}{reason[1:]}")
    return caption(paint_mask(frame, result.mask), lines, meter=meter_fill(result.level_dbfs))


def contact_sheet(
    images: Sequence[np.ndarray], columns: int, *, gap: int = 4, background: Colour = (24, 26, 30)
) -> np.ndarray:
    """Lay images out in a grid, row by row; cells are as large as the largest, smaller images are centred."""
    if not images or columns < 1:
        raise InputError(
            f"a contact sheet needs at least 1 image and 1 column, got {len(images)} and {columns}; add some."
        )
    for image in images:
        _check(image, image[..., 0], "image")
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.broadcast_to(np.array(background, np.uint8), size).copy()
    for i, image in enumerate(images):
        top = gap + (i // columns) * (height + gap) + (height - image.shape[0]) // 2
        left = gap + (i % columns) * (width + gap) + (width - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def format_time(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss, with a tenth where it is not a whole second: 63.5 -> '1:03.5'."""
    tenths = max(0, round(seconds * 10))
    whole, tenth = divmod(tenths, 10)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    text = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{text}.{tenth}" if tenth else text


def format_level(level_dbfs: float) -> str:
    """'-23 dBFS', or 'no sound' for minus infinity and NaN."""
    return f"{level_dbfs:.0f} dBFS" if math.isfinite(level_dbfs) else "no sound"


def meter_fill(level_dbfs: float) -> float:
    """How full the level meter is in [0, 1]: 0 at -60 dBFS, below, and without sound; 1 at 0 dBFS."""
    if not math.isfinite(level_dbfs):
        return 0.0
    return min(1.0, max(0.0, 1.0 - level_dbfs / LEVEL_FLOOR_DBFS))


def _check(frame: np.ndarray, plane: np.ndarray, name: str) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise InputError(f"frame must be (H, W, 3) uint8 RGB, got shape {frame.shape} {frame.dtype}; convert it first.")
    if plane.shape != frame.shape[:2]:
        raise InputError(f"{name} must have the frame's size {frame.shape[:2]}, got {plane.shape}; resize it first.")


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must be between 0 and 1, got {value}; leave it out for the default.")


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _line_px(frame: np.ndarray) -> int:
    return max(1, round(min(frame.shape[:2]) / 300))


def _bounding_window(mask: np.ndarray, *, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold the mask, `margin` wider; keeps painting small masks cheap."""
    spans = []
    for axis in (1, 0):
        at = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(max(0, int(at[0]) - margin), int(at[-1]) + 1 + margin))
    return spans[0], spans[1]


def _outline(region: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Bands of `width` pixels inside and outside the edge of region (h, w) uint8, as bool (h, w).

    Outside the window counts as background, so that a mask reaching the frame's border is closed there.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    inner = cv2.erode(region, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outer = cv2.dilate(region, disc)
    return (region > inner), (outer > region)


@lru_cache(maxsize=16)
def _label(
    lines: tuple[str, ...], meter_steps: int | None, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, int, int] | None:
    """Colours (h, w, 3) float32, opacity (h, w, 1) in [0, 1], left, top; None when there is nothing to draw.

    Cached, because all frames of a step share one label.
    """
    size = min(max(12, round(0.036 * min(height, width))), height // 5, width // 12)
    pad = max(1, round(size * 0.55))
    meter_px = 0 if meter_steps is None else max(4, min(5 * size, width // 5))
    room = width - 4 * pad
    wrapped = []
    if size >= _LEGIBLE_PX:
        # The first line shares its row with the meter.
        indent = meter_px + pad if meter_px else 0
        wrapped = _wrap(lines, size, room, indent, rows=max(1, int(0.4 * height / (1.35 * size))))
    if not wrapped and not meter_px:
        return None
    pitch = round(1.35 * max(size, 3))
    text_px = max((indent + _text_px(text, size) for text, indent in wrapped), default=0)
    box = (max(text_px, meter_px) + 2 * pad, max(1, len(wrapped)) * pitch + pad)
    image = Image.new("RGBA", (min(box[0], width), min(box[1], height)), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius=size // 3, fill=(10, 12, 16, 190))
    if meter_steps is not None:
        top = pad // 2 + pitch // 2 - max(1, size // 4)
        _draw_meter(draw, (pad, top, pad + meter_px - 1, top + max(1, size // 2)), meter_steps / 48)
    for row, (text, indent) in enumerate(wrapped):
        at = (pad + indent, pad / 2 + (row + 0.5) * pitch)
        draw.text(at, text, font=_font(size), fill=(255, 255, 255, 255), anchor="lm")
    pixels = np.asarray(image, np.float32)
    margin = min(pad, width - image.width, height - image.height)
    return pixels[..., :3], pixels[..., 3:] / 255.0, margin, height - image.height - margin


def _draw_meter(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], fill: float) -> None:
    """A horizontal bar: grey trough, green up to -18 dBFS, amber up to -6, red above."""
    left, top, right, bottom = box
    draw.rectangle(box, fill=(88, 94, 104, 255))
    for start, end, colour in (
        (0.0, 0.7, (58, 208, 122)),
        (0.7, 0.9, (255, 190, 60)),
        (0.9, 1.0, (255, 84, 72)),
    ):
        if fill > start:
            span = right + 1 - left
            first = left + round(span * start)
            last = left + max(1, round(span * min(fill, end))) - 1
            if last >= first:  # a level just above a colour's start does not fill its first pixel
                draw.rectangle((first, top, last, bottom), fill=(*colour, 255))


def _wrap(lines: Sequence[str], size: int, room: int, first_indent: int, *, rows: int) -> list[tuple[str, int]]:
    """Break lines at spaces to at most `rows` rows of `room` pixels -> [(text, indent)]."""
    wrapped: list[tuple[str, int]] = []
    for line in lines:
        current = ""
        for word in map(_plain, line.split(" ")):  # a no-break space stays inside its word
            indent = 0 if wrapped else first_indent
            longer = f"{current} {word}" if current else word
            if current and _text_px(longer, size) > room - indent:
                wrapped.append((_shorten(current, size, room - indent), indent))
                current = word
            else:
                current = longer
        indent = 0 if wrapped else first_indent
        wrapped.append((_shorten(current, size, room - indent), indent))
    if len(wrapped) > rows:
        text, indent = wrapped[rows - 1]
        wrapped[rows - 1 :] = [(_shorten(text.rstrip() + "…", size, room - indent), indent)]
    return wrapped


def _shorten(text: str, size: int, room: int) -> str:
    """The longest beginning of text that fits into room pixels, with an ellipsis where it was cut."""
    if _text_px(text, size) <= room:
        return text
    while text and _text_px(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def _text_px(text: str, size: int) -> int:
    return math.ceil(_font(size).getlength(text))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _plain(text: str) -> str:
    """Text in the letters that Pillow's built-in font has: accents dropped, long dashes shortened."""
    flat = unicodedata.normalize("NFKD", text.translate(_DASHES).replace("…", "..."))
    return "".join(c for c in flat if c.isprintable()).encode("ascii", "ignore").decode()
