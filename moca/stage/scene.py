"""A scene: what stands where and how it moves, and the picture and its exact masks at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from moca.stage.photometry import Camera, expose
from moca.stage.sprites import Sprite

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
    """A sprite in the scene."""

    sprite: Sprite
    centre: tuple[float, float]
    """x and y in sides of the frame, in the middle of the clip."""
    scale: float
    """Frame pixels per sprite pixel."""
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
    """Everything needed to render any frame."""

    side: int
    """Of the square frames, in pixels."""
    ground: np.ndarray
    """What lies behind everything, (S, S, 3) uint8 RGB, larger than a frame where the camera pans."""
    camera: Camera
    shadow: tuple[float, float, float]
    """How far shadows fall to the right and down, in sides of the frame, and how dark they are, 0 to 1."""
    objects: tuple[Item, ...]
    """From back to front."""
    front: tuple[Item, ...]
    """What covers the objects."""
    pan: tuple[float, float]
    """Movement of the ground, in sides of the frame per second."""

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
    """Visible pixels of every object, (objects, side, side) bool; objects from back to front, front before them all."""
    covered = np.zeros((side, side), bool)
    for item in front:
        covered |= item.alpha(time_s, side) >= 128
    masks = np.zeros((len(objects), side, side), bool)
    for number in reversed(range(len(objects))):
        own = objects[number].alpha(time_s, side) >= 128
        masks[number] = own & ~covered
        covered |= own
    return masks
