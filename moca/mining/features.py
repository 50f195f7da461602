"""The vectors that likeness is measured on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from moca.errors import InputError
from moca.mining.config import MiningConfig

BLOCK_ROWS = 65_536
"""Rows that are cast and scaled at a time: 96 MiB of 384 numbers, whatever the size of the set."""
SMALLEST_NORM = 1e-12


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows at unit length, float32 and contiguous; a zero row stays zero and is as near to any row as to any other."""
    rows = np.ascontiguousarray(features, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), SMALLEST_NORM)


def mining_features(
    config: MiningConfig, *, image: np.ndarray | None = None, audio: np.ndarray | None = None
) -> np.ndarray:
    """The features that `config.source` asks for.

    image: (N, D) of the frames, audio: (N, E) of their sounds, any float; the one that is not asked for may be
    None. Returns float32 rows of unit length: image, audio, or for "both" (N, D + E), each half scaled by
    sqrt(0.5), so that the cosine of two rows is the mean of the cosines of their images and their sounds.
    Raises InputError when a needed one is missing, not finite, or of another length.
    """
    given = {"image": image, "audio": audio}
    wanted = ("image", "audio") if config.source == "both" else (config.source,)
    for name in wanted:
        if given[name] is None:
            raise InputError(f"source {config.source!r} needs {name} features, got None; compute them first.")
        check_features(given[name], f"{name} features")
    counts = {name: len(given[name]) for name in wanted}
    if len(set(counts.values())) > 1:
        raise InputError(
            f"image and audio features must have one row per frame each, got {counts['image']} and "
            f"{counts['audio']} rows; compute both for the same frames."
        )
    parts = [unit_rows(given[name]) for name in wanted]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1) * np.float32(0.5**0.5)


def blocks(features: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Consecutive rows and their values as contiguous float32: a memory-mapped file is never read whole."""
    for start in range(0, len(features), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, len(features)))
        yield rows, np.ascontiguousarray(features[rows], np.float32)


def check_features(features: np.ndarray, name: str = "features") -> None:
    """Refuse anything but a table of finite numbers with at least one column."""
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(f"{name} must be (frames, numbers), got shape {features.shape}; give one row per frame.")
    for rows, values in blocks(features):
        finite = np.isfinite(values).all(1)
        if not finite.all():
            row = rows.start + int(np.argmin(finite))
            raise InputError(f"{name} must be finite, row {row} is not; leave that frame out or compute it again.")


def check_videos(videos: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the videos, (count,) int64 and contiguous; refuses another shape or anything but whole numbers."""
    videos = np.asarray(videos)
    if videos.shape != (count,) or not np.issubdtype(videos.dtype, np.integer):
        raise InputError(
            f"videos must be one whole number for each of {count} frames, got {videos.dtype} of shape "
            f"{videos.shape}; give the number of the video that each frame comes from."
        )
    return np.ascontiguousarray(videos, np.int64)
