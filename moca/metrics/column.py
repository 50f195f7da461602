"""What a table says of a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """A metric in a reader's words."""

    title: str
    """The head of its column."""
    meaning: str
    """What it measures, and where it comes from."""
    better: Literal["higher", "lower"] | None = "higher"
    """Which way is good, None where neither is."""
    count: bool = False
    """Whether it counts things, so that it has no interval."""
