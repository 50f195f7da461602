"""List, fetch, verify, slim, find and remove weights of published models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from moca.cli.console import out_console, progress_bar
from moca.cli.wording import bytes_text, short_licence, size_text
from moca.core.progress import named
from moca.foundation.catalogue import CATALOGUE
from moca.foundation.manifest import Entry, find_entry, needed_entries, read_manifest, weights_home

command = typer.Typer(help="Weights of published models: list, fetch, verify, slim, find and remove them.")
Names = Annotated[list[str], typer.Argument(help="Names that moca weights list shows.")]
ROWS = ", ".join(row.name for row in CATALOGUE.values() if not row.bundled)
Fetched = Annotated[list[str], typer.Argument(help=f"Models that are run ({ROWS}), or names of moca weights list.")]


@command.command("list")
def list_models() -> None:
    """Every model that can be fetched: what it does, its size, its licence, and whether it is here."""

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "role", "size", "licence", "here"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for entry in read_manifest().values():
        table.add_row(entry.name, entry.title, size_text(entry), short_licence(entry), "yes" if entry.is_here else "no")
    out_console.print(table)
    out_console.print(f"folder: {weights_home()}; sizes with ~ are counted from the parameters")


@command.command()
def fetch(
    names: Fetched,
    every: Annotated[
        bool, typer.Option("--all", help="Of a model that is run, also what only the comparison methods use.")
    ] = False,
) -> int:
    """Download models into the weights folder; a broken download goes on where it stopped.

    Of a model that is run, what it segments with by default: sizes and licences are said first. What is here is not
    fetched again.
    """
    from moca.foundation import downloads

    entries = list({entry.name: entry for name in names for entry in needed_entries(name, compared=every)}.values())
    if len(entries) > 1:
        _say_plan(entries)
    elif not entries:
        out_console.print(f"{', '.join(names)}: nothing to fetch, all of it travels with the package")
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    for entry in entries:
        with progress_bar(in_bytes=True, hidden=entry.kind == "hub") as progress:
            fetched = not entry.is_slim and downloads.fetch(entry, progress=named(entry.name, progress))
        state = "fetched" if fetched else "here already"
        out_console.print(f"{entry.name}: {state}, {_place(entry)} (licence {entry.licence})")
    return 0


def _place(entry: Entry) -> Path:
    """What is loaded, or would be."""
    return entry.slim_place if entry.is_slim else entry.place


def _say_plan(entries: list[Entry]) -> None:
    """What will be fetched, with sizes, their sum and licences, before anything is."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "role", "size", "here", "licence"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for entry in entries:
        table.add_row(entry.name, entry.title, size_text(entry), "yes" if entry.is_here else "no", entry.licence)
    out_console.print(table)
    wanted = [entry for entry in entries if not entry.is_here]
    unknown = [entry.name for entry in wanted if entry.size is None]
    known = [entry for entry in wanted if entry.size is not None]
    about = "" if all(entry.size_is_exact for entry in known) else "~"
    total = f"{about}{bytes_text(sum(entry.size for entry in known))}"
    more = f", and {', '.join(unknown)}, whose size is not known" if unknown else ""
    out_console.print(f"to fetch: {total}{more}, into {weights_home()}")


@command.command()
def slim(
    name: Annotated[str, typer.Argument(help="An encoder that has been fetched, such as imagebind-huge.")],
    remove_original: Annotated[
        bool, typer.Option("--remove-original", help="Delete the fetched file once its slim copy is whole.")
    ] = False,
) -> None:
    """Keep the image and audio towers alone, their matrices in bfloat16: a third of the file, and half of the memory.

    The copy is what is loaded from then on. Adapters are bound to the original's fingerprint, which it carries; its
    numbers are rounded, which results say.
    """
    from moca.foundation.slimming import slim as slim_entry

    with progress_bar() as progress:
        done = slim_entry(find_entry(name), remove_original=remove_original, progress=progress)
    state = f"{bytes_text(done.bytes)} in {done.path}" + ("" if done.made else ", which was here already")
    out_console.print(f"{name}: {state} (fingerprint of the original: {done.fingerprint})")
    if done.freed:
        out_console.print(f"{name}: {find_entry(name).place} removed, {bytes_text(done.freed)} freed")


@command.command()
def verify(names: Annotated[list[str] | None, typer.Argument(help="Names; all that are here when left out.")] = None):
    """Read models again and compare them with their SHA-256; exit code 1 when one is wrong or missing."""
    from moca.foundation import downloads

    entries = [find_entry(name) for name in names or ()]
    if not names:
        entries = [entry for entry in read_manifest().values() if _place(entry).exists()]
    if not entries:
        out_console.print(f"nothing has been fetched into {weights_home()}")
    wrong = 0
    for entry in entries:
        with progress_bar(in_bytes=True) as progress:
            problems = downloads.faults(entry, progress=named(entry.name, progress))
        wrong += bool(problems)
        advice = f"; run moca weights fetch {entry.name}"
        out_console.print(f"{entry.name}: {'; '.join(problems) + advice if problems else 'right'}")
    return 1 if wrong else 0


@command.command()
def path(name: Annotated[str | None, typer.Argument(help="A model; the weights folder when left out.")] = None) -> None:
    """Where the weights folder is, or where one model lies or would lie."""

    out_console.print(str(_place(find_entry(name)) if name else weights_home()))


@command.command()
def remove(names: Names) -> None:
    """Delete fetched models and what unfinished downloads of them left."""
    from moca.foundation import downloads

    for entry in [find_entry(name) for name in names]:
        freed = downloads.remove(entry)
        said = f"removed, {bytes_text(freed)} freed" if freed else "not here, nothing freed"
        out_console.print(f"{entry.name}: {said}")
