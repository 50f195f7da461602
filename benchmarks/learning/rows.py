"""What is compared: every row of the study's tables, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from moca.mining import MiningConfig
from moca.training.config import PRESETS, LabelConfig, TrainConfig

PAPER_STEPS, PAPER_LR = 300, 1e-3


@dataclass(frozen=True, kw_only=True)
class Row:
    """config: how adapters are trained, None for the frozen encoder. reading: of its patches, None for the
    encoder's own. encoders: those it is run on. scored: "all" controls, the "usual" ones with the gate
    and snapped masks, or in "brief" the own sound and the one that adapters should listen to. ceiling: trained with
    the true masks of the frames' own sounds, which is no method, only what the adapters could learn at best.
    """

    config: TrainConfig | None = None
    reading: str | None = None
    encoders: tuple[str, ...] = ("dense", "class")
    scored: Literal["all", "usual", "brief"] = "usual"
    ceiling: bool = False


# 10,000 iterations of 8 are out of reach here: the rate is raised tenfold, so that adapters move about as far.
PAPER = replace(PRESETS["paper"], steps=PAPER_STEPS, lr=PAPER_LR, checkpoint_every=PAPER_STEPS)
MOCA = replace(PRESETS["moca"], checkpoint_every=PRESETS["moca"].steps)


def paper(**changes: object) -> TrainConfig:
    return replace(PAPER, pixel_matching=replace(PAPER.pixel_matching, **changes))


def moca(**changes: object) -> TrainConfig:
    labels = {name: changes.pop(name) for name in list(changes) if name in LabelConfig.__dataclass_fields__}
    return replace(MOCA, labels=replace(MOCA.labels, **labels), **changes)


DENSE = ("dense",)
CLASS_LABELS = {"reading": "value2", "cosine": 1.0}  # its projected tokens say nothing about places
ROWS: dict[str, Row] = {
    "frozen": Row(encoders=DENSE, scored="all"),
    "frozen, projected tokens": Row(reading="token", encoders=("class",), scored="all"),
    "frozen, last block's values": Row(reading="value", encoders=("class",), scored="all"),
    "frozen, last two blocks' values": Row(reading="value2", encoders=("class",), scored="all"),
    "moca": Row(config=MOCA, scored="all"),
    "paper": Row(config=PAPER, scored="all"),
    "paper, literal sign": Row(config=paper(literal_sign=True), scored="all"),
    "paper, audio neighbours": Row(
        config=replace(PAPER, mining=MiningConfig(source="audio")), encoders=DENSE, scored="brief"
    ),
    "moca without snapping": Row(config=moca(refine=False), scored="brief"),
    "moca without contrast": Row(config=moca(contrast=0.0), scored="brief"),
    "moca without other sounds": Row(config=moca(other_sounds=0), scored="brief"),
    "moca without noise": Row(config=moca(noise=0.0)),
    "moca without overlap loss": Row(config=moca(dice=0.0), encoders=DENSE, scored="brief"),
    "moca without learned read-out": Row(config=moca(readout="cosine"), scored="brief"),
    "moca plus pixel matching": Row(config=moca(matching=0.3), encoders=DENSE, scored="brief"),
    "moca with true masks (ceiling)": Row(config=MOCA, ceiling=True, scored="brief"),
    "paper, SSD alone": Row(config=paper(ncc=0.0), encoders=DENSE, scored="brief"),
    "paper, NCC alone": Row(config=paper(ssd=0.0), encoders=DENSE, scored="brief"),
    "paper, margin 0.1": Row(config=paper(margin=0.1), encoders=DENSE, scored="brief"),
    "paper, margin 0.5": Row(config=paper(margin=0.5), encoders=DENSE, scored="brief"),
    "moca, 2 adapters": Row(config=moca(blocks=2), encoders=DENSE, scored="brief"),
    "moca, 6 adapters": Row(config=moca(blocks=6), encoders=DENSE, scored="brief"),
    "moca, first blocks": Row(config=moca(placement="first"), encoders=DENSE, scored="brief"),
    "moca, interleaved": Row(config=moca(placement="interleaved"), encoders=DENSE, scored="brief"),
}


def for_encoder(row: Row, encoder: str, seed: int) -> Row:
    """The row as it is run on one of the two encoders, with one seed.

    Class-token features are read where they say something about places: by labels, and by the cosine read-out.
    """
    if row.config is None:
        return row
    config = replace(row.config, seed=seed)
    if encoder == "dense":
        return replace(row, config=config)
    reading = row.reading or (CLASS_LABELS["reading"] if config.readout == "cosine" else None)
    return replace(row, config=replace(config, labels=replace(config.labels, **CLASS_LABELS)), reading=reading)
