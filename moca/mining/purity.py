"""How often neighbours share a class: for study only, training never sees a class."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from moca.errors import InputError


def purity(table: np.ndarray, classes: Sequence[Collection[str]]) -> dict[str, float | int]:
    """Share of neighbours that share at least one class with their anchor, and what chance would give.

    table: (N, K) neighbours of every row. classes: the classes heard in each of the N rows, none for silence.
    Rows without a class are no anchors, though they may be neighbours, which then count as misses. Returns
    "purity" (1 is best), "chance" (the same share when neighbours are drawn from all other rows) and "anchors",
    the number of rows counted; without any, both shares are NaN. Raises InputError.

    >>> purity(np.array([[1], [0], [3], [0]]), [{"dog"}, {"dog", "cat"}, {"bird"}, {"cat"}])
    {'purity': 0.5, 'chance': 0.3333333333333333, 'anchors': 4}
    """
    if len(classes) != len(table):
        raise InputError(f"classes must have one entry for each of {len(table)} frames, got {len(classes)}; add them.")
    for row, heard in enumerate(classes):
        if isinstance(heard, str):
            raise InputError(f"classes of frame {row} must be a collection of names, got {heard!r}; use [{heard!r}].")
    distinct: dict[frozenset[str], int] = {}
    kind = np.array([distinct.setdefault(frozenset(heard), len(distinct)) for heard in classes], np.int64)
    sets = list(distinct)
    names = sorted(frozenset().union(*sets))
    heard = np.array([[name in classes for name in names] for classes in sets], np.float32).reshape(
        len(sets), len(names)
    )
    shares = heard @ heard.T > 0
    anchors = np.flatnonzero(shares.diagonal()[kind])  # a set shares a class with itself unless it is empty
    if len(anchors) == 0:
        return {"purity": float("nan"), "chance": float("nan"), "anchors": 0}
    hits = shares[kind[anchors, None], kind[table[anchors]]]
    rows_of_kind = np.bincount(kind, minlength=len(sets))
    partners = (shares @ rows_of_kind)[kind[anchors]] - 1  # the anchor itself is no partner
    chance = partners.mean() / max(len(table) - 1, 1)
    return {"purity": float(hits.mean()), "chance": float(chance), "anchors": len(anchors)}
