"""Snapping a coarse region to the picture's own edges, without training."""

from __future__ import annotations

import cv2
import numpy as np

SURE_SOUNDING = 0.97  # quantiles of the score outside which a pixel is taken for granted
SURE_SILENT = 0.30
ROUNDS = 3


def snap_to_edges(frame: np.ndarray, score: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A region, grown and cut along colour edges by GrabCut.

    frame: (H, W, 3) uint8 RGB. score: (H, W) float, higher where the region is believed to be. region: (H, W) bool,
    where it probably is. Inside it, the highest 3% of all scores stay; outside it, the lowest 30% stay out;
    for the rest, colour models of both sides and the picture's edges decide. Returns (H, W) bool; a region that is
    empty or everything comes back as it is. Deterministic. Source: Rother, Kolmogorov and Blake, "GrabCut",
    SIGGRAPH 2004, as in OpenCV.
    """
    if not region.any() or region.all():
        return region.copy()
    marks = np.where(region, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    low, high = np.quantile(score, [SURE_SILENT, SURE_SOUNDING])
    marks[(score < low) & ~region] = cv2.GC_BGD
    marks[(score >= high) & region] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # its colour models start from OpenCV's k-means, which draws from a global generator
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(frame), marks, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
