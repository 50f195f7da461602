"""Positives, negatives and far rows for the anchors of a batch.

Shape legend: N rows in all, B anchors, K neighbours, D numbers in a feature.
"""

from __future__ import annotations

import numpy as np

from moca.errors import InputError
from moca.mining.features import check_videos, unit_rows

DUPLICATE = 1 - 1e-5
"""Cosine from which two rows count as the same picture: above the rounding of float32, below any real difference."""


def mine_triplets(
    anchors: np.ndarray,
    table: np.ndarray,
    generator: np.random.Generator,
    *,
    videos: np.ndarray | None = None,
    hard_features: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A positive and a negative for every anchor of a batch.

    anchors: (B,) rows, which may repeat; table: (N, K) neighbours of every row. The positive is a random
    neighbour. Negatives are a random shuffle of the batch in which no anchor meets itself or one of its
    neighbours; where no shuffle serves everyone, as many as possible are served by one, and the others get a
    random such row of the whole set. videos: (N,) video of each row; when given, rows of the anchor's video are
    no negatives either. hard_features: (N, D); when given, the negative is the most similar allowed anchor of
    the batch instead, so one anchor may serve several others. Returns (positives, negatives), each (B,) int64.
    Raises InputError when some anchor has no negative at all. Source: MoCA (arXiv 2403.14203) section 3.2.
    """
    anchors, table = np.asarray(anchors, np.int64), np.asarray(table)
    videos = None if videos is None else check_videos(videos, len(table))
    positives = table[anchors, generator.integers(table.shape[1], size=len(anchors))].astype(np.int64)
    allowed = _allowed(anchors, table, videos)
    partners = _shuffled(allowed, generator) if hard_features is None else _hardest(allowed, hard_features[anchors])
    negatives = anchors[partners]
    for left_over in np.flatnonzero(partners < 0):
        negatives[left_over] = _anywhere(anchors[left_over], table, videos, generator)
    return positives, negatives


def _allowed(anchors: np.ndarray, table: np.ndarray, videos: np.ndarray | None) -> np.ndarray:
    """(B, B) bool: may anchor j be the negative of anchor i?"""
    same = anchors[:, None] == anchors if videos is None else videos[anchors][:, None] == videos[anchors]
    near = (table[anchors][:, None, :] == anchors[None, :, None]).any(2)
    return ~(same | near)


def _shuffled(allowed: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random largest one-to-one assignment: (B,) indices into the batch, -1 where an anchor is left over."""
    from scipy.sparse import csr_array  # late: settings of mining are read by help texts, too
    from scipy.sparse.csgraph import maximum_bipartite_matching

    rows, columns = (generator.permutation(len(allowed)) for _ in range(2))
    matched = maximum_bipartite_matching(csr_array(allowed[np.ix_(rows, columns)]), perm_type="column")
    partners = np.empty(len(allowed), np.int64)
    partners[rows] = np.where(matched < 0, -1, columns[matched])
    return partners


def _hardest(allowed: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(B,) indices into the batch of the most similar allowed anchors, -1 where there is none."""
    unit = unit_rows(features)
    similarities = np.where(allowed, unit @ unit.T, -np.inf)
    return np.where(allowed.any(1), similarities.argmax(1), -1)


def _anywhere(
    anchor: np.int64, table: np.ndarray, videos: np.ndarray | None, generator: np.random.Generator
) -> np.int64:
    """A random row of the whole set that may be the anchor's negative."""
    free = np.ones(len(table), bool) if videos is None else videos != videos[anchor]
    free[anchor] = False
    free[table[anchor]] = False
    choices = np.flatnonzero(free)
    if choices.size == 0:
        outside = "" if videos is None else " and outside its video"
        raise InputError(
            f"negatives need a frame outside the {table.shape[1]} neighbours of frame {anchor}{outside}, got none "
            f"among {len(table)} frames; lower --neighbours or add videos."
        )
    return generator.choice(choices)


def far_rows(
    features: np.ndarray,
    anchors: np.ndarray,
    count: int,
    generator: np.random.Generator,
    *,
    quantile: float = 0.5,
    pool: int = 4096,
    videos: np.ndarray | None = None,
) -> np.ndarray:
    """Random rows that are unlike each anchor.

    features: (N, D) float, also memory-mapped; anchors: (B,) rows. A row is far when its cosine similarity to
    the anchor is at most the given quantile of the anchor's similarities to all other rows, and never when it
    is a duplicate of the anchor (a set may be half black frames). From sets larger than `pool`, that many random
    rows stand for all, so that a step of training costs the same however large the set is. videos: (N,) video of
    each row; when given, the anchor's own video is left out. Returns (B, count) int64, without repeats in a row
    of it where there are enough far rows. Raises InputError when an anchor has none.
    """
    if not (isinstance(count, int) and count >= 1):
        raise InputError(f"count must be a whole number of at least 1, got {count!r}; ask for 1 or more.")
    if not 0 < quantile <= 1:
        raise InputError(f"quantile must be above 0 and at most 1, got {quantile}; 0.5 is the less similar half.")
    if not (isinstance(pool, int) and pool >= 2):
        raise InputError(f"pool must be a whole number of at least 2, got {pool!r}; 4096 is the default.")
    groups = np.arange(len(features)) if videos is None else check_videos(videos, len(features))
    anchors = np.asarray(anchors, np.int64)
    sample = np.sort(generator.choice(len(features), min(pool, len(features)), replace=False))
    similarities = unit_rows(features[anchors]) @ unit_rows(features[sample]).T
    chosen = np.empty((len(anchors), count), np.int64)
    for index, anchor in enumerate(anchors):
        others = groups[sample] != groups[anchor]
        mine, rows = similarities[index, others], sample[others]
        far = rows[(mine <= np.quantile(mine, quantile)) & (mine < DUPLICATE)] if len(rows) else rows
        if len(far) == 0:
            raise InputError(
                f"far rows need a frame that differs from frame {anchor}, got none among {len(rows)} candidates; "
                "add videos or leave duplicates out."
            )
        chosen[index] = generator.choice(far, count, replace=len(far) < count)
    return chosen
