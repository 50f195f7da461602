"""Names to models: a row of the catalogue, or a folder that a training run wrote, becomes a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from moca.adapters import AdaptedTowers
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.reader import PatchReader
from moca.pipeline.bank import sound_bank
from moca.pipeline.calibration_file import Calibration, read_calibration, settings_for
from moca.pipeline.card import OPEN_GATE, UNCALIBRATED, card_of
from moca.pipeline.encoder import check_fetched, encoder_prints, frozen_towers, read_encoder, read_towers
from moca.pipeline.parts import make_proposer, parts_of
from moca.pipeline.reading import choose_reading
from moca.segmentation.config import CROPS, SegmentConfig
from moca.segmentation.proposals import Proposer
from moca.segmentation.relative import SoundBank


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A model ready to segment with."""

    name: str
    """The catalogue's, or that of the training run."""
    encoder: ImageBind
    """Frozen."""
    towers: AdaptedTowers
    """The encoder's towers with the adapters between the blocks."""
    adapted: bool
    """Whether trained adapters were loaded; False is the frozen encoder alone."""
    segment: SegmentConfig
    """Settings, with the gate calibrated for this model."""
    licence: str
    """What may be done with the results."""
    notice: str | None = None
    """What a user must know before believing them, or None."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Of the encoder, the adapters and what makes mask proposals."""
    reading: PatchReader | None = None
    """How patches are read; None is the encoder's own way."""
    proposer: Proposer | None = None
    """Makes mask proposals; None where the coarse mask is the result."""
    bank: SoundBank | None = None
    """The user's own bank of other sounds; None takes the synthesised one, where it is needed."""
    frozen_segment: SegmentConfig | None = None
    """Settings of the same model without its adapters, with the gate calibrated for the encoder alone; None where
    nobody knows them."""

    @property
    def reader(self) -> PatchReader:
        """How patches are read."""
        return self.reading or PatchReader.of(self.encoder.config)


def load_pipeline(
    model: str | Path = BUNDLED,
    *,
    adapters: str | Path | None = "default",
    weights: str = "trained",
    seed: int = 0,
    device: str | torch.device = "cpu",
    proposals: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
    bank: str | Path | None = None,
    calibration: str | Path | None = None,
) -> Pipeline:
    """Build a pipeline.

    model: name of a row of the catalogue, "mini" (bundled) or "huge" (from weights_home()), or a folder with a
    pipeline.json. adapters: "default" takes those the model comes with, None the frozen encoder alone, a path those in
    that folder. weights: "trained", or "random" for the architecture of a row alone, every part in its published size,
    without any file (`seed` rules them). proposals: fields of `ProposalConfig` that replace the model's own. reading:
    fields of `PatchReading` that replace the model's own, which needs a frozen encoder; what was calibrated for its own
    reading is then left out. bank: a folder of a user's clips, to be the other sounds. calibration: a file of
    `moca calibrate` whose settings replace the model's own. Raises InputError, in one line, for a model that is not
    there, adapters of another encoder, a folder without sound, or a calibration of another model.
    """
    if weights not in ("trained", "random"):
        raise InputError(f"weights must be trained or random, got {weights!r}.")
    requested, asked = dict(proposals or {}), dict(reading or {})
    record = None if calibration is None else read_calibration(calibration)
    if weights == "random" and record is not None:
        raise InputError(f"calibration {calibration} is for trained weights, got random ones; leave one of them out.")
    if weights == "random":
        return _with_bank(_random_pipeline(str(model), seed, device, requested, asked), bank)
    card, folder = card_of(model)
    check_fetched(card)
    parts = parts_of(card, folder, requested)
    encoder = read_encoder(card, folder, device)
    chosen = adapters
    if adapters == "default":
        chosen = folder / card["adapters"] if card.get("adapters") else None
    towers, prints, extra = read_towers(encoder, chosen, device)
    chosen_reading = choose_reading(
        card, folder, encoder.config, asked, trained=extra.get("reading"), adapted=chosen is not None
    )
    reader, reader_prints = chosen_reading.load(device)
    own = extra.get("segment")
    frozen = SegmentConfig(**(card.get("frozen_segment", {}) if chosen_reading.own else UNCALIBRATED))
    segment = SegmentConfig(**own) if own else frozen
    proposer, proposer_prints = make_proposer(parts, device)
    gate_notice = card.get("frozen_notice") if chosen_reading.own else OPEN_GATE
    notices = (card.get("notice"), None if own or record else gate_notice, parts.notice, chosen_reading.notice)
    pipeline = Pipeline(
        name=card["name"],
        encoder=encoder,
        towers=towers,
        adapted=chosen is not None,
        segment=segment,
        licence="; ".join(
            [card["licence"], *parts.licences(card["encoder"]), *chosen_reading.licences(card["encoder"])]
        ),
        notice=" ".join(notice for notice in notices if notice) or None,
        fingerprints=prints | proposer_prints | reader_prints,
        reading=reader,
        proposer=proposer,
        frozen_segment=frozen,
    )
    pipeline = _with_bank(pipeline, bank)
    return pipeline if record is None else _calibrated(pipeline, record, calibration)


def _calibrated(pipeline: Pipeline, record: Calibration, path: str | Path) -> Pipeline:
    """A pipeline with the settings of a calibration, which must be of this very model, bank included."""
    prints = dict(pipeline.fingerprints)
    if any("bank" in part.fingerprints for part in (record.segment, record.frozen_segment)):
        prints["bank"] = (pipeline.bank or sound_bank(pipeline.encoder, prints["encoder"])).fingerprint
    by_crops = pipeline.proposer is not None and pipeline.proposer.config.rule == CROPS
    segment, frozen = settings_for(record, path, prints, adapted=pipeline.adapted, by_crops=by_crops)
    return replace(pipeline, segment=segment, frozen_segment=frozen)


def _with_bank(pipeline: Pipeline, folder: str | Path | None) -> Pipeline:
    """A pipeline with the bank of a user's clips, where a folder is given."""
    if folder is None:
        return pipeline
    return replace(pipeline, bank=sound_bank(pipeline.encoder, pipeline.fingerprints["encoder"], folder))


def _random_pipeline(
    model: str, seed: int, device: str | torch.device, requested: Mapping[str, Any], asked: Mapping[str, Any]
) -> Pipeline:
    """The architecture of a row with random weights: every model that it segments with, without any file."""
    if model not in CATALOGUE:
        raise InputError(f"random weights are for one of {', '.join(CATALOGUE)}, got {model}; choose one.")
    card, folder = card_of(model)
    proposer, proposer_prints = make_proposer(parts_of(card, folder, requested, fileless=True), device, seed=seed)
    config = getattr(ImageBindConfig, CATALOGUE[model].architecture)()
    reader, reader_prints = choose_reading(card, folder, config, asked, fileless=True).load(device, seed=seed)
    encoder = random_imagebind(config, seed=seed).to(device)
    return Pipeline(
        name=model,
        encoder=encoder,
        towers=frozen_towers(encoder).to(device),
        adapted=False,
        segment=SegmentConfig(**UNCALIBRATED),
        licence="none: untrained weights",
        notice="The weights are random: the masks mean nothing.",
        fingerprints={**encoder_prints(encoder), **proposer_prints, **reader_prints},
        reading=reader,
        proposer=proposer,
        frozen_segment=SegmentConfig(**UNCALIBRATED),
    )
