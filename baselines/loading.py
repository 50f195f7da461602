"""Weights of the training-free methods: the models of a catalogue row that each one needs, with licences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.adapters import fingerprint
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, load_role, row_of
from moca.foundation.manifest import UNSTATED, bundled_weights, fetched_entry

MINI_SETTINGS = Path(__file__).with_name("mini.json")
"""Settings for mini, by method: chosen on drawn validation frames by `recipes.calibrate_baselines`."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is said of a method's weights."""

    model: str
    """Name of a row of the catalogue."""
    licence: str
    """What may be done with the results."""
    notice: str | None = None
    """What a user must know before believing them, or None."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Of every part, by role."""


def load_parts(method: str, model: str, roles: Sequence[str], device: str) -> tuple[dict[str, Any], Card]:
    """The parts of a method by role, and their card.

    model: name of a row of the catalogue. roles: keys of `catalogue.ROLES`. Raises InputError, in one line and before
    anything is loaded, for another model, or for weights that have not been fetched, with the command that does.
    """
    if model not in CATALOGUE:
        known = " or ".join(CATALOGUE)
        raise InputError(f"model must be {known} for {method}, which is not trained, got {model}; choose one of them.")
    entries = {role: row_of(model).entry(role) for role in roles}
    licence, notice = _licence(method, model, entries)
    parts = {role: load_role(role, name, device=device) for role, name in entries.items()}
    prints = {role: fingerprint(getattr(part, "model", part).state_dict()) for role, part in parts.items()}
    return parts, Card(model=model, licence=licence, notice=notice, fingerprints=prints)


def mini_settings(method: str) -> dict[str, Any]:
    """A method's settings for mini that differ from the paper's; {} where none were calibrated."""
    return json.loads(MINI_SETTINGS.read_text(encoding="utf-8"))["methods"].get(method, {})


def _licence(method: str, model: str, entries: Mapping[str, str]) -> tuple[str, str | None]:
    """The licences of some entries of a row, and what must be known of their results.

    Raises InputError, naming all that must be fetched, where an entry is not here.
    """
    known = {name: fetched_entry(name, role) for role, name in entries.items() if name != BUNDLED}
    fetched = [entry for entry in known.values() if entry is not None]
    if missing := " ".join(entry.name for entry in fetched if not entry.is_here):
        raise InputError(
            f"{method} with model {model} needs {' '.join(entry.name for entry in fetched)}, of which {missing} must "
            f"still be fetched; run moca weights fetch {missing}, or use --model {BUNDLED}."
        )
    licences = [f"{name}: {entry.licence if entry else UNSTATED}" for name, entry in known.items()]
    if BUNDLED not in entries.values():
        return "; ".join(licences), None
    card = json.loads((bundled_weights() / BUNDLED / "pipeline.json").read_text(encoding="utf-8"))
    bundled = f"{BUNDLED}: {card['licence']}" if known else card["licence"]
    return "; ".join([bundled, *licences]), card.get("notice")
