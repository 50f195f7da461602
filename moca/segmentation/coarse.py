"""From features to masks: cluster the patches, keep the clusters that agree with the sound, gate, upsample, snap.

Shapes: B steps, G patches per side, N = G * G patches, E joint-space width, K clusters, H x W the frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from moca.core.maps import resize_maps
from moca.core.step import Segment
from moca.segmentation.config import SegmentConfig
from moca.segmentation.edges import snap_to_edges
from moca.segmentation.kmeans import cosine_kmeans, otsu_threshold, similarities


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
    connected region. A segment's score is its mean agreement, or, where scores are relative, its mean heat.
    """
    size = frame.shape[:2]
    fine = resize_maps(cosines, size)
    shown = heat_map(cosines, size, config) if config.scores == "relative" else fine
    parts = _regions(fine >= config.level) if config.sounding == "level" else _clusters(patches, cosines, size, config)
    union = np.zeros(size, bool)
    for part in parts:
        union |= part
    if config.refine:
        union = snap_to_edges(frame, fine, union)
        parts = _regions(union)
    segments = [Segment(mask=part, score=float(np.clip(shown[part].mean(), 0, 1))) for part in parts]
    return union, tuple(sorted(segments, key=lambda segment: -segment.score))


def _clusters(
    patches: np.ndarray, cosines: np.ndarray, size: tuple[int, int], config: SegmentConfig
) -> list[np.ndarray]:
    """(H, W) bool mask of every sounding cluster that has pixels.

    Each pixel takes the cluster whose centre its bilinearly interpolated feature is most similar to, so that
    borders are not those of the patch grid. Where scores are relative, what all patches of the frame share is taken
    from their features first, for it tells no two of them apart.
    """
    grid, flat = patches.shape[:2], patches.reshape(-1, patches.shape[-1])
    if config.scores == "relative":
        flat = _apart(flat)
    labels, centres = cosine_kmeans(flat, config.clusters, seed=config.seed)
    nearest = resize_maps(similarities(flat, centres).reshape(*grid, -1), size).argmax(-1)
    masks = [nearest == label for label in sounding_clusters(labels, cosines.ravel(), config)]
    return [mask for mask in masks if mask.any()]


def _apart(flat: np.ndarray) -> np.ndarray:
    """Features (N, E) minus their mean, of unit length again."""
    around = flat - flat.mean(0)
    return around / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)


def _regions(mask: np.ndarray) -> list[np.ndarray]:
    """Connected regions of a (H, W) bool mask."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [numbers == number for number in range(1, count)]


def heat_map(cosines: np.ndarray, size: tuple[int, int], config: SegmentConfig) -> np.ndarray:
    """(H, W) float32 in [0, 1]: agreement with the sound, from heat_low (0) to heat_high (1)."""
    scaled = (cosines - config.heat_low) / (config.heat_high - config.heat_low)
    return np.clip(resize_maps(scaled, size), 0, 1)
