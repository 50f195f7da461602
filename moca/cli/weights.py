"""List, fetch, verify, find and remove weights of published models."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from moca.cli.console import out_console, progress_bar
from moca.cli.wording import bytes_text, short_licence, size_text
from moca.core.progress import named
from moca.foundation.manifest import find_entry, read_manifest, weights_home

command = typer.Typer(help="Weights of published models: list, fetch, verify, find and remove them.")
Names = Annotated[list[str], typer.Argument(help="Names that moca weights list shows.")]


@command.command("list")
def list_models() -> None:
    """Every model that can be fetched: what it does, its size, its licence, and whether it is here."""

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "role", "size", "licence", "here"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for entry in read_manifest().values():
        table.add_row(entry.name, entry.title, size_text(entry), short_licence(entry), "yes" if entry.is_here else "no")
    out_console.print(table)
    out_console.print(f"folder: {weights_home()}; sizes with ~ are counted from the parameters", markup=False)


@command.command()
def fetch(names: Names) -> int:
    """Download models into the weights folder; a broken download goes on where it stopped."""
    from moca.foundation import downloads

    entries = [find_entry(name) for name in names]
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    for entry in entries:
        with progress_bar(in_bytes=True, hidden=entry.kind == "hub") as progress:
            fetched = downloads.fetch(entry, progress=named(entry.name, progress))
        state = "fetched" if fetched else "here already"
        out_console.print(f"{entry.name}: {state}, {entry.place} (licence {entry.licence})", markup=False)
    return 0


@command.command()
def verify(names: Annotated[list[str] | None, typer.Argument(help="Names; all that are here when left out.")] = None):
    """Read models again and compare them with their SHA-256; exit code 1 when one is wrong or missing."""
    from moca.foundation import downloads

    entries = [find_entry(name) for name in names or ()]
    if not names:
        entries = [entry for entry in read_manifest().values() if entry.place.exists()]
    if not entries:
        out_console.print(f"nothing has been fetched into {weights_home()}", markup=False)
    wrong = 0
    for entry in entries:
        with progress_bar(in_bytes=True) as progress:
            problems = downloads.faults(entry, progress=named(entry.name, progress))
        wrong += bool(problems)
        advice = f"; run moca weights fetch {entry.name}"
        out_console.print(f"{entry.name}: {'; '.join(problems) + advice if problems else 'right'}", markup=False)
    return 1 if wrong else 0


@command.command()
def path(name: Annotated[str | None, typer.Argument(help="A model; the weights folder when left out.")] = None) -> None:
    """Where the weights folder is, or where one model lies or would lie."""

    out_console.print(str(find_entry(name).place if name else weights_home()), markup=False)


@command.command()
def remove(names: Names) -> None:
    """Delete fetched models and what unfinished downloads of them left."""
    from moca.foundation import downloads

    for entry in [find_entry(name) for name in names]:
        freed = downloads.remove(entry)
        said = f"removed, {bytes_text(freed)} freed" if freed else "not here, nothing freed"
        out_console.print(f"{entry.name}: {said}", markup=False)
