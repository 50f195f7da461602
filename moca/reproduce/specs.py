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
    """Adapters to be trained, once for every seed.

    name: of its folder. preset: see `moca.training.config.PRESETS`. changes: settings that make it different from
    its preset, as for `moca.core.settings.changed`. adapters: adapted blocks out of the paper's six, which become
    as many of a shallower trunk as `blocks_here` says; None for the default.
    """

    name: str
    preset: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    adapters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A method with its settings, run on whole data sets; tables that name the same run share it.

    name: of its folder. method, settings: as for `moca.methods.load_method`. training: what it is run with, once for
    every seed; None for the model as it is, which has nothing random and is run once.
    """

    name: str
    method: str = "moca"
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Training | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    label: as shown. run: None for what only the paper has. paper: the paper's name of the row, None for what only
    this project has. adapters: adapted blocks of the paper that the label names, to be told in this model's.
    """

    label: str
    run: Run | None = None
    paper: str | None = None
    adapters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What the paper concludes from a table: on each of the data sets, the first row of every pair is the better.

    words: the conclusion. data: where it is looked for. pairs: of labels (better, worse).
    """

    words: str
    data: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper with what is measured here in its place.

    name: as in `moca reproduce NAME`. title: says what it compares. note: what a reader must know of this project's
    choices. paper: the printed numbers. data: names of data sets, in the order of the columns.
    """

    name: str
    title: str
    note: str
    paper: PaperTable
    data: tuple[str, ...]
    rows: tuple[Row, ...]
    trends: tuple[Trend, ...]

    @property
    def trainings(self) -> tuple[Training, ...]:
        """What its rows need, each once, in their order."""
        found = [row.run.training for row in self.rows if row.run is not None and row.run.training is not None]
        return tuple({training.name: training for training in found}.values())


def blocks_here(adapters: int, default: int) -> int:
    """Blocks to adapt where the paper adapts `adapters` of its six; default: what six become on this trunk.

    >>> [blocks_here(count, 4) for count in (2, 4, 6)]
    [1, 3, 4]
    """
    return max(1, round(adapters * default / PAPER_ADAPTERS))
