"""Slim copies of fetched encoders, in the weights folder beside their originals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.foundation.downloads import alone, in_home
from moca.foundation.imagebind.slim import read_slim, slim_fault, slim_imagebind
from moca.foundation.manifest import Entry, local_source


@dataclass(frozen=True, kw_only=True)
class Slimmed:
    """A slim copy and what was done for it."""

    path: Path
    bytes: int
    fingerprint: str
    """Of the original."""
    made: bool
    """False where the copy was here already."""
    freed: int
    """Bytes of the original that was removed, 0 where none was."""


def slim(entry: Entry, *, remove_original: bool = False, progress: Progress = silent) -> Slimmed:
    """Make the slim copy of a fetched encoder where there is none; see `moca.foundation.imagebind.slim`.

    remove_original: delete the fetched file once the copy has been read back and is right. Raises InputError, in one
    line and before anything is written, for a model that is no encoder or not here, and for a copy that is damaged.
    """
    if entry.role != "encoder" or entry.kind != "file":
        raise InputError(
            f"{entry.name} must be an encoder that is one file, got {entry.title}; there is nothing to leave out of it."
        )
    if not entry.is_slim:
        local_source(entry.name)
    with in_home(), alone(entry, progress):
        made = not entry.is_slim
        if made:
            slim_imagebind(entry.place, entry.slim_place, progress=progress)
        if (made or remove_original) and (fault := slim_fault(entry.slim_place, progress=progress)):
            raise InputError(f"{fault}; remove it and run moca weights slim {entry.name} again.")
        freed = 0
        if remove_original and entry.place.exists():
            freed = entry.place.stat().st_size
            entry.place.unlink()
        _, fingerprint = read_slim(entry.slim_place)
    size = entry.slim_place.stat().st_size
    return Slimmed(path=entry.slim_place, bytes=size, fingerprint=fingerprint, made=made, freed=freed)
