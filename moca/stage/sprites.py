"""Drawing one object on its own canvas: a pen with antialiased shapes, and the finish of its surface."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import cv2
import numpy as np

REACH = 1.08  # half side of the canvas in drawing units; objects stay within about [-1, 1]
_SHIFT = 4  # fractional bits of OpenCV's coordinates

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """A drawn object: colour (h, w, 3) uint8 RGB, alpha (h, w) uint8, cropped to the object plus 2 pixels."""

    colour: np.ndarray
    alpha: np.ndarray

    @property
    def area(self) -> float:
        """Covered area in sprite pixels, partly covered pixels counted in part."""
        return float(self.alpha.sum(dtype=np.int64)) / 255.0


class Pen:
    """Antialiased drawing in units: x to the right, y down, both within [-1, 1].

    Every shape drawn with solid=True becomes part of the object (its alpha); solid=False only paints what is
    there already, so details can never stick out of the mask.
    """

    def __init__(self, side: int, ground: Colour) -> None:
        self.colour = np.empty((side, side, 3), np.uint8)
        self.colour[:] = ground  # edges blend with this, so it is close to the object's own colours
        self.alpha = np.zeros((side, side), np.uint8)
        self._unit = side / (2 * REACH)
        self._middle = (side - 1) / 2

    def poly(self, points: list[Point] | np.ndarray, colour: Colour, *, solid: bool = True) -> None:
        fixed = np.rint((np.asarray(points, float) * self._unit + self._middle) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self.colour, [fixed], colour, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.fillPoly(self.alpha, [fixed], 255, cv2.LINE_AA, _SHIFT)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, *, solid: bool = True) -> None:
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, solid=solid)

    def oval(
        self,
        centre: Point,
        radii: Point,
        colour: Colour,
        *,
        turn: float = 0.0,
        arc: tuple[float, float] = (0.0, 360.0),
        solid: bool = True,
    ) -> None:
        """Filled ellipse, or its filled segment between the angles of arc; angles in degrees, clockwise."""
        angles = np.radians(np.linspace(arc[0], arc[1], 29))
        x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        points = np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], axis=1)
        self.poly(points, colour, solid=solid)

    def stroke(self, points: list[Point] | np.ndarray, width: float, colour: Colour, *, solid: bool = True) -> None:
        """Polyline of the given width in units, at least one pixel."""
        fixed = np.rint((np.asarray(points, float) * self._unit + self._middle) * (1 << _SHIFT)).astype(np.int32)
        thick = max(1, round(width * self._unit))
        cv2.polylines(self.colour, [fixed], False, colour, thick, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.polylines(self.alpha, [fixed], False, 255, thick, cv2.LINE_AA, _SHIFT)

    def ring(self, centre: Point, radii: Point, width: float, colour: Colour, *, solid: bool = True) -> None:
        angles = np.linspace(0, 2 * np.pi, 33)
        points = np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)
        self.stroke(points, width, colour, solid=solid)


def any_colour(rng: np.random.Generator, *, value: tuple[float, float] = (0.35, 1.0)) -> Colour:
    """Colour of any hue, from pale to saturated; value is the range of its brightness."""
    hue, saturation, bright = rng.random(), rng.uniform(0.15, 1.0), rng.uniform(*value)
    return tuple(int(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, bright))


def near_colour(rng: np.random.Generator, hue: float, spread: float, value: tuple[float, float]) -> Colour:
    """Colour within spread of a hue (both in turns), moderately to strongly saturated."""
    bright = rng.uniform(*value)
    parts = colorsys.hsv_to_rgb((hue + rng.uniform(-spread, spread)) % 1.0, rng.uniform(0.3, 0.9), bright)
    return tuple(int(255 * part) for part in parts)


def grey(rng: np.random.Generator, low: int = 20, high: int = 235) -> Colour:
    level = rng.integers(low, high, endpoint=True)
    return tuple(int(np.clip(level + tint, 0, 255)) for tint in rng.integers(-10, 11, 3))


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor below 1) or lighter (above 1)."""
    return tuple(int(min(255, part * factor)) for part in colour)


def finish(pen: Pen, rng: np.random.Generator, *, light_deg: float, noise: np.ndarray) -> Sprite:
    """Give the drawing a surface (texture, light from one side, darker rim, highlight) and crop it.

    noise: (n, n) float32 in about [-1, 1], stretched over the object as its texture.
    """
    side = pen.alpha.shape[0]
    x0, y0, width, height = cv2.boundingRect(pen.alpha)
    x0, y0, x1, y1 = max(0, x0 - 2), max(0, y0 - 2), min(side, x0 + width + 2), min(side, y0 + height + 2)
    colour, alpha = pen.colour[y0:y1, x0:x1], np.ascontiguousarray(pen.alpha[y0:y1, x0:x1])
    h, w = alpha.shape
    alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1] = (
        0,
        0,
        0,
        0,
    )  # a clear border, so that warping cannot smear
    across = np.linspace(-1, 1, w, dtype=np.float32)[None, :] * np.float32(math.cos(math.radians(light_deg)))
    down = np.linspace(-1, 1, h, dtype=np.float32)[:, None] * np.float32(math.sin(math.radians(light_deg)))
    ramp = across + down
    gain = 1.0 - np.float32(rng.uniform(0.05, 0.38)) * ramp
    gain += np.float32(rng.uniform(0.0, 0.16)) * cv2.resize(noise, (w, h), interpolation=cv2.INTER_LINEAR)
    rim = cv2.blur(alpha, (2 * (side // 24) + 1,) * 2).astype(np.float32)
    gain *= np.float32(1.0) - np.float32(rng.uniform(0.0, 0.45)) * (1.0 - rim / 255.0)
    lit = colour.astype(np.float32) * gain[..., None]
    if rng.random() < 0.5:  # highlight on the side of the light
        spot = np.exp(-np.square((ramp + 0.7) / np.float32(rng.uniform(0.12, 0.4))))
        lit += np.float32(rng.uniform(15, 70)) * spot[..., None]
    return Sprite(colour=np.clip(lit, 0, 255).astype(np.uint8), alpha=alpha)
