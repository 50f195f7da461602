"""Every model as it is on this machine: whether it is here, how large it is, and under which licence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from moca.cli.wording import bytes_text, short_licence, size_text
from moca.foundation.catalogue import BUNDLED, CATALOGUE, ROLES, Row
from moca.foundation.manifest import UNSTATED, bundled_weights, fetched_entry, find_entry, read_manifest

MINI_LICENCE = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """One model, as it is on this machine."""

    name: str
    """Such as "mini/sam" for a bundled one, or "sam-vit-huge"."""
    role: str
    """What it does, in words."""
    here: bool | None
    """Whether all of it is there; None where only its own loader knows."""
    size: str
    """On disk, for people."""
    licence: str
    """Its name."""
    needs: int | None
    """Bytes of its weights in memory, in float32; None where that is not known."""


def models() -> list[ModelState]:
    """Every model: the bundled ones, those of the manifest, then those that only their own loaders know."""
    other = {name: role for row in CATALOGUE.values() for role, name in unlisted(row).items()}
    return [
        *(_bundled(role) for role in ROLES),
        *(_fetched(name) for name in read_manifest()),
        *(
            ModelState(name=name, role=ROLES[role].title, here=None, size="?", licence=UNSTATED, needs=None)
            for name, role in other.items()
        ),
    ]


def unlisted(row: Row) -> dict[str, str]:
    """Entries of a row by role of which nothing is fetched and that are not bundled."""
    entries = {role: row.entry(role) for role in ROLES}
    return {role: name for role, name in entries.items() if name != BUNDLED and fetched_entry(name, role) is None}


def model_names(row: Row) -> dict[str, str]:
    """The models of a row of the catalogue by role, as `models` names them; the first is enough to segment."""
    entries = {role: row.entry(role) for role in ROLES}
    return {role: _bundled_name(role) if name == BUNDLED else name for role, name in entries.items()}


def _bundled_name(role: str) -> str:
    return f"{BUNDLED}/{ROLES[role].folder}"


def _bundled(role: str) -> ModelState:
    path = bundled_weights() / BUNDLED / ROLES[role].folder / "model.safetensors"
    here = path.is_file()
    return ModelState(
        name=_bundled_name(role),
        role=ROLES[role].title,
        here=here,
        size=bytes_text(path.stat().st_size) if here else "?",
        licence=MINI_LICENCE,
        needs=_float32_bytes(path) if here else None,
    )


def _fetched(name: str) -> ModelState:
    entry = find_entry(name)
    return ModelState(
        name=name,
        role=entry.title,
        here=entry.is_here,
        size=bytes_text(entry.slim_place.stat().st_size) + " slim" if entry.is_slim else size_text(entry),
        licence=short_licence(entry),
        needs=4 * entry.parameters if entry.parameters else entry.size,
    )


def _float32_bytes(path: Path) -> int | None:
    """Four bytes for each number of a safetensors file, however it stores them; None for a damaged file."""
    try:
        with safe_open(path, "pt") as file:
            return 4 * sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except SafetensorError:
        return None
