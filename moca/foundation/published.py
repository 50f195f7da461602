"""Kinds of published models, and where the model lies that a name stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, ROLES
from moca.foundation.manifest import bundled_weights, local_source, read_manifest


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of published model in the `transformers` folder format."""

    role: str
    """What it serves as; a key of `catalogue.ROLES`."""
    types: tuple[str, ...]
    """Values of model_type in config.json that fit."""
    example: str
    """A hub id of one."""
    spare: tuple[str, ...] = ()
    """Beginnings of names of weights that a file may hold or lack, as they are not used or are copies of others."""

    @property
    def name(self) -> str:
        """What messages call it: its folder in the mini zoo, such as "dino"."""
        return ROLES[self.role].folder


def named_source(name: str | Path, role: str) -> Path | None:
    """Where a model lies that is bundled ("mini") or a name of the manifest; None for any other name.

    role: a key of `catalogue.ROLES`. Raises InputError, with the command that fetches it, for a name of the manifest
    that has not been fetched.
    """
    if str(name) == BUNDLED:
        return bundled_weights() / BUNDLED / ROLES[role].folder
    return local_source(str(name)) if str(name) in read_manifest() else None


def find_source(name: str | Path, kind: Kind) -> str:
    """Where the model lies that a name stands for, a path or a hub id such as "owner/model".

    name: "mini", a name of the manifest whose weights were fetched, a folder or a hub id.
    """
    source, name = named_source(name, kind.role), str(name)
    if source is not None and name == BUNDLED and not source.is_dir():
        raise InputError(f"mini has no {kind.name}; give a folder or a hub id such as {kind.example}.")
    if source is not None:
        return str(source)
    if Path(name).is_dir() or (name.count("/") == 1 and not name.startswith((".", "/"))):
        return name
    raise InputError(
        f"{kind.name} must be mini, a name of moca weights list, a folder with a config.json or a hub id such as "
        f"{kind.example}, got {name}, which is none of these; check the path."
    )
