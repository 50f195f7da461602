"""The products of a run in its folder: whether a finished run is there, and how new ones get into their place."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moca.errors import InputError
from moca.media.collecting import OVERLAY, PARTIAL, SEGMENTS
from moca.output.segments_json import count_sounding

MASKS, REPORT = "masks", "report.html"
PRODUCTS = (MASKS, OVERLAY, REPORT, SEGMENTS)
"""In the order in which they get into their place: segments.json comes last, as it tells a finished run."""


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


def finished_run(target: Path, settings: dict[str, Any]) -> Summary | None:
    """The summary of a finished run with these settings; None for a folder without a run, which may be written to.

    Raises InputError for a run with other settings or whose segments.json is damaged, and for files that have the
    names of products and belong to no run.
    """
    path = target / SEGMENTS
    if not path.is_file():
        _refuse_foreign(target)
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


def _refuse_foreign(target: Path) -> None:
    """Refuse a folder whose files would be replaced though no run of ours wrote them."""
    if (target / PARTIAL).is_dir():  # a run that was stopped while it moved its products into place
        return
    if foreign := [name for name in PRODUCTS if (target / name).exists()]:
        raise InputError(
            f"{target} already has {', '.join(foreign)} from elsewhere; choose another folder or pass --overwrite."
        )


def move_products(source: Path, target: Path) -> None:
    """Move the products of a run into target; one that this run did not make is removed there, so none is stale."""
    (target / SEGMENTS).unlink(missing_ok=True)  # until all are in place, the run is not finished
    for name in PRODUCTS:
        old, new = target / name, source / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        elif old.exists():
            old.unlink()
        if new.exists():
            os.replace(new, old)
