"""What a table is made of: trainings, runs, rows, and the trends that the paper reads off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moca.reproduce.paper import PaperTable

PAPER_ADAPTERS = 6
"""Adapted blocks of the paper's default, of the 32 of ImageBind-Huge's image trunk."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Adapters to be trained, once for every seed."""

    name: str
    """Of its folder."""
    preset: str
    """A key of `moca.training.config.PRESETS`."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that make it different from its preset, as for `moca.core.settings.changed`."""
    adapters: int | None = None
    """Adapted blocks out of the paper's six, which become as many of a shallower trunk as `blocks_here` says; None for
    the default."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A method with its settings, run on whole data sets; tables that name the same run share it."""

    name: str
    """Of its folder."""
    method: str = "moca"
    """As for `moca.methods.load_method`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """As for `moca.methods.load_method`; what a data set's protocol needs is added."""
    training: Training | None = None
    """What it is run with, once for every seed; None for the model as it is, which has nothing random and is run
    once."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table."""

    label: str
    """As shown."""
    run: Run | None = None
    """None for what only the paper has."""
    paper: str | None = None
    """The paper's name of the row, None for what only this project has."""
    adapters: int | None = None
    """Adapted blocks of the paper that the label names; how many that is in this model is shown with it."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What the paper concludes from a table: on each of the data sets, the first row of every pair is the better."""

    words: str
    """The conclusion."""
    data: tuple[str, ...]
    """Names of the data sets on which it is looked for."""
    pairs: tuple[tuple[str, str], ...]
    """Of labels (better, worse)."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper with what is measured here in its stead."""

    name: str
    """As in `moca reproduce NAME`."""
    title: str
    """Says what it compares."""
    note: str
    """What a reader must know of this project's choices."""
    paper: PaperTable
    """The printed numbers."""
    data: tuple[str, ...]
    """Names of data sets (keys of `moca.evaluation.datasets.DATASETS`), in the order of the columns."""
    rows: tuple[Row, ...]
    trends: tuple[Trend, ...]

    @property
    def trainings(self) -> tuple[Training, ...]:
        """What its rows need, each once, in their order."""
        trainings = [row.run.training for row in self.rows if row.run is not None and row.run.training is not None]
        return tuple({training.name: training for training in trainings}.values())


def blocks_here(adapters: int, default: int) -> int:
    """Blocks to adapt where the paper adapts `adapters` of its six; default: what six become on this trunk.

    >>> [blocks_here(count, 4) for count in (2, 4, 6)]
    [1, 3, 4]
    """
    return max(1, round(adapters * default / PAPER_ADAPTERS))
