"""From features to masks: cluster the patches, keep the clusters that agree with the sound, gate, upsample, snap.

Shapes: B steps, G patches per side, N = G * G patches, E joint-space width, K clusters, H x W the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from moca.clustering import cosine_kmeans, otsu_threshold
from moca.errors import InputError
from moca.foundation.imagebind_config import TOP_SHARE
from moca.refinement import snap_to_edges
from moca.results import Segment

CLUSTER_RULES = ("best", "ratio", "otsu")
SOUNDING_RULES = (*CLUSTER_RULES, "level")


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How patch features become a mask."""

    clusters: int = 4
    """k of the cosine k-means; the paper does not give it."""
    sounding: str = "otsu"
    """Which clusters sound: "best" the one that agrees most with the audio, "ratio" every one within `ratio` of
    it, "otsu" every one whose mean agreement is above the Otsu threshold of the frame's patches; or, without clusters,
    "level": every pixel that agrees by at least `level`."""
    ratio: float = 0.75
    """Share of the best cluster's agreement that another one needs under the rule "ratio"."""
    level: float = 0.5
    """Agreement from which a pixel sounds under the rule "level": a probability where the adapters have a read-out,
    else a cosine."""
    refine: bool = False
    """Snap the mask to the frame's edges (GrabCut)."""
    silence_dbfs: float = -60.0
    """A step whose RMS level is below this is silent."""
    gate: float = 0.0
    """Smallest support (mean of the highest cosines) at which a region is believed to make the sound; calibrated
    per model, without labels."""
    gate_frozen: float = -1.0
    """Smallest presence of the sound in the picture by the frozen encoder alone, which the adapters' read-out cannot
    change; -1 leaves it out."""
    mirror: bool = False
    """Average the features of the frame and of its mirror image, for twice the time."""
    heat_low: float = 0.0
    """Cosine that the heat map shows as 0."""
    heat_high: float = 1.0
    """Cosine that the heat map shows as 1."""
    seed: int = 0
    """Seed of the k-means."""

    def __post_init__(self) -> None:
        if not 1 <= self.clusters <= 64:
            raise InputError(f"clusters must be between 1 and 64, got {self.clusters}; 4 suits most frames.")
        if self.sounding not in SOUNDING_RULES:
            raise InputError(f"sounding must be one of {', '.join(SOUNDING_RULES)}, got {self.sounding!r}.")
        if not 0 < self.ratio <= 1:
            raise InputError(f"ratio must be above 0 and at most 1, got {self.ratio}.")
        if not -1 <= self.level <= 1:
            raise InputError(f"level must be between -1 and 1, got {self.level}.")
        if not self.silence_dbfs <= 0:
            raise InputError(f"silence_dbfs must be at most 0 (full scale), got {self.silence_dbfs}.")
        for name in ("gate", "gate_frozen"):
            if not -1 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name} must be between -1 and 1, got {value}.")
        if not self.heat_low < self.heat_high:
            raise InputError(f"heat_low must be below heat_high, got {self.heat_low} and {self.heat_high}.")


def level_dbfs(audio: np.ndarray | None) -> float:
    """RMS level of samples in [-1, 1] in dB relative to full scale; -inf for none, or digital silence.

    The mean is removed first: an offset is not a sound.
    """
    if audio is None or audio.size == 0:
        return float("-inf")
    rms = float(np.sqrt(np.mean((audio - audio.mean(dtype=np.float64)) ** 2, dtype=np.float64)))
    return 20 * float(np.log10(rms)) if rms > 1e-9 else float("-inf")


def support(cosines: np.ndarray) -> float:
    """How well the best supported region agrees with the sound: mean of the highest 2.5% of cosines (N,)."""
    top = max(1, round(TOP_SHARE * cosines.size))
    return float(np.sort(cosines.ravel())[-top:].mean())


def sounding_clusters(labels: np.ndarray, cosines: np.ndarray, config: SegmentConfig) -> list[int]:
    """Clusters that make the sound, best first, by mean agreement with the audio; never by size or place.

    labels: (N,) cluster of each patch; cosines: (N,) agreement of each patch with the audio embedding.
    Source: design of the toolkit after the paper's supplement 6 (score of a location = cosine of its feature
    with the audio embedding); the paper itself does not state the rule.
    """
    present = np.unique(labels)
    means = {int(label): float(cosines[labels == label].mean()) for label in present}
    ranked = sorted(means, key=lambda label: -means[label])
    if config.sounding == "best":
        return ranked[:1]
    bar = config.ratio * means[ranked[0]] if config.sounding == "ratio" else otsu_threshold(cosines)
    return [label for label in ranked if means[label] >= bar] or ranked[:1]


def coarse_mask(
    patches: np.ndarray, cosines: np.ndarray, frame: np.ndarray, config: SegmentConfig
) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """Mask of what sounds at the frame's resolution.

    patches: (G, G, E) joint-space features; cosines: (G, G) agreement with the sound; frame: (H, W, 3) uint8 RGB.
    Returns ((H, W) bool mask, its segments, best first): one per sounding cluster, or under the rule "level" one per
    connected region.
    """
    size = frame.shape[:2]
    fine = resize_maps(cosines, size)
    parts = _regions(fine >= config.level) if config.sounding == "level" else _clusters(patches, cosines, size, config)
    union = np.zeros(size, bool)
    for part in parts:
        union |= part
    if config.refine:
        union = snap_to_edges(frame, fine, union)
        parts = _regions(union)
    segments = [Segment(mask=part, score=float(np.clip(fine[part].mean(), 0, 1))) for part in parts]
    return union, tuple(sorted(segments, key=lambda segment: -segment.score))


def _clusters(
    patches: np.ndarray, cosines: np.ndarray, size: tuple[int, int], config: SegmentConfig
) -> list[np.ndarray]:
    """(H, W) bool mask of every sounding cluster that has pixels.

    Each pixel takes the cluster whose centre its bilinearly interpolated feature is most similar to, so that
    borders are not those of the patch grid.
    """
    grid, flat = patches.shape[:2], patches.reshape(-1, patches.shape[-1])
    labels, centres = cosine_kmeans(flat, config.clusters, seed=config.seed)
    nearest = resize_maps((flat @ centres.T).reshape(*grid, -1), size).argmax(-1)
    masks = [nearest == label for label in sounding_clusters(labels, cosines.ravel(), config)]
    return [mask for mask in masks if mask.any()]


def _regions(mask: np.ndarray) -> list[np.ndarray]:
    """Connected regions of a (H, W) bool mask."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [numbers == number for number in range(1, count)]


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of (h, w) or (h, w, C) float maps to size (H, W), pixel centres aligned."""
    height, width = size
    maps = np.ascontiguousarray(maps, np.float32)
    resized = cv2.resize(maps, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, *maps.shape[2:])  # OpenCV drops a last axis of length 1


def heat_map(cosines: np.ndarray, size: tuple[int, int], config: SegmentConfig) -> np.ndarray:
    """(H, W) float32 in [0, 1]: agreement with the sound, from heat_low (0) to heat_high (1)."""
    scaled = (cosines - config.heat_low) / (config.heat_high - config.heat_low)
    return np.clip(resize_maps(scaled, size), 0, 1)
