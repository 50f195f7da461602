"""Weights of the training-free methods: the models of a catalogue row that each one needs, with licences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, Row, row_of
from moca.foundation.manifest import bundled_weights, fetched_entry
from moca.pipeline.card import read_card, row_notice
from moca.pipeline.models import licences, load_models

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
        raise InputError(
            f"model must be one of {', '.join(CATALOGUE)} for {method}, which is not trained, got {model}; choose one "
            "of them."
        )
    entries = {role: row_of(model).entry(role) for role in roles}
    licence, notice = _licence(method, row_of(model), entries)
    parts, prints = load_models(entries, device)
    return parts, Card(model=model, licence=licence, notice=notice, fingerprints=prints)


def mini_settings(method: str) -> dict[str, Any]:
    """A method's settings for mini that differ from the paper's; {} where none were calibrated."""
    return json.loads(MINI_SETTINGS.read_text(encoding="utf-8"))["methods"].get(method, {})


def _licence(method: str, row: Row, entries: Mapping[str, str]) -> tuple[str, str | None]:
    """The licences of some entries of a row, and what must be known of their results.

    Raises InputError, naming all that must be fetched, where an entry is not here.
    """
    others = (fetched_entry(name, role) for role, name in entries.items() if name != BUNDLED)
    fetched = dict.fromkeys(entry for entry in others if entry is not None)
    if missing := " ".join(entry.name for entry in fetched if not entry.is_here):
        raise InputError(
            f"{method} with model {row.name} needs {' '.join(entry.name for entry in fetched)}, of which {missing} "
            f"must still be fetched; run moca weights fetch {missing}, or use --model {BUNDLED}."
        )
    if BUNDLED not in entries.values():
        return "; ".join(licences(entries)), row_notice(row)
    card = read_card(bundled_weights() / BUNDLED, BUNDLED)
    alone = set(entries.values()) == {BUNDLED}
    return card["licence"] if alone else "; ".join(licences(entries)), row_notice(row, card.get("notice"))
