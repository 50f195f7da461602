"""What happened in every step: log.csv and TensorBoard's events."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from moca.core.files import write_csv_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG = "log.csv"
EVENTS = "tensorboard"


class History:
    """One row per step, kept in memory, in folder/log.csv and in folder/tensorboard.

    folder: None keeps it in memory alone. columns: of the steps that a resumed run has behind it. Rows that an
    earlier run wrote after its last checkpoint are dropped from log.csv and marked as such for TensorBoard, so
    that every step is there once. Files are written from the first row on; a context manager closes them.
    """

    def __init__(self, folder: str | Path | None = None, columns: Mapping[str, list[float | None]] | None = None):
        self.folder = None if folder is None else Path(folder)
        self.columns: dict[str, list[float | None]] = {name: list(values) for name, values in (columns or {}).items()}
        self._log: TextIO | None = None
        self._events: SummaryWriter | None = None

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.columns.get("step", ()))

    def __enter__(self) -> History:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def add(self, row: Mapping[str, float]) -> None:
        """Add a step. row: "step" (from 1) and what was measured; a column it lacks stays empty."""
        behind, known = len(self), list(self.columns)
        for name in dict.fromkeys((*known, *row)):
            self.columns.setdefault(name, [None] * behind).append(row.get(name))
        if self.folder is None:
            return
        if self._log is None or known != list(self.columns):
            self._rewrite()
        else:
            csv.writer(self._log, lineterminator="\n").writerow(self._row(behind))
        self._write_event(row)

    def recent(self, name: str, count: int = 50) -> float:
        """Mean of the last values of a column; nan where there is none."""
        values = [value for value in self.columns.get(name, [])[-count:] if value is not None]
        return sum(values) / len(values) if values else float("nan")

    def flush(self) -> None:
        """Put every row on disk, where a kill does not lose it."""
        for stream in (self._log, self._events):
            if stream is not None:
                stream.flush()

    def close(self) -> None:
        """Finish the files; `add` opens them again."""
        for stream in (self._log, self._events):
            if stream is not None:
                stream.close()
        self._log = self._events = None

    def _row(self, index: int) -> list[float | str]:
        return ["" if values[index] is None else values[index] for values in self.columns.values()]

    def _rewrite(self) -> None:
        """The whole of log.csv, then left open so that every further step adds a line."""
        if self._log is not None:
            self._log.close()
        write_csv_whole(self.folder / LOG, list(self.columns), (self._row(index) for index in range(len(self))))
        self._log = (self.folder / LOG).open("a", encoding="utf-8", newline="", buffering=1)

    def _write_event(self, row: Mapping[str, float]) -> None:
        step = int(row["step"])
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # imported late: it takes a second

            self._events = SummaryWriter(str(self.folder / EVENTS), purge_step=step)
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, step)
