"""The frozen encoder of a model, alone or with adapters between the blocks of its towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from moca.adapters import AdaAVConfig, AdaptedTowers, fingerprint, load_adapters, make_plan, read_record
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, load_role
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.manifest import bundled_weights, find_entry
from moca.pipeline.card import CARD, card_of, read_card
from moca.pipeline.parts import described_parts
from moca.pipeline.reading import choose_reading


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A frozen encoder to train adapters for, and what the card of a run says of it."""

    encoder: ImageBind
    """Frozen."""
    reference: str
    """How pipeline.json names it: a row of the catalogue, or an absolute path."""
    licence: str
    """What may be done with the results."""
    notice: str | None = None
    """What a user must know before believing them, or None."""
    reader: PatchReader | None = None
    """How its patches are read, in training as in segmentation; None is the encoder's own way."""
    reading: dict[str, Any] = field(default_factory=dict)
    """Entries of the run's card that say so."""
    reading_notice: str | None = None
    """What whoever trains must know of that choice, or None; the run's card makes it its own."""
    parts: dict[str, Any] = field(default_factory=dict)
    """Entries of the run's card for mask proposals; none for a row, whose own follow from the reference."""


def load_encoder(model: str | Path = BUNDLED, *, device: str | torch.device = "cpu") -> Foundation:
    """The frozen encoder of a model alone, to train adapters for; model: as in `load_pipeline`.

    Raises InputError, in one line, for a model that is not there.
    """
    if Path(model) == bundled_weights() / BUNDLED:
        model = BUNDLED
    card, folder = card_of(model)
    check_fetched(card)
    named, encoder = card["encoder"], read_encoder(card, folder, device)
    chosen = choose_reading(card, folder, encoder.config, {})
    reader, _ = chosen.load(device)
    return Foundation(
        encoder=encoder,
        reader=reader,
        reading=chosen.entries(),
        reference=named if named in CATALOGUE else str((folder / named).resolve()),
        licence=card["licence"],
        notice=card.get("notice"),
        reading_notice=chosen.notice,
        parts={} if str(model) in CATALOGUE else described_parts(card, folder),
    )


def base_model(model: str | Path) -> str | None:
    """The row of the catalogue that a model is made from: itself, or what the card of its folder names as encoder.

    None for a folder whose encoder is its own. Raises InputError for a folder without a card.
    """
    if str(model) in CATALOGUE:
        return str(model)
    folder = Path(model)
    named = read_card(folder, str(model))["encoder"]
    if named in CATALOGUE:
        return named
    return base_model(folder / named) if (folder / named / CARD).is_file() else None


def check_fetched(card: Mapping[str, Any]) -> None:
    """InputError, with the command that fetches it, where a card's encoder is a row whose weights are not here."""
    row = CATALOGUE.get(card["encoder"])
    if row is None or row.bundled:
        return
    entry = find_entry(row.encoder)
    if not (entry.place.exists() or entry.is_slim):
        size = "" if entry.size is None else f"{entry.size / 1e9:.1f} GB, "
        raise InputError(
            f"model {row.name} needs {entry.file or entry.name} ({size}licence {entry.licence}) in "
            f"{entry.place.parent}, which has no such file; run moca weights fetch {entry.name}, or use "
            f"--model {BUNDLED}."
        )


def read_encoder(card: Mapping[str, Any], folder: Path, device: str | torch.device) -> ImageBind:
    """The encoder that a card names: a row of the catalogue, or a folder as seen from the card's own."""
    row = CATALOGUE.get(card["encoder"])
    return load_role("encoder", folder / card["encoder"] if row is None else row.encoder, device=device)


def read_towers(
    encoder: ImageBind, adapters: str | Path | None, device: str | torch.device
) -> tuple[AdaptedTowers, dict[str, str], dict[str, Any]]:
    """The encoder's towers with the adapters of a folder, or with none that act; fingerprints of both; and what the
    adapters' record keeps besides, {} without any."""
    prints = encoder_prints(encoder)
    if adapters is None:
        return frozen_towers(encoder).to(device), prints, {}
    towers = load_adapters(adapters, encoder.image_tower, encoder.audio_tower, prints["encoder"]).to(device)
    prints["adapters"] = fingerprint(towers.state_dict())
    return towers, prints, read_record(adapters).extra


def encoder_prints(encoder: ImageBind) -> dict[str, str]:
    """Fingerprints of an encoder by name: "encoder", which adapters are bound to, and a slim copy's own beside it."""
    known = getattr(encoder, "fingerprints", None)  # an encoder of somebody else's class has none
    return {"encoder": fingerprint(encoder.state_dict())} if known is None else dict(known)


def default_blocks(depth: int) -> int:
    """Adapted blocks of an image trunk of some depth: the paper's 6, or two thirds of a shallower one."""
    return min(6, max(1, (2 * depth) // 3))


def frozen_towers(encoder: ImageBind, *, placement: str = "last", blocks: int | None = None) -> AdaptedTowers:
    """Towers with fresh adapters, whose zero exit leaves the encoder exactly as it is.

    blocks: number of adapted blocks; None takes `default_blocks`.
    """
    image, audio = encoder.image_tower, encoder.audio_tower
    count = default_blocks(image.depth) if blocks is None else blocks
    plan = make_plan(placement, count, image.depth, audio.depth)
    bottleneck = 64 if image.width >= 512 else 32
    return AdaptedTowers(image, audio, plan, AdaAVConfig(bottleneck=bottleneck, latents=bottleneck // 2))
