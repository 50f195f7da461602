"""The products of a run in its folder: whether a finished run is there, and how new ones get into their place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moca.errors import InputError
from moca.media.collecting import OVERLAY, PARTIAL, SEGMENTS
from moca.output.segments_json import count_sounding

MASKS, REPORT = "masks", "report.html"
PRODUCTS = (MASKS, OVERLAY, REPORT, SEGMENTS)
"""In the order in which they get into their place: segments.json comes last, as it tells a finished run."""
PLACED = "placed"
"""Name of the file, in the folder of an unfinished run, that lists the products which are in their place."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One video that is finished."""

    steps: int
    """How many steps it has."""
    sounding: int
    """How many of them have a mask."""
    notes: tuple[str, ...]
    """What a user should read before believing the masks."""
    reused: bool = False
    """Whether an earlier run had finished it."""


def product_paths(target: Path) -> list[Path]:
    """Everything that a run writes, replaces or removes in its folder."""
    return [target / name for name in (*PRODUCTS, PARTIAL)]


def finished_run(target: Path, settings: dict[str, Any]) -> Summary | None:
    """The summary of a finished run with these settings; None for a folder without a run, which may be written to.

    Raises InputError for a run with other settings or whose segments.json is damaged, and for files that have the
    names of products and belong to no run.
    """
    path = target / SEGMENTS
    if not path.is_file():
        refuse_foreign(target, placed_products(target))
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        same = document["settings"] == settings
        summary = Summary(
            steps=len(document["steps"]),
            sounding=count_sounding(document),
            notes=tuple(document["notes"]),
            reused=True,
        )
    except (ValueError, KeyError, TypeError):
        same, summary = False, None
    if not same:
        raise InputError(
            f"{target} holds a run of another video or with other settings; choose another folder or pass --overwrite."
        )
    return summary


def placed_products(target: Path) -> frozenset[str]:
    """Names of the products that a run which was stopped while it moved them had put into their place."""
    try:
        return frozenset((target / PARTIAL / PLACED).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return frozenset()


def refuse_foreign(target: Path, placed: Collection[str] = ()) -> None:
    """Refuse a folder whose files would be replaced though no run of ours wrote them; placed: products that one did."""
    if foreign := [name for name in PRODUCTS if name not in placed and os.path.lexists(target / name)]:
        raise InputError(
            f"{target} already has {', '.join(foreign)} from elsewhere; choose another folder or pass --overwrite."
        )


def move_products(source: Path, target: Path) -> None:
    """Move the products of a run into target; one that this run did not make is removed there, so none is stale.

    Until all are moved, source tells by a file of its own which ones in target are of this run.
    """
    (target / SEGMENTS).unlink(missing_ok=True)  # until all are in place, the run is not finished
    for name in PRODUCTS:
        old, new = target / name, source / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        elif os.path.lexists(old):
            old.unlink()
        if new.exists():
            with (source / PLACED).open("a", encoding="utf-8") as placed:
                placed.write(f"{name}\n")
            os.replace(new, old)
