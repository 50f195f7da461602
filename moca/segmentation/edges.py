"""Snapping a coarse region to the picture's own edges, without training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

SURE_SOUNDING = 0.97  # quantiles of the score outside which a pixel is taken for granted
SURE_SILENT = 0.30
ROUNDS = 3


def snap_to_edges(frame: np.ndarray, score: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A region, grown and cut along colour edges by GrabCut.

    frame: (H, W, 3) uint8 RGB. score: (H, W) float, higher where the region is believed to be. region: (H, W) bool,
    where it probably is. Inside it, the highest 3% of all scores stay; outside it, the lowest 30% stay out; for the
    rest, colour models of both sides and the picture's edges decide. Returns (H, W) bool; a region that is empty or
    everything comes back as it is. Deterministic; OpenCV's random state stays as it is. Source: Rother, Kolmogorov and
    Blake, "GrabCut", SIGGRAPH 2004, as in OpenCV.
    """
    if not region.any() or region.all():
        return region.copy()
    marks = np.where(region, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    low, high = np.quantile(score, [SURE_SILENT, SURE_SOUNDING])
    marks[(score < low) & ~region] = cv2.GC_BGD
    marks[(score >= high) & region] = cv2.GC_FGD
    with ThreadPoolExecutor(1) as own:
        return own.submit(_grab_cut, np.ascontiguousarray(frame), marks).result()


def _grab_cut(frame: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(H, W) bool: what GrabCut takes for foreground; marks (H, W) uint8 of `cv2.GC_*`, changed in place.

    To be called on a thread of its own: colour models start from OpenCV's k-means, which draws from the random
    generator that OpenCV keeps for each thread, and so the caller's draws nothing.
    """
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(frame, marks, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
