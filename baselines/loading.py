"""Weights of the training-free methods: which of "mini" and of "huge" each one needs, loaded, with their licences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.adapters import fingerprint
from moca.errors import InputError
from moca.foundation.manifest import bundled_weights, find_entry
from moca.pipeline.card import HUGE_MASKS, HUGE_OBJECTS
from moca.pipeline.loading import MODELS

HUGE = {
    "encoder": "imagebind-huge",
    "masks": HUGE_MASKS,
    "objects": HUGE_OBJECTS,
    "words": "grounding-dino-base",
    "tags": "ast",
}
"""Names of the manifest, by what a model is for."""
MINI_SETTINGS = Path(__file__).with_name("mini.json")
"""Settings for mini, by method: chosen on drawn validation frames by `recipes.calibrate_baselines`."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is said of a method's weights.

    model: "mini" or "huge". licence: what may be done with the results. notice: what a user must know before
    believing them, or None. fingerprints: of every part.
    """

    model: str
    licence: str
    notice: str | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)


def load_parts(method: str, model: str, roles: Sequence[str], device: str) -> tuple[dict[str, Any], Card]:
    """The parts of a method by role, and their card.

    roles: keys of HUGE. Raises InputError, in one line and before anything is loaded, for another model, or for
    weights that have not been fetched, with the command that does.
    """
    if model not in MODELS:
        known = " or ".join(MODELS)
        raise InputError(f"model must be {known} for {method}, which is not trained, got {model}; choose one of them.")
    licence, notice = _mini_card() if model == "mini" else _huge_card(method, roles)
    parts = {role: _LOADERS[role](model if model == "mini" else HUGE[role], device) for role in roles}
    prints = {role: fingerprint(getattr(part, "model", part).state_dict()) for role, part in parts.items()}
    return parts, Card(model=model, licence=licence, notice=notice, fingerprints=prints)


def mini_settings(method: str) -> dict[str, Any]:
    """A method's settings for mini that differ from the paper's; {} where none were calibrated."""
    return json.loads(MINI_SETTINGS.read_text(encoding="utf-8"))["methods"].get(method, {})


def _mini_card() -> tuple[str, str | None]:
    card = json.loads((bundled_weights() / "mini" / "pipeline.json").read_text(encoding="utf-8"))
    return card["licence"], card.get("notice")


def _huge_card(method: str, roles: Sequence[str]) -> tuple[str, None]:
    entries = [find_entry(HUGE[role]) for role in roles]
    if missing := " ".join(entry.name for entry in entries if not entry.is_here):
        raise InputError(
            f"{method} with model huge needs {' '.join(entry.name for entry in entries)}, of which {missing} must "
            f"still be fetched; run moca weights fetch {missing}, or use --model mini."
        )
    return "; ".join(f"{entry.name}: {entry.licence}" for entry in entries), None


# Imported late: each takes as long as all the rest.


def _encoder(name: str, device: str) -> Any:
    from moca.pipeline.loading import load_encoder

    return load_encoder("huge" if name == HUGE["encoder"] else name, device=device).encoder


def _masks(name: str, device: str) -> Any:
    from moca.foundation.sam.sam import load_sam

    return load_sam(name, device=device)


def _objects(name: str, device: str) -> Any:
    from moca.foundation.owlv2 import load_objects

    return load_objects(name, device=device)


def _words(name: str, device: str) -> Any:
    from moca.foundation.grounding_dino.detector import load_grounding

    return load_grounding(name, device=device)


def _tags(name: str, device: str) -> Any:
    from moca.foundation.ast_tagger import load_tagger

    return load_tagger(name, device=device)


_LOADERS: dict[str, Callable[[str, str], Any]] = {
    "encoder": _encoder,
    "masks": _masks,
    "objects": _objects,
    "words": _words,
    "tags": _tags,
}
