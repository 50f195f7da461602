"""The most similar rows of a row by cosine similarity: exact, or by inverted lists where a set is large.

Shape legend: N rows in all, B rows whose neighbours are sought, K neighbours, A candidates, D numbers in a feature.
"""

from __future__ import annotations

import numpy as np

from moca.errors import InputError
from moca.mining.config import Index
from moca.mining.features import blocks, check_features, check_videos, unit_rows

IVF_FROM = 100_000
"""Rows from which "auto" takes inverted lists: they save over half of the time there (benchmarks/mining.py)."""
PROBES = 32
"""Inverted lists looked through for each row: 96% or more of the neighbours are found (benchmarks/mining.py)."""
SPARE = 64
"""Candidates beyond K at most; a row of a video with more rows than that may need the exact search."""
ROWS_PER_LIST = 64
"""Training rows for each list: k-means needs some dozens of rows for a centre, more only cost time."""
EXACT_CELLS = 2**25
"""Similarities held at a time by the exact search: 128 MiB."""


def neighbour_table(features: np.ndarray, neighbours: int, *, videos: np.ndarray | None = None) -> np.ndarray:
    """The `neighbours` most similar rows of every row by cosine similarity, itself excluded.

    features: (N, D) float. videos: (N,) number of the video each row comes from; when given, rows of the same
    video are no neighbours. Returns (N, neighbours) int64, most similar first. Exact search (FAISS flat inner
    product). Raises InputError. Source: MoCA (arXiv 2403.14203) section 3.2, lookup table of nearest neighbours.

    >>> neighbour_table(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), 1).tolist()
    [[1], [0], [1]]
    """
    return NeighbourSearch(features, neighbours, videos=videos).nearest(np.arange(len(features)))[0]


def index_kind(index: Index, count: int) -> Index:
    """What "auto" means for `count` rows: "flat" or "ivf"."""
    return index if index != "auto" else "ivf" if count >= IVF_FROM else "flat"


def list_count(count: int) -> int:
    """Inverted lists for `count` rows: 4 sqrt(N) as FAISS advises, and at least 32 rows in a list on average."""
    return max(1, min(round(4 * count**0.5), count // 32))


def train_lists(features: np.ndarray) -> np.ndarray:
    """Centres of the inverted lists, (lists, D) float32 unit rows: spherical k-means on a fixed random sample."""
    import faiss

    count = len(features)
    lists = list_count(count)
    sample = np.random.default_rng(0).choice(count, min(count, ROWS_PER_LIST * lists), replace=False)
    kmeans = faiss.Kmeans(
        features.shape[1],
        lists,
        niter=10,
        spherical=True,
        seed=0,
        min_points_per_centroid=1,
        max_points_per_centroid=ROWS_PER_LIST,
    )
    kmeans.train(unit_rows(features[np.sort(sample)]))
    return kmeans.centroids


class NeighbourSearch:
    """Finds the neighbours of rows among all rows; made once, then asked for some rows at a time."""

    def __init__(
        self,
        features: np.ndarray,
        neighbours: int,
        *,
        videos: np.ndarray | None = None,
        index: Index = "flat",
        centres: np.ndarray | None = None,
    ) -> None:
        """features: (N, D) float, also memory-mapped; a scaled copy is kept. videos: (N,) integers; rows of the
        same video are no neighbours (None: every row is its own video). index: as in `MiningConfig`. centres: of
        the inverted lists, from `train_lists`, which runs when None. Raises InputError when a row cannot have
        that many neighbours.
        """
        check_features(features)
        count = len(features)
        self.groups = np.arange(count) if videos is None else check_videos(videos, count)
        self.largest = int(np.unique(self.groups, return_counts=True)[1].max(initial=0))
        check_neighbours(neighbours, count, self.largest, by_video=videos is not None)
        self.features, self.neighbours = features, neighbours
        if index_kind(index, count) == "flat":
            self.centres, self.index = None, _flat(features)
        else:
            self.centres = train_lists(features) if centres is None else np.ascontiguousarray(centres, np.float32)
            self.index = _inverted(features, self.centres)

    def nearest(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours of some rows, most similar first.

        rows: (B,) integers. Returns (indices (B, K) int64, similarities (B, K) float32 in [-1, 1]). Where the
        candidates of the index leave a row short (its video fills them, or the lists held too few), that row is
        searched for exactly, so that every row has K neighbours.
        """
        count = min(len(self.features), self.neighbours + min(self.largest, SPARE))
        similarities, candidates = self.index.search(unit_rows(self.features[rows]), count)
        # Duplicates can outrank a row in its own list, so it is taken out wherever it stands, as is its video.
        banned = (candidates < 0) | (self.groups[candidates] == self.groups[rows][:, None])
        order = np.argsort(banned, axis=1, kind="stable")[:, : self.neighbours]
        indices = np.take_along_axis(candidates, order, axis=1)
        similarities = np.take_along_axis(similarities, order, axis=1)
        short = np.flatnonzero((~banned).sum(1) < self.neighbours)
        step = max(1, EXACT_CELLS // len(self.features))
        for start in range(0, len(short), step):
            part = short[start : start + step]
            indices[part], similarities[part] = self._exact(rows[part])
        return indices.astype(np.int64), np.clip(similarities, -1, 1)

    def _exact(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same as `nearest`, by similarity with every row there is."""
        unit = unit_rows(self.features[rows])
        similarities = np.concatenate([unit @ unit_rows(values).T for _, values in blocks(self.features)], axis=1)
        similarities[self.groups[rows][:, None] == self.groups] = -np.inf
        best = np.argpartition(-similarities, self.neighbours - 1, axis=1)[:, : self.neighbours]
        order = np.argsort(-np.take_along_axis(similarities, best, axis=1), axis=1, kind="stable")
        indices = np.take_along_axis(best, order, axis=1)
        return indices, np.take_along_axis(similarities, indices, axis=1)


def check_neighbours(neighbours: int, count: int, largest: int, *, by_video: bool) -> None:
    """Refuse a K that some row cannot have; largest: rows of the longest video, 1 where videos do not count."""
    limit = count - largest
    if limit < 1:
        raise InputError(
            f"neighbours need frames of at least 2 videos when the same video is excluded, all {count} are of one; "
            "add videos, or pass --no-exclude-same-video."
            if by_video
            else f"neighbours need at least 2 frames, got {count}; add videos."
        )
    if not 1 <= neighbours <= limit:
        rule = (
            f"{count} frames of which {largest} are of one video (frames of the same video are not neighbours)"
            if by_video
            else f"{count} frames (a frame is not its own neighbour)"
        )
        raise InputError(
            f"neighbours must be between 1 and {limit} for {rule}, got {neighbours}; lower --neighbours or add videos."
        )


def _flat(features: np.ndarray):
    import faiss

    index = faiss.IndexFlatIP(features.shape[1])
    for _, values in blocks(features):
        index.add(unit_rows(values))
    return index


def _inverted(features: np.ndarray, centres: np.ndarray):
    import faiss

    quantiser = faiss.IndexFlatIP(features.shape[1])
    quantiser.add(centres)
    index = faiss.IndexIVFFlat(quantiser, features.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT)
    index.train(centres)  # the centres are there already: this only marks the index as ready
    index.nprobe = min(PROBES, len(centres))
    for _, values in blocks(features):
        index.add(unit_rows(values))
    return index
