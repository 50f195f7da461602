"""Where commands print to, and the one bar that shows how far they are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from moca.core.progress import Progress


def plain_console(**where: Any) -> Console:
    """A console that prints text as it is: brackets and colons of paths and names are no markup and no emoji.

    where: what rich's Console takes besides, such as stderr or file.
    """
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False, **where)


out_console = plain_console()
error_console = plain_console(stderr=True)
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def speaks() -> bool:
    """Whether this process is the one that prints: of several that torchrun started, the first."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def progress_bar(*, in_bytes: bool = False, hidden: bool = False) -> Iterator[Progress]:
    """A bar on a terminal, gone when done; nothing where the output is a file, or another process speaks.

    The bar shows what is being done at the moment, and beside it the loss, the share of active triplets and the pace
    where they are told. in_bytes: done and total are bytes of a download.
    """
    columns: tuple[ProgressColumn, ...] = (_text("{task.description}"), BarColumn())
    if in_bytes:
        columns += (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    else:
        columns += (_text("{task.percentage:>3.0f}%"), TimeElapsedColumn(), TimeRemainingColumn())
    off = hidden or not speaks() or not error_console.is_terminal
    with Bars(*columns, _text("{task.fields[note]}"), console=error_console, transient=True, disable=off) as bars:
        yield _OneBar(bars)


def _text(what: str) -> TextColumn:
    """A column of text as it is, names of files among it."""
    return TextColumn(what, markup=False)


class _OneBar:
    """Shows one piece of work after the other in one bar."""

    def __init__(self, bars: Bars) -> None:
        self.bars, self.task, self.what = bars, None, ""
        self.first, self.began = 0.0, 0.0

    def __call__(self, what: str, done: float, total: float | None = None, **values: float) -> None:
        if self.task is None or what != self.what:
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.what, self.task = what, self.bars.add_task(what, total=total, note="")
            self.first, self.began = done, time.monotonic()
        self.bars.update(self.task, completed=done, total=total, note=self._note(done, values))

    def _note(self, done: float, values: dict[str, float]) -> str:
        """The figures that are told, and the pace of work that tells some."""
        if not values:
            return ""
        shown = [f"loss {values['loss']:.3f}"] if "loss" in values else []
        shown += [f"{values['active']:.0%} active"] if "active" in values else []
        if done > self.first:
            shown.append(f"{(done - self.first) / max(time.monotonic() - self.began, 1e-9):.1f} steps/s")
        return ", ".join(shown)
