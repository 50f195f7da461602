"""`moca weights`: what can be fetched, fetching it, checking it, finding it, removing it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from moca.cli.wording import bytes_text, short_licence, size_text
from moca.foundation.manifest import Entry, find_entry, read_manifest, weights_home

weights = typer.Typer(help="Weights of published models: list, fetch, verify, find and remove them.")
Names = Annotated[list[str], typer.Argument(help="Names that moca weights list shows.")]


@weights.command("list")
def list_models() -> None:
    """Every model that can be fetched: what it does, its size, its licence, and whether it is here."""
    from moca.cli.console import out_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "role", "size", "licence", "here"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for entry in read_manifest().values():
        table.add_row(entry.name, entry.title, size_text(entry), short_licence(entry), "yes" if entry.is_here else "no")
    out_console.print(table)
    out_console.print(f"folder: {weights_home()}; sizes with ~ are counted from the parameters", markup=False)


@weights.command()
def fetch(names: Names) -> int:
    """Download models into the weights folder; a broken download goes on where it stopped."""
    from moca.cli.console import error_console, out_console
    from moca.foundation import downloads

    entries = [find_entry(name) for name in names]
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    for entry in entries:
        with _bars(error_console, hidden=entry.kind == "hub") as bars:
            fetched = downloads.fetch(entry, progress=_bar(bars, entry))
        state = "fetched" if fetched else "here already"
        out_console.print(f"{entry.name}: {state}, {entry.place} (licence {entry.licence})", markup=False)
    return 0


@weights.command()
def verify(names: Annotated[list[str] | None, typer.Argument(help="Names; all that are here when left out.")] = None):
    """Read models again and compare them with their SHA-256; exit code 1 when one is wrong or missing."""
    from moca.cli.console import error_console, out_console
    from moca.foundation import downloads

    entries = [find_entry(name) for name in names or ()]
    if not names:
        entries = [entry for entry in read_manifest().values() if entry.place.exists()]
    if not entries:
        out_console.print(f"nothing has been fetched into {weights_home()}", markup=False)
    wrong = 0
    for entry in entries:
        with _bars(error_console) as bars:
            found = downloads.faults(entry, progress=_bar(bars, entry))
        wrong += bool(found)
        advice = f"; run moca weights fetch {entry.name}"
        out_console.print(f"{entry.name}: {'; '.join(found) + advice if found else 'right'}", markup=False)
    return 1 if wrong else 0


@weights.command()
def path(name: Annotated[str | None, typer.Argument(help="A model; the weights folder when left out.")] = None) -> None:
    """Where the weights folder is, or where one model lies or would lie."""
    from moca.cli.console import out_console

    out_console.print(str(find_entry(name).place if name else weights_home()), markup=False)


@weights.command()
def remove(names: Names) -> None:
    """Delete fetched models and what unfinished downloads of them left."""
    from moca.cli.console import out_console
    from moca.foundation import downloads

    for entry in [find_entry(name) for name in names]:
        freed = downloads.remove(entry)
        said = f"removed, {bytes_text(freed)} freed" if freed else "not here, nothing freed"
        out_console.print(f"{entry.name}: {said}", markup=False)


def _bars(console, *, hidden: bool = False) -> Progress:
    """A bar of bytes on a terminal, gone when done."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    off = hidden or not console.is_terminal
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=off)


def _bar(bars: Progress, entry: Entry):
    task = bars.add_task(entry.name, total=entry.size)

    def update(what: str, done: float, total: float | None = None, **values: float) -> None:
        bars.update(task, description=f"{entry.name}: {what}", completed=done, total=total)

    return update
