"""Arranging a scene: places, sizes and movements under which every sounding object is seen well enough."""

from __future__ import annotations

import math

import numpy as np

from moca.stage.backgrounds import background, draw_clutter
from moca.stage.casting import Cast
from moca.stage.objects import FAMILIES, draw_object
from moca.stage.photometry import draw_camera
from moca.stage.scene import Item, Motion, Scene, visible_masks
from moca.stage.seeds import generator
from moca.stage.sprites import Sprite

MIN_AREA, MAX_AREA = 0.025, 0.35  # visible part of the frame a sounding object may cover
MIN_VISIBLE = 0.6  # part of a sounding object that is neither covered nor outside the frame
MIN_VISIBLE_SILENT = 0.45  # the same for silent objects
FREE_VISIBLE, FREE_SHARE = 0.9, 0.6  # this share of the scenes is first tried with objects hardly overlapping

Rng = np.random.Generator


def build_scene(
    seed: int,
    cast: Cast,
    *,
    side: int,
    times_s: tuple[float, ...],
    duration_s: float,
    looks: int | None = None,
) -> Scene:
    """Draw the cast's objects and find places for them that keep the limits above at all of times_s.

    times_s count from the middle of the clip. duration_s: length of the clip, 0 for a still. looks: seed of how the
    objects look, so that the same ones can be in several scenes; None takes the scene's own.
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
    of_objects = seed if looks is None else looks
    sprites = [
        draw_object(name, generator(of_objects, "object", number), side=_canvas(side, cast), light_deg=light_deg)
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
    areas = visible_masks(items, front, time_s, side).sum(axis=(1, 2))
    for item, pixels, name in zip(items, areas, cast.objects, strict=True):
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
