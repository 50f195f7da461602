"""Captions: a step's time, audio level and score, or why it has no mask, written onto its frame.

Letters grow with the frame's shorter side, so that 240p and 4K look alike.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moca.core.frames import check_frames
from moca.core.step import StepResult
from moca.reports.painting import check_plane, paint_mask

LEVEL_FLOOR_DBFS = -60.0
"""The meter is empty at this level and full at 0."""
UNKNOWN_REASON = "the method found no sounding region"
"""Said of an empty mask that came without a reason."""
_LEGIBLE_PX = 8
"""Letters smaller than this are left out."""
_METER_STEPS = 48
"""Fillings of the meter that are told apart."""
_METER_COLOURS = ((0.0, 0.7, (58, 208, 122)), (0.7, 0.9, (255, 190, 60)), (0.9, 1.0, (255, 84, 72)))
"""From where to where the meter has which colour: green up to -18 dBFS, amber up to -6, red above."""
_DASHES = str.maketrans({"−": "-", "–": "-", "—": "-"})


def caption(frame: np.ndarray, lines: Sequence[str], *, meter: float | None = None) -> np.ndarray:
    """Write lines into a dark label at the bottom left, optionally after a level meter.

    meter: None, or how full the meter is in [0, 1]. Long lines wrap, and what does not fit into 40 % of the
    height ends in an ellipsis. Where letters would be under 8 pixels high, only the meter is drawn.
    """
    check_frames([frame])
    steps = None if meter is None or math.isnan(meter) else round(_METER_STEPS * min(1.0, max(0.0, meter)))
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
    check_plane(frame, result.mask, "mask")
    facts = [format_time(result.frame_s), format_level(result.level_dbfs).replace(" ", "\xa0")]
    if not math.isnan(result.score):
        facts.append(f"score\xa0{result.score:.2f}")
    lines = ["   ".join(facts)]
    if not result.mask.any():
        reason = result.reason or UNKNOWN_REASON
        lines.append(f"No mask. {reason[:1].upper()}{reason[1:]}")
    return caption(paint_mask(frame, result.mask), lines, meter=meter_fill(result.level_dbfs))


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
        _draw_meter(draw, (pad, top, pad + meter_px - 1, top + max(1, size // 2)), meter_steps / _METER_STEPS)
    for row, (text, indent) in enumerate(wrapped):
        draw.text(
            (pad + indent, pad / 2 + (row + 0.5) * pitch),
            text,
            font=_font(size),
            fill=(255, 255, 255, 255),
            anchor="lm",
        )
    pixels = np.asarray(image, np.float32)
    margin = min(pad, width - image.width, height - image.height)
    return pixels[..., :3], pixels[..., 3:] / 255.0, margin, height - image.height - margin


def _draw_meter(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], fill: float) -> None:
    """A horizontal bar in a grey trough, as full as fill in [0, 1]."""
    left, top, right, bottom = box
    draw.rectangle(box, fill=(88, 94, 104, 255))
    span = right + 1 - left
    for start, end, colour in _METER_COLOURS:
        if fill > start:
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
