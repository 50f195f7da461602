"""The card of a model: pipeline.json in its folder, which names its encoder, adapters, licence and calibration.

A row of the catalogue has one, too: that of the bundled model, or one made up from what the manifest says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, Row
from moca.foundation.manifest import bundled_weights, find_entry
from moca.segmentation.config import UNCALIBRATED

PIPELINE_FORMAT = 1
CARD = "pipeline.json"
OPEN_GATE = (
    "The gate is not calibrated for this model: it closes on silence, and where half of a bank of other sounds fit "
    "better."
)
LIKELY_RANK = 0.5
"""Gate of a model that was not calibrated: a sound that fits the best region no better than the middle one of many
others is not what is seen. The best region is the one that the sound itself chose, so the right sound is nearly always
far above: on Soundstage's validation frames 95% rank above 0.8 by crops (`benchmarks/crops.py`)."""
UNCALIBRATED_ROW = {"scores": "relative", **UNCALIBRATED["relative"], "gate_rank": LIKELY_RANK}
"""Settings of a model that was not calibrated, and whose cosines nobody has seen."""


def card_of(model: str | Path) -> tuple[dict[str, Any], Path]:
    """The card of a model and the folder that its relative names start from.

    model: name of a row of the catalogue, or a folder with a pipeline.json. Raises InputError, in one line, for
    anything else and for a card that cannot be used.
    """
    row = CATALOGUE.get(str(model))
    return (read_card(Path(model), str(model)), Path(model)) if row is None else row_card(row)


def row_card(row: Row) -> tuple[dict[str, Any], Path]:
    """What `card_of` returns for a row: the encoder is the row's name, and no file need have been fetched."""
    home = bundled_weights() / BUNDLED
    if row.bundled:
        card = read_card(home, row.name)
        models = {role: row.entry(role) for role in ("masks", "objects") if role in card}
        own = {"name": row.name, "encoder": row.name, "notice": row_notice(row, card.get("notice"))}
        return card | models | own, home
    licence = f"{row.encoder}: {find_entry(row.encoder).licence}"
    calibration = {"frozen_segment": UNCALIBRATED_ROW, "frozen_notice": OPEN_GATE}
    return {"name": row.name, "encoder": row.name, "licence": licence, "notice": row_notice(row), **calibration}, home


def row_notice(row: Row, bundled: str | None = None) -> str | None:
    """What a user must know before believing a row's results: what is said of the bundled models, where they are
    among its own, and its note, unless the row is the bundled models themselves."""
    note = None if row.note is None or row.name == BUNDLED else f"Model {row.name} {row.note}."
    return " ".join(filter(None, (bundled, note))) or None


def read_card(folder: Path, model: str) -> dict[str, Any]:
    """The card in a folder, checked; model: what the message calls it where there is none. Raises InputError."""
    path = folder / CARD
    if not path.is_file():
        known = ", ".join(CATALOGUE)
        raise InputError(
            f"model must be {known} or a folder with a {CARD}, got {model}; give one of them, or make one with "
            "moca train."
        )
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); restore it or train again.") from None
    if not isinstance(card, dict) or card.get("format") != PIPELINE_FORMAT:
        number = card.get("format") if isinstance(card, dict) else None
        raise InputError(f"{path} must have format {PIPELINE_FORMAT}, got {number}; use the version that wrote it.")
    if absent := [name for name in ("name", "encoder", "licence") if name not in card]:
        raise InputError(f"{path} must name {', '.join(absent)}, which it does not; restore it or train again.")
    return card
