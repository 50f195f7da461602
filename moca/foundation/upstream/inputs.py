"""A drawn picture for originals and ours alike; what it shows does not matter, that it has edges and flats does."""

from __future__ import annotations

import numpy as np


def drawn_frame(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Coloured ellipses on a slope of light, (height, width, 3) uint8."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    frame = np.stack([rows / height, columns / width, (rows + columns) / (height + width)], axis=-1) * 160 + 40
    for _ in range(6):
        y, x = generator.uniform(0.2, 0.8, 2) * (height, width)
        tall, wide = generator.uniform(0.06, 0.2, 2) * (height, width)
        inside = ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1
        frame[inside] = generator.uniform(0, 255, 3)
    return frame.astype(np.uint8)


def drawn_sounds(seconds: float, rate_hz: int, *, seed: int = 0) -> np.ndarray:
    """Two sounds (2, samples) float32 in [-1, 1]: a falling chirp, and a beating tone in noise."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    chirp = 0.4 * np.sin(2 * np.pi * (1800 * time_s - 500 * time_s**2 / seconds))
    beat = 0.3 * np.sin(2 * np.pi * 330 * time_s) * np.sin(2 * np.pi * 3 * time_s) ** 2
    return np.stack([chirp, beat + generator.normal(0, 0.03, len(time_s))]).astype(np.float32)
