"""The camera: light that falls off, exposure, tint, blur, sensor noise and compression marks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Photometric settings of one scene, the same for all of its frames.

    light (side, side, 1) float32 gain; tint (3,) float32 gain; gamma; blur_px sigma (0: none); noise_level
    standard deviation in grey levels; jpeg_quality (0: none).
    """

    light: np.ndarray
    tint: np.ndarray
    gamma: float
    blur_px: float
    noise_level: float
    jpeg_quality: int


def draw_camera(rng: np.random.Generator, side: int) -> Camera:
    """Random settings, from clean to poor, for frames of side x side pixels."""
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.4)
    line = np.linspace(-1, 1, side, dtype=np.float32)
    light = 1 + fall * (line[None, :] * np.float32(math.cos(angle)) + line[:, None] * np.float32(math.sin(angle)))
    if rng.random() < 0.3:  # vignette
        light *= 1 - np.float32(rng.uniform(0.1, 0.3)) * (line[None, :] ** 2 + line[:, None] ** 2) / 2
    light *= np.float32(rng.uniform(0.65, 1.2))
    return Camera(
        light=light.astype(np.float32)[..., None],
        tint=rng.uniform(0.88, 1.1, 3).astype(np.float32),
        gamma=float(rng.uniform(0.8, 1.3)),
        blur_px=float(rng.uniform(0.35, 1.0) * side / 112) if rng.random() < 0.4 else 0.0,
        noise_level=float(rng.uniform(0, 9)) if rng.random() < 0.7 else 0.0,
        jpeg_quality=int(rng.integers(35, 90)) if rng.random() < 0.3 else 0,
    )


def expose(camera: Camera, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the picture: (side, side, 3) float32 in [0, 255] -> uint8 of the same shape."""
    picture = picture * camera.light * camera.tint
    if camera.blur_px:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur_px)
    if camera.noise_level:
        side = picture.shape[0]
        grain = rng.standard_normal((side, side, 1), dtype=np.float32)
        colour = cv2.resize(rng.standard_normal((side // 2, side // 2, 3), dtype=np.float32), (side, side))
        picture = picture + np.float32(camera.noise_level) * (grain + 0.5 * colour)
    frame = np.clip(picture, 0, 255).astype(np.uint8)
    levels = np.rint(255 * (np.arange(256) / 255) ** camera.gamma).astype(np.uint8)
    frame = cv2.LUT(frame, levels)
    if camera.jpeg_quality:
        _, code = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])
        frame = cv2.imdecode(code, cv2.IMREAD_COLOR)  # both ways without a channel swap, so RGB stays RGB
    return frame
