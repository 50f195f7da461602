"""Which image is an anchor's positive and which its negative, found without labels."""

from __future__ import annotations

import numpy as np

from moca.errors import InputError


def neighbour_table(features: np.ndarray, neighbours: int) -> np.ndarray:
    """The `neighbours` most similar rows of every row by cosine similarity, itself excluded.

    features: (N, D) float. Returns (N, neighbours) int64, most similar first. Exact search (FAISS flat inner
    product). Source: MoCA (arXiv 2403.14203) section 3.2, lookup table of nearest neighbours.
    """
    import faiss

    count = len(features)
    if not 1 <= neighbours < count:
        raise InputError(
            f"neighbours must be between 1 and {count - 1} for {count} frames (a frame is not its own neighbour), "
            f"got {neighbours}; lower --neighbours or add videos."
        )
    unit = np.ascontiguousarray(features, np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    _, found = index.search(unit, neighbours + 1)
    rows = np.arange(count)[:, None]
    # Duplicates can outrank a row in its own list, so the row is taken out wherever it stands.
    order = np.argsort(found == rows, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)[:, :neighbours].astype(np.int64)


def mine_triplets(
    anchors: np.ndarray, table: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A positive and a negative for every anchor of a batch.

    anchors: (B,) rows; table: (N, K) from `neighbour_table`. The positive is a random neighbour. The negative
    is a random anchor of the same batch that is neither the anchor nor one of its neighbours; where the batch
    has none, a random such row of the whole set. Returns (positives, negatives), each (B,) int64.
    """
    positives = table[anchors, generator.integers(table.shape[1], size=len(anchors))]
    negatives = np.empty(len(anchors), np.int64)
    for place, anchor in enumerate(anchors):
        allowed = anchors[(anchors != anchor) & ~np.isin(anchors, table[anchor])]
        if allowed.size == 0:
            allowed = np.setdiff1d(np.arange(len(table)), np.append(table[anchor], anchor))
        if allowed.size == 0:
            raise InputError(
                f"negatives need a frame outside the {table.shape[1]} neighbours of frame {anchor}, got none among "
                f"{len(table)} frames; lower --neighbours or add videos."
            )
        negatives[place] = generator.choice(allowed)
    return positives, negatives
