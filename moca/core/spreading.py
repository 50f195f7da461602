"""A few of many, evenly spread."""

from __future__ import annotations

import numpy as np


def spread_with_ends(count: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0 to count - 1, ascending and evenly apart, the first and the last among them where
    there are several; all where they fit.

    >>> spread_with_ends(10, 4).tolist(), spread_with_ends(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
