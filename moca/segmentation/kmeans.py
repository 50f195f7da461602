"""Cosine k-means over the patches of one frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import ThreadpoolController

_COUNTS = Lock()
"""Held while the libraries' numbers of threads, which belong to the whole process, are not what they were."""


def cosine_kmeans(features: np.ndarray, clusters: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cluster vectors by direction.

    features: (N, D) float; a zero vector belongs to whichever cluster it falls in. Returns (labels (N,) int64,
    centres (K, D) float32 of unit length), where K is `clusters`, or the number of distinct directions when
    there are fewer. Vectors are scaled to unit length first, where squared Euclidean distance is 2 - 2 cos, so
    ordinary k-means minimises the cosine distance; centres are scaled back to the sphere. Deterministic for a
    seed. Source: MoCA (arXiv 2403.14203) section 3.3, which does not give k.
    """
    if clusters < 1:
        raise ValueError(f"clusters must be at least 1, got {clusters}; 4 suits most frames.")
    unit = _unit(np.asarray(features, np.float32))
    distinct = len(np.unique(unit.round(6), axis=0))
    with _on_one_core():
        model = KMeans(min(clusters, distinct), n_init=2, random_state=seed, max_iter=100).fit(unit)
    return model.labels_.astype(np.int64), _unit(model.cluster_centers_.astype(np.float32))


def similarities(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Dot products (N, K) float32 of features (N, D) with the centres (K, D) that `cosine_kmeans` found."""
    with _on_one_core():
        return features @ centres.T


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Inside, the libraries of numbers compute on one core, and no other thread is inside.

    How a sum is split among cores decides its last bit. KMeans limits BLAS itself while it fits, for all threads of the
    process, and restores what it found; two fits at once would restore each other's limit, and leave it for good.
    """
    with _COUNTS, _thread_pools().limit(limits=1):
        yield


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries takes half as long as a whole k-means


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def otsu_threshold(values: np.ndarray, *, bins: int = 128) -> float:
    """Threshold that best splits values into two classes (Otsu, 1979): largest between-class variance.

    values: any shape, finite. Returns a number within [min, max]; for constant values, that value.
    """
    flat = np.asarray(values, np.float64).ravel()
    low, high = float(flat.min()), float(flat.max())
    if high <= low:
        return low
    counts, edges = np.histogram(flat, bins, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = flat.size - below
    sum_below = np.cumsum(counts * centres)[:-1]
    gap = sum_below / np.maximum(below, 1) - (np.sum(counts * centres) - sum_below) / np.maximum(above, 1)
    between = below * above * gap**2
    best = between >= between.max() * (1 - 1e-12)  # all of an empty valley is equally good: take its middle
    return float(edges[1:-1][best].mean())
