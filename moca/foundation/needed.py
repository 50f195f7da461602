"""What must be fetched before a model can be run."""

from __future__ import annotations

from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE, ROLES, SEGMENTING
from moca.foundation.manifest import Entry, fetched_entry, read_manifest


def needed_entries(name: str, *, compared: bool = False) -> list[Entry]:
    """What must be fetched for a name: of a row of the catalogue the models that it segments with, or one model.

    name: a key of `catalogue.CATALOGUE` or of the manifest. compared: also those of a row that only the comparison
    methods use. Raises InputError, naming all of both, for any other name.
    """
    entries = read_manifest()
    if name not in CATALOGUE and name not in entries:
        raise InputError(
            f"name must be a model that is run ({', '.join(CATALOGUE)}) or a part of one ({', '.join(entries)}), got "
            f"{name}; see moca weights list."
        )
    if name not in CATALOGUE:
        return [entries[name]]
    row = CATALOGUE[name]
    found = [fetched_entry(row.entry(role), role) for role in (ROLES if compared else SEGMENTING)]
    return [entry for entry in found if entry is not None]
