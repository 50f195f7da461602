"""Names to models: "mini", "huge", or a folder that a training run wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from moca.adapters import AdaAVConfig, AdaptedTowers, fingerprint, load_adapters, make_plan, read_record
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.storage import load_imagebind
from moca.foundation.manifest import Entry, bundled_weights, find_entry, local_source
from moca.pipeline.card import ENTRIES, Parts, described_parts, huge_parts, make_proposer, read_parts
from moca.segmentation.config import SegmentConfig
from moca.segmentation.proposals import Proposer

PIPELINE_FORMAT = 1
MODELS = ("mini", "huge")
OPEN_GATE = "The gate is not calibrated for this model: only silence closes it."
UNCALIBRATED = SegmentConfig(gate=-1.0, heat_low=-1.0)  # the gate is open, the heat map shows every cosine


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A model ready to segment with.

    name: as asked for. encoder: frozen ImageBind. towers: its towers with the adapters between the blocks.
    adapted: whether trained adapters were loaded (False: the frozen encoder alone). segment: settings, with
    the gate calibrated for this model. licence: what may be done with the results. notice: what a user must
    know before believing them, or None. fingerprints: of the encoder, the adapters and what makes mask proposals.
    proposer: makes them, None where the coarse mask is the result. frozen_segment: settings of the same model without
    its adapters, with the gate calibrated for the encoder alone; None where nobody knows them.
    """

    name: str
    encoder: ImageBind
    towers: AdaptedTowers
    adapted: bool
    segment: SegmentConfig
    licence: str
    notice: str | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    proposer: Proposer | None = None
    frozen_segment: SegmentConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A frozen encoder to train adapters for, and what the card of a run says of it.

    encoder: frozen ImageBind. reference: how pipeline.json names it: "mini", "huge" or an absolute path. licence:
    what may be done with the results. notice: what a user must know before believing them, or None. parts: further
    entries of a card that refers to this one's models for mask proposals; none for "mini" and "huge", whose own
    follow from the reference.
    """

    encoder: ImageBind
    reference: str
    licence: str
    notice: str | None = None
    parts: dict[str, Any] = field(default_factory=dict)


def load_pipeline(
    model: str | Path = "mini",
    *,
    adapters: str | Path | None = "default",
    weights: str = "trained",
    seed: int = 0,
    device: str | torch.device = "cpu",
    proposals: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Build a pipeline.

    model: "mini" (bundled), "huge" (ImageBind-Huge, from weights_home()), or a folder with a pipeline.json.
    adapters: "default" takes those the model comes with, None the frozen encoder alone, a path those in that
    folder. weights: "trained", or "random" for the architecture alone, without any file (`seed` rules it).
    proposals: fields of `ProposalConfig` that replace the model's own; random weights make none unless asked.
    Raises InputError, in one line, for a model that is not there or adapters of another encoder.
    """
    if weights not in ("trained", "random"):
        raise InputError(f"weights must be trained or random, got {weights!r}.")
    asked = dict(proposals or {})
    if weights == "random":
        return _random_pipeline(str(model), seed, device, {"kind": "none", **asked})
    if str(model) == "huge":
        return _huge_pipeline(adapters, device, asked)
    folder = _folder(model)
    card = _read_card(folder, str(model))
    parts = _parts(card, folder, asked)
    encoder = _read_encoder(card, folder).to(device)
    chosen = adapters
    if adapters == "default":
        chosen = folder / card["adapters"] if card.get("adapters") else None
    towers, prints, extra = _towers(encoder, chosen, device)
    frozen = SegmentConfig(**card.get("frozen_segment", {}))
    proposer, proposer_prints = make_proposer(parts, device)
    return Pipeline(
        name=card["name"],
        encoder=encoder,
        towers=towers,
        adapted=chosen is not None,
        segment=SegmentConfig(**extra["segment"]) if extra.get("segment") else frozen,
        licence=card["licence"],
        notice=_together(card.get("notice"), parts.notice),
        fingerprints=prints | proposer_prints,
        proposer=proposer,
        frozen_segment=frozen,
    )


def base_model(model: str | Path) -> str | None:
    """The row of the catalogue that a model is made from: itself, or what the card of its folder names as encoder.

    None for a folder whose encoder is its own. Raises InputError for a folder without a card.
    """
    if str(model) in CATALOGUE:
        return str(model)
    folder = Path(model)
    named = _read_card(folder, str(model))["encoder"]
    if named in CATALOGUE:
        return named
    return base_model(folder / named) if (folder / named / "pipeline.json").is_file() else None


def load_encoder(model: str | Path = "mini", *, device: str | torch.device = "cpu") -> Foundation:
    """The frozen encoder of a model alone, to train adapters for; model: as in `load_pipeline`.

    Raises InputError, in one line, for a model that is not there.
    """
    if str(model) == "huge":
        path, entry = _huge_weights()
        encoder = load_imagebind(path, ImageBindConfig.huge()).to(device)
        return Foundation(encoder=encoder, reference="huge", licence=f"ImageBind: {entry.licence}")
    folder = _folder(model)
    card = _read_card(folder, str(model))
    bundled = folder == _folder("mini")
    named = "mini" if bundled else card["encoder"]
    return Foundation(
        encoder=_read_encoder(card, folder).to(device),
        reference=named if named in MODELS else str((folder / named).resolve()),
        licence=card["licence"],
        notice=card.get("notice"),
        parts={} if bundled else described_parts(card, folder),
    )


def _folder(model: str | Path) -> Path:
    return bundled_weights() / "mini" if str(model) == "mini" else Path(model)


def _parts(card: dict, folder: Path, asked: Mapping[str, Any]) -> Parts:
    """What a model makes mask proposals with; an entry that its card lacks is that of the model named as its encoder,
    as in the folder of a training run."""
    if card["encoder"] == "huge" and not any(name in card for name in ENTRIES):
        return huge_parts(asked)
    if card["encoder"] == "mini":
        home = _folder("mini")
        card = {**described_parts(_read_card(home, "mini"), None), **card}
    return read_parts(card, folder, asked)


def _together(*notices: str | None) -> str | None:
    return " ".join(notice for notice in notices if notice) or None


def _read_card(folder: Path, asked: str) -> dict:
    path = folder / "pipeline.json"
    if not path.is_file():
        known = ", ".join(MODELS)
        raise InputError(
            f"model must be {known} or a folder with a pipeline.json, got {asked}; give one of them, or make one with "
            "moca train."
        )
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); restore it or train again.") from None
    if not isinstance(card, dict) or card.get("format") != PIPELINE_FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise InputError(f"{path} must have format {PIPELINE_FORMAT}, got {found}; use the version that wrote it.")
    if absent := [name for name in ("name", "encoder", "licence") if name not in card]:
        raise InputError(f"{path} must name {', '.join(absent)}, which it does not; restore it or train again.")
    return card


def _read_encoder(card: dict, folder: Path) -> ImageBind:
    if card["encoder"] == "huge":
        return load_imagebind(_huge_weights()[0], ImageBindConfig.huge())
    if card["encoder"] == "mini":
        return load_imagebind(bundled_weights() / "mini" / "imagebind")
    return load_imagebind(folder / card["encoder"])


def _huge_weights() -> tuple[Path, Entry]:
    """Where ImageBind-Huge lies, and its entry in the manifest."""
    entry = find_entry("imagebind-huge")
    if not entry.place.exists():
        raise InputError(
            f"model huge needs {entry.file} ({entry.bytes / 1e9:.1f} GB, licence {entry.licence}) in "
            f"{entry.place.parent}, which has no such file; run moca weights fetch {entry.name}, or use --model mini."
        )
    return local_source(entry.name), entry


def _towers(
    encoder: ImageBind, adapters: str | Path | None, device: str | torch.device
) -> tuple[AdaptedTowers, dict[str, str], dict]:
    prints = {"encoder": fingerprint(encoder.state_dict())}
    if adapters is None:
        return frozen_towers(encoder).to(device), prints, {}
    towers = load_adapters(adapters, encoder.image_tower, encoder.audio_tower, prints["encoder"]).to(device)
    prints["adapters"] = fingerprint(towers.state_dict())
    return towers, prints, read_record(adapters).extra


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


def _random_pipeline(model: str, seed: int, device: str | torch.device, asked: Mapping[str, Any]) -> Pipeline:
    if model not in MODELS:
        raise InputError(f"random weights are for {' and '.join(MODELS)}, got {model}.")
    parts = huge_parts(asked) if model == "huge" else _parts(_read_card(_folder(model), model), _folder(model), asked)
    proposer, proposer_prints = make_proposer(parts, device)
    config = ImageBindConfig.huge() if model == "huge" else ImageBindConfig.mini()
    encoder = random_imagebind(config, seed=seed).to(device)
    return Pipeline(
        name=model,
        encoder=encoder,
        towers=frozen_towers(encoder).to(device),
        adapted=False,
        segment=UNCALIBRATED,
        licence="none: untrained weights",
        notice="The weights are random: the masks mean nothing.",
        fingerprints={"encoder": fingerprint(encoder.state_dict()), **proposer_prints},
        proposer=proposer,
        frozen_segment=UNCALIBRATED,
    )


def _huge_pipeline(adapters: str | Path | None, device: str | torch.device, asked: Mapping[str, Any]) -> Pipeline:
    path, entry = _huge_weights()
    parts = huge_parts(asked)
    encoder = load_imagebind(path, ImageBindConfig.huge()).to(device)
    towers, prints, extra = _towers(encoder, None if adapters == "default" else adapters, device)
    calibrated = "segment" in extra
    proposer, proposer_prints = make_proposer(parts, device)
    return Pipeline(
        name="huge",
        encoder=encoder,
        towers=towers,
        adapted=adapters not in (None, "default"),
        segment=SegmentConfig(**extra["segment"]) if calibrated else UNCALIBRATED,
        licence=f"ImageBind: {entry.licence}",
        notice=_together(None if calibrated else OPEN_GATE, parts.notice),
        fingerprints=prints | proposer_prints,
        proposer=proposer,
        frozen_segment=UNCALIBRATED,
    )
