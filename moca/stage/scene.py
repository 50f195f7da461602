"""A scene: what stands where and how it moves, and the picture and its exact masks at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from moca.stage.backgrounds import background, draw_clutter
from moca.stage.casting import Cast
from moca.stage.objects import FAMILIES, draw_object
from moca.stage.photometry import Camera, draw_camera, expose
from moca.stage.seeds import generator
from moca.stage.sprites import Sprite

MIN_AREA, MAX_AREA = 0.025, 0.35  # visible part of the frame a sounding object may cover
MIN_VISIBLE = 0.6  # part of a sounding object that is neither covered nor outside the frame
MIN_VISIBLE_SILENT = 0.45  # the same for silent objects
FREE_VISIBLE, FREE_SHARE = 0.9, 0.6  # this share of the scenes is first tried with objects hardly overlapping

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Smooth movement over a clip; zero for a still. Units: sides of the frame, degrees, parts, seconds."""

    drift: tuple[float, float] = (0.0, 0.0)
    sway: tuple[float, float] = (0.0, 0.0)
    sway_period_s: float = 1.0
    sway_phase: float = 0.0
    turn_deg_s: float = 0.0
    growth_per_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Item:
    """A sprite in the scene: centre in sides of the frame, scale in frame pixels per sprite pixel, angle."""

    sprite: Sprite
    centre: tuple[float, float]
    scale: float
    angle_deg: float
    motion: Motion = field(default_factory=Motion)

    def matrix(self, time_s: float, side: int) -> np.ndarray:
        """Affine map (2, 3) from sprite to frame pixels, time_s seconds after the middle of the clip."""
        move, (h, w) = self.motion, self.sprite.alpha.shape
        swing = math.sin(2 * math.pi * (time_s / move.sway_period_s + move.sway_phase))
        x = (self.centre[0] + move.drift[0] * time_s + move.sway[0] * swing) * side
        y = (self.centre[1] + move.drift[1] * time_s + move.sway[1] * swing) * side
        scale = self.scale * (1 + move.growth_per_s * time_s)
        angle = math.radians(self.angle_deg + move.turn_deg_s * time_s)
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        mx, my = (w - 1) / 2, (h - 1) / 2
        return np.array([[c, -s, x - c * mx + s * my], [s, c, y - s * mx - c * my]])

    def alpha(self, time_s: float, side: int) -> np.ndarray:
        """Coverage (side, side) uint8 in the frame, nothing in front of it."""
        return cv2.warpAffine(self.sprite.alpha, self.matrix(time_s, side), (side, side), flags=cv2.INTER_LINEAR)

    def full_area(self, time_s: float) -> float:
        """Area in frame pixels were it neither covered nor cut by the frame."""
        return self.sprite.area * (self.scale * (1 + self.motion.growth_per_s * time_s)) ** 2


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything needed to render any frame. Objects go from back to front; front is what covers them."""

    side: int
    ground: np.ndarray
    camera: Camera
    shadow: tuple[float, float, float]
    objects: tuple[Item, ...]
    front: tuple[Item, ...]
    pan: tuple[float, float]

    def masks(self, time_s: float) -> np.ndarray:
        """Visible pixels of every object, (objects, side, side) bool.

        A pixel belongs to an object when the object covers at least half of it and nothing nearer does.
        """
        return visible_masks(self.objects, self.front, time_s, self.side)

    def render(self, time_s: float, rng: Rng) -> np.ndarray:
        """The picture, (side, side, 3) uint8 RGB; rng supplies the sensor noise alone."""
        side = self.side
        ground, margin = self.ground, (self.ground.shape[0] - side) / 2
        if margin:
            dx, dy = (pan * time_s * side - margin for pan in self.pan)
            shift = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
            ground = cv2.warpAffine(ground, shift, (side, side), flags=cv2.INTER_LINEAR)
        picture = ground.astype(np.float32)
        for item in (*self.objects, *self.front):
            self._paint(picture, item, time_s)
        return expose(self.camera, picture, rng)

    def _paint(self, picture: np.ndarray, item: Item, time_s: float) -> None:
        side, matrix = self.side, item.matrix(time_s, self.side)
        dx, dy, depth = self.shadow
        corners = np.array([(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)]) * [*item.sprite.alpha.shape[::-1], 1]
        spots = corners @ matrix.T
        reach = 0.1 * side  # shadow and its blur
        x0, y0 = np.clip(np.floor(spots.min(0) - reach), 0, side).astype(int)
        x1, y1 = np.clip(np.ceil(spots.max(0) + reach), 0, side).astype(int)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        local = matrix - np.array([[0, 0, x0], [0, 0, y0]])
        size, patch = (int(x1 - x0), int(y1 - y0)), picture[y0:y1, x0:x1]
        alpha = cv2.warpAffine(item.sprite.alpha, local, size, flags=cv2.INTER_LINEAR)
        colour = cv2.warpAffine(item.sprite.colour, local, size, flags=cv2.INTER_LINEAR)
        if depth:
            moved = local + np.array([[0, 0, dx * side], [0, 0, dy * side]])
            cast = cv2.warpAffine(item.sprite.alpha, moved, size, flags=cv2.INTER_LINEAR)
            width = 2 * (side // 40) + 1
            cast = cv2.blur(cv2.blur(cast, (width, width)), (width, width))
            patch *= 1 - cast[..., None] * np.float32(depth / 255)
        patch += (colour - patch) * (alpha[..., None] * np.float32(1 / 255))


def visible_masks(objects: tuple[Item, ...], front: tuple[Item, ...], time_s: float, side: int) -> np.ndarray:
    covered = np.zeros((side, side), bool)
    for item in front:
        covered |= item.alpha(time_s, side) >= 128
    masks = np.zeros((len(objects), side, side), bool)
    for place in reversed(range(len(objects))):
        own = objects[place].alpha(time_s, side) >= 128
        masks[place] = own & ~covered
        covered |= own
    return masks


def build_scene(seed: int, cast: Cast, *, side: int, times_s: tuple[float, ...], duration_s: float) -> Scene:
    """Draw the cast's objects and find places for them that keep the promises above at all of times_s.

    times_s count from the middle of the clip. duration_s: length of the clip, 0 for a still.
    """
    rng = generator(seed, "scene")
    light_deg = float(rng.uniform(0, 360))
    camera = draw_camera(rng, side)
    around = math.radians(light_deg)
    reach = rng.uniform(0.01, 0.05)
    shadow = (
        reach * math.cos(around),
        reach * math.sin(around),
        rng.uniform(0.15, 0.5) * (rng.random() < 0.75),
    )
    ground = background(generator(seed, "ground"), side + (2 * (side // 8) if duration_s else 0))
    pan = tuple(rng.uniform(-0.15, 0.15, 2) / max(duration_s, 5.0)) if duration_s else (0.0, 0.0)
    sprites = [
        draw_object(name, generator(seed, "object", number), side=_canvas(side, cast), light_deg=light_deg)
        for number, name in enumerate(cast.objects)
    ]
    objects = _arrange(generator(seed, "places"), sprites, cast, side=side, times_s=times_s, duration_s=duration_s)
    front = _occlude(generator(seed, "front"), objects, cast, side=side, times_s=times_s, light_deg=light_deg)
    return Scene(side=side, ground=ground, camera=camera, shadow=shadow, objects=objects, front=front, pan=pan)


def _canvas(side: int, cast: Cast) -> int:
    """Canvas for drawing: near the final size, as sprites are scaled without a filter against aliasing."""
    return max(32, round(side * (0.95 if len(cast.objects) == 1 else 0.7)))


def _arrange(
    rng: Rng, sprites: list[Sprite], cast: Cast, *, side: int, times_s: tuple[float, ...], duration_s: float
) -> tuple[Item, ...]:
    """Try places until every object is visible enough; sizes shrink a little when it does not work out."""
    shrink, free = 1.0, rng.random() < FREE_SHARE
    for attempt in range(200):
        visible = FREE_VISIBLE if free and attempt < 60 else 0.0
        items = tuple(
            _place(rng, sprite, name, np.array(cast.area) * shrink**2, side=side, duration_s=duration_s)
            for sprite, name in zip(sprites, cast.objects, strict=True)
        )
        if all(_acceptable(items, (), cast, time_s, side, visible=visible) for time_s in times_s):
            return items
        if attempt % 5 == 4:
            shrink = max(0.75, shrink * 0.96)
    raise RuntimeError(f"no arrangement of {cast.objects} was found; this is a defect of moca.stage.")


def _place(rng: Rng, sprite: Sprite, name: str, areas: np.ndarray, *, side: int, duration_s: float) -> Item:
    tilt = FAMILIES[name].tilt_deg
    angle = float(np.clip(rng.normal(0, tilt / 2), -tilt, tilt)) if tilt < 60 else float(rng.uniform(-tilt, tilt))
    h, w = sprite.alpha.shape
    c, s = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    wide, high = c * w + s * h, s * w + c * h
    share = max(math.exp(rng.uniform(math.log(areas[0]), math.log(areas[1]))), MIN_AREA * 1.15)
    scale = math.sqrt(share * side * side / sprite.area)
    scale = min(scale, (0.88 if duration_s else 0.96) * side / max(wide, high))
    room = np.maximum(0, 0.5 - np.array([wide, high]) * scale / side / 2 + (0.0 if duration_s else 0.03))
    centre = 0.5 + rng.uniform(-1, 1, 2) * room
    motion = _motion(rng, centre, duration_s) if duration_s else Motion()
    return Item(sprite=sprite, centre=tuple(centre), scale=scale, angle_deg=angle, motion=motion)


def _motion(rng: Rng, centre: np.ndarray, duration_s: float) -> Motion:
    """Movement that stays of one extent: slower where a clip is longer than five seconds."""
    pace = min(1.0, 5.0 / duration_s)
    inward = (0.5 - centre) * rng.uniform(0.0, 0.06, 2)
    drift = inward + rng.uniform(-0.02, 0.02, 2)
    return Motion(
        drift=tuple(drift * pace),
        sway=tuple(rng.uniform(-0.025, 0.025, 2)),
        sway_period_s=rng.uniform(1.5, 5.0),
        sway_phase=rng.random(),
        turn_deg_s=rng.uniform(-5, 5) * pace,
        growth_per_s=rng.uniform(-0.03, 0.03) * pace,
    )


def _acceptable(
    items: tuple[Item, ...],
    front: tuple[Item, ...],
    cast: Cast,
    time_s: float,
    side: int,
    *,
    visible: float = 0.0,
) -> bool:
    seen = visible_masks(items, front, time_s, side).sum(axis=(1, 2))
    for item, pixels, name in zip(items, seen, cast.objects, strict=True):
        sounding = name in cast.sounding
        least = max(visible, MIN_VISIBLE if sounding else MIN_VISIBLE_SILENT)
        if pixels < least * item.full_area(time_s):
            return False
        if not (MIN_AREA if sounding else MIN_AREA / 2) <= pixels / side**2 <= MAX_AREA:
            return False
    return True


def _occlude(
    rng: Rng,
    objects: tuple[Item, ...],
    cast: Cast,
    *,
    side: int,
    times_s: tuple[float, ...],
    light_deg: float,
) -> tuple[Item, ...]:
    """Clutter before the objects, dropped again wherever it would hide too much of one."""
    front: tuple[Item, ...] = ()
    for _ in range(int(rng.integers(0, 4))):
        sprite = draw_clutter(rng, side=max(16, round(side * 0.4)), light_deg=light_deg)
        near = np.array(objects[int(rng.integers(len(objects)))].centre) if objects else np.array([0.5, 0.5])
        item = Item(
            sprite=sprite,
            centre=tuple(near + rng.uniform(-0.3, 0.3, 2)),
            scale=float(rng.uniform(0.35, 1.1)),
            angle_deg=float(rng.uniform(0, 360)),
        )
        if all(_acceptable(objects, (*front, item), cast, time_s, side) for time_s in times_s):
            front = (*front, item)
    return front
