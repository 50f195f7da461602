"""What a model makes mask proposals with: which mask predictor and object detector its card names, and loading them.

A card (pipeline.json) may have three entries: "masks" and "objects", each a folder beside the card, an absolute path,
a hub id or "mini"; and "proposals", fields of `ProposalConfig`. Without them a model makes none, unless the encoder
that it names is a row of the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, Row, own_loader
from moca.foundation.manifest import read_manifest
from moca.foundation.published import named_source
from moca.pipeline.card import CARD, row_card
from moca.pipeline.models import licences, load_models
from moca.segmentation.config import MATCH, ProposalConfig
from moca.segmentation.proposals import Proposer

ENTRIES = ("masks", "objects", "proposals")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What proposals are made with."""

    config: ProposalConfig
    """Their settings."""
    masks: str | None = None
    """What `load_sam` takes, None where a model has no mask predictor."""
    objects: str | None = None
    """What `load_objects` takes, None where a model has no object detector."""
    notice: str | None = None
    """What a user must know of the choice, or None."""

    def used(self) -> dict[str, str]:
        """The models that proposals of the settings' kind are made with, by role."""
        return {role: getattr(self, role) for role in needed(self.config.kind)}

    def licences(self, encoder: str) -> list[str]:
        """What may be done with their results, a phrase each, beside an encoder whose licence has been stated.

        encoder: as a card names it. Nothing is said twice of bundled models.
        """
        row = CATALOGUE.get(encoder)
        stated = row is not None and row.bundled
        return licences({role: name for role, name in self.used().items() if not (stated and name == BUNDLED)})


def parts_of(card: Mapping[str, Any], folder: Path, requested: Mapping[str, Any], *, fileless: bool = False) -> Parts:
    """What a model makes mask proposals with.

    card: the model's, in folder. Where its encoder is a row of the catalogue, an entry that the card lacks is that
    row's, as in the folder of a training run. requested: fields of `ProposalConfig` that replace the model's own.
    fileless: for random weights, which need none of the row's models to be here. Raises InputError as `read_parts`
    does.
    """
    row = CATALOGUE.get(card["encoder"])
    if row is not None and row.bundled:
        bundled, _ = row_card(row)
        card = {**{name: bundled[name] for name in ENTRIES if name in bundled}, **card}
    elif row is not None and not any(name in card for name in ENTRIES):
        return catalogue_parts(row, requested, fileless=fileless)
    return read_parts(card, folder, requested)


def read_parts(card: Mapping[str, Any], folder: Path, requested: Mapping[str, Any]) -> Parts:
    """The parts that a card names, with the settings asked for instead of its own.

    folder: where the card lies. requested: fields of `ProposalConfig`. Raises InputError for settings that are not
    known or not possible, and for a kind of proposals that the card names no models for.
    """
    path = folder / CARD
    stored = card.get("proposals", {})
    if not isinstance(stored, dict) or (unknown := sorted(set(stored) - set(ProposalConfig.__dataclass_fields__))):
        received = ", ".join(unknown) if isinstance(stored, dict) else repr(stored)
        known = ", ".join(ProposalConfig.__dataclass_fields__)
        raise InputError(f"proposals in {path} must be an object with any of {known}, got {received}; restore it.")
    try:
        config = ProposalConfig(**stored)
    except (InputError, TypeError) as error:
        raise InputError(f"proposals in {path} cannot be used: {error}") from None
    parts = Parts(
        masks=locate("masks", card.get("masks"), folder),
        objects=locate("objects", card.get("objects"), folder),
        config=replace(config, **_threshold(config, requested), **requested),
    )
    for name in needed(parts.config.kind):
        if getattr(parts, name) is None:
            raise InputError(
                f"proposals {parts.config.kind} need {name} in {path}, which names none; add it, or choose proposals "
                "none."
            )
    _check_used(parts.config, requested)
    return parts


def catalogue_parts(row: Row, requested: Mapping[str, Any], *, fileless: bool = False) -> Parts:
    """What goes with the encoder of a row of the catalogue: boxes where its masks and objects are here, else none,
    which is said.

    requested: fields of `ProposalConfig`; a kind among them that lacks a model raises InputError. fileless: boxes,
    whatever is here.
    """
    config, notice = ProposalConfig(**{"kind": "boxes", **_threshold(ProposalConfig(), requested), **requested}), None
    models = {role: row.entry(role) for role in needed(config.kind)}
    try:
        for role, name in () if fileless else models.items():
            named_source(name, role)
    except InputError:
        if "kind" in requested:
            raise
        config, notice, models = replace(config, kind="none"), no_proposals(row), {}
    _check_used(config, requested)
    return Parts(**models, config=config, notice=notice)


def no_proposals(row: Row) -> str:
    """What is said where the models for a row's mask proposals have not been fetched."""
    names = [row.entry(role) for role in needed("boxes") if row.entry(role) != BUNDLED]
    return (
        f"Without {' and '.join(names)} the masks are the coarse ones; fetch {'both' if len(names) > 1 else 'it'} with "
        "moca weights fetch for mask proposals."
    )


def _threshold(config: ProposalConfig, requested: Mapping[str, Any]) -> dict[str, float]:
    """The threshold of a rule that is asked for instead of the model's, unless one is asked for, too."""
    rule = requested.get("rule", config.rule)
    return {"match": MATCH[rule]} if rule != config.rule and rule in MATCH and "match" not in requested else {}


def _check_used(config: ProposalConfig, requested: Mapping[str, Any]) -> None:
    """Refuse settings of proposals that are not made: whoever gives one believes it has an effect."""
    if config.kind == "none" and (unused := [name for name in requested if name != "kind"]):
        raise InputError(
            f"{', '.join(unused)} rule mask proposals, which this model does not make here; ask for proposals boxes or "
            "grid."
        )


def needed(kind: str) -> tuple[str, ...]:
    """Entries of a card without which a kind of proposals cannot be made."""
    return {"none": (), "boxes": ("masks", "objects"), "grid": ("masks",)}[kind]


def make_proposer(
    parts: Parts, device: str | torch.device, *, seed: int | None = None
) -> tuple[Proposer | None, dict[str, str]]:
    """The parts loaded and put together, and their fingerprints; None and {} where no proposals are made.

    seed: of random weights, see `load_models`.
    """
    if parts.config.kind == "none":
        return None, {}
    loaded, prints = load_models(parts.used(), device, seed=seed)
    return Proposer(parts.config, **loaded), prints


def described_parts(card: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The entries of a card that lies in a folder, for a card that lies elsewhere: folders become absolute."""
    entries = {name: card[name] for name in ENTRIES if name in card}
    return entries | {name: locate(name, entries[name], folder) for name in ("masks", "objects") if name in entries}


def locate(role: str, name: str | None, folder: Path) -> str | None:
    """A name as the loaders take it: a folder beside the card, unless it is mini, absolute, a hub id, or known to the
    manifest or to a loader of its own."""
    if name is None or name == BUNDLED or Path(name).is_absolute():
        return name
    beside = folder / name
    known = "/" in name or name in read_manifest() or own_loader(role, name) is not None
    return str(beside.resolve()) if beside.exists() or not known else name
