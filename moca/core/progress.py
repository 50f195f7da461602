"""How long work tells how far it is: one protocol, for a bar, a log, or nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called often while something is being done."""

    def __call__(self, what: str, done: float, total: float | None = None, **values: float) -> None:
        """what: the work, in a few words; another text is another piece of work. done, total: how far it is, in any
        unit (steps, seconds, bytes); total None where it is not known. values: figures to show beside, such as loss."""


def silent(what: str, done: float, total: float | None = None, **values: float) -> None:
    """A progress that shows nothing; the default of whatever takes one."""


def named(name: str, progress: Progress) -> Progress:
    """A progress that puts a name before what is done: `named("clip.mp4", bar)("segmenting", 1, 5)`."""

    def report(what: str, done: float, total: float | None = None, **values: float) -> None:
        progress(f"{name}: {what}", done, total, **values)

    return report
