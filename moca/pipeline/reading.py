"""How a model's patches are read: what its card, its row of the catalogue and the user say, and the DINO that it needs.

A card (pipeline.json) may have two entries: "reading", fields of `PatchReading`, and "images", the DINO for reading
"proxy": a folder beside the card, an absolute path, a hub id, "mini" or a name of `moca weights list`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.published import named_source
from moca.pipeline.card import CARD
from moca.pipeline.models import licences, load_models
from moca.pipeline.parts import locate

ONLY = {"proxy_beta": "proxy", "proxy_gamma": "proxy", "clear_by": "clear"}
"""The one reading that a setting has an effect on."""
FALLBACK = "clear"
"""What stands in for proxy where nobody asked for it and its DINO is not here."""


@dataclass(frozen=True, kw_only=True)
class ChosenReading:
    """How patches are read, before anything is loaded."""

    config: PatchReading
    """Its settings."""
    own: bool
    """Whether it is the model's own, which its adapters and its calibration are for."""
    images: str | None = None
    """The DINO that it needs, as `load_role` takes it; None where it needs none."""
    notice: str | None = None
    """What a user must know of the choice, or None."""

    def licences(self, encoder: str) -> list[str]:
        """What may be done with results of its DINO, a phrase, beside an encoder whose licence has been stated.

        encoder: as a card names it.
        """
        row = CATALOGUE.get(encoder)
        if self.images is None or (self.images == BUNDLED and row is not None and row.bundled):
            return []
        return licences({"images": self.images})

    def entries(self) -> dict[str, Any]:
        """The entries of a card in any folder that choose this reading."""
        return {"reading": self.config.to_json(), **({"images": self.images} if self.images else {})}

    def load(self, device: str | torch.device, *, seed: int | None = None) -> tuple[PatchReader, dict[str, str]]:
        """The reader, and the fingerprint of its DINO by role; seed: of random weights, see `load_models`."""
        if self.images is None:
            return PatchReader(config=self.config), {}
        loaded, prints = load_models({"images": self.images}, device, seed=seed)
        return PatchReader(config=self.config, images=loaded["images"], fingerprint=prints["images"]), prints


def choose_reading(
    card: Mapping[str, Any],
    folder: Path,
    encoder: ImageBindConfig,
    requested: Mapping[str, Any],
    *,
    trained: Mapping[str, Any] | None = None,
    adapted: bool = False,
    fileless: bool = False,
) -> ChosenReading:
    """What is asked for; else what the adapters were trained with; else what the card says; else what the row of the
    catalogue says that the card's encoder is; else the encoder's own way.

    card: a model's, in folder. requested: fields of `PatchReading` that replace the model's own. trained: what the
    record of the adapters says. adapted: whether there are adapters; they are read as they were trained. fileless: for
    random weights, which need no DINO to be here. Raises InputError for settings that are not known, not possible or
    without effect, and for a DINO that is needed and not here, unless the row alone wants it: then patches are read by
    "clear", which is said.
    """
    row = CATALOGUE.get(card["encoder"])
    own = _stored(card.get("reading") if trained is None else trained, folder / CARD)
    by_row = own is None and row is not None and row.reading is not None
    own = own or PatchReading(reading=row.reading if by_row else encoder.reading)
    images, notice = locate("images", card.get("images"), folder) or (row.entry("images") if row else None), None
    config = replace(own, **requested)
    if by_row and requested.get("reading") is None and config.reading == "proxy" and not (fileless or _is_here(images)):
        own, config = replace(own, reading=FALLBACK), replace(config, reading=FALLBACK)
        notice = without_dino(images)
    _check_used(config, requested)
    if adapted and config != own:
        _refuse_another(config, own)
    if config.reading != "proxy":
        return ChosenReading(config=config, own=config == own, notice=notice)
    if images is None:
        raise InputError(
            f"reading proxy needs images, a DINO, in {folder / CARD}, which names none; add it, such as dino-vitb8, or "
            "choose another reading."
        )
    if not fileless:
        named_source(images, "images")
    return ChosenReading(config=config, own=config == own, images=images)


def without_dino(name: str) -> str:
    """What is said where the DINO of a row's reading has not been fetched."""
    return (
        f"Without {name} patches are read by {FALLBACK}, which finds less than proxy; fetch it with moca weights fetch "
        f"{name}."
    )


def _is_here(images: str) -> bool:
    """Whether a DINO is here, or is none that is fetched."""
    try:
        named_source(images, "images")
    except InputError:
        return False
    return True


def _check_used(config: PatchReading, requested: Mapping[str, Any]) -> None:
    """Refuse settings of another reading: whoever gives one believes it has an effect."""
    for name in requested:
        if name in ONLY and config.reading != ONLY[name]:
            raise InputError(
                f"{name} is a setting of reading {ONLY[name]}, got it with reading {config.reading}; leave it out, or "
                f"ask for reading {ONLY[name]}."
            )


def _refuse_another(config: PatchReading, own: PatchReading) -> None:
    before, given = own.to_json(), config.to_json()
    name = next(name for name in given if given[name] != before[name])
    raise InputError(
        f"{name} must be {before[name]}, as these adapters were trained, got {given[name]}; leave it out, or take the "
        "frozen encoder alone (--frozen)."
    )


def _stored(stored: Any, path: Path) -> PatchReading | None:
    """The reading that a card, or the record of adapters beside it, names; None where it names none."""
    if stored is None:
        return None
    if not isinstance(stored, Mapping) or (unknown := sorted(set(stored) - set(PatchReading.__dataclass_fields__))):
        received = ", ".join(unknown) if isinstance(stored, Mapping) else repr(stored)
        known = ", ".join(PatchReading.__dataclass_fields__)
        raise InputError(f"reading in {path} must be an object with any of {known}, got {received}; restore it.")
    try:
        return PatchReading(**stored)
    except InputError as error:
        raise InputError(f"reading in {path} cannot be used: {error}") from None
