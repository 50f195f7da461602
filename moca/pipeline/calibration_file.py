"""The file of a calibration: settings, what they were read off, and which model they are for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from moca.core.files import write_json_whole
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig
from moca.version import __version__

FORMAT = 1
KIND = "moca calibration"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What passes at a false-positive rate."""

    rate: float
    """The rate that was allowed."""
    false_positives: float
    """The rate that came of it: the mean over the rated classes."""
    recall: float
    """Share of the matching pairs that pass."""
    gates: dict[str, float]
    """By field of `SegmentConfig`."""
    classes: dict[str, float]
    """By class of negatives, the share that passes."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A model with its adapters, or without."""

    settings: SegmentConfig
    """All of them, with gates, level and heat range as calibrated."""
    fingerprints: dict[str, str]
    """Of all that its scores depend on, by role."""
    by_crops: bool
    """Whether the gates ask the crops of proposals (rule crops); else patches, or the picture as a whole."""
    pairs: dict[str, int]
    """By kind, "matching" and the classes of negatives, how many were scored."""
    area: float
    """Mean area under the ROC over the rated classes."""
    areas: dict[str, float]
    """The same by class of negatives."""
    chosen: Row
    """What the gates let pass."""
    table: tuple[Row, ...]
    """The same for other rates."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What `moca calibrate` found out about a model."""

    model: str
    """Its name, for readers."""
    rate: float
    """The false-positive rate that was asked for, in (0, 1)."""
    data: dict[str, Any]
    """The videos: how many of which kind, those without sound, those that are broken, and their fingerprint."""
    segment: Part
    """The model as it is."""
    frozen_segment: Part
    """The same model without its adapters; the same as `segment` where it has none."""
    version: str = __version__
    """Of this package, which made it."""


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write the file, whole or not at all."""
    parts = {name: _part_to_json(getattr(calibration, name)) for name in ("segment", "frozen_segment")}
    plain = {name: getattr(calibration, name) for name in ("version", "model", "rate", "data")}
    write_json_whole(Path(path), {"format": FORMAT, "kind": KIND, **plain, **parts})


def read_calibration(path: str | Path) -> Calibration:
    """A file that `write_calibration` wrote.

    Raises InputError, in one line, for a file that is not there, of another format, or with unknown, missing or
    impossible values.
    """
    path, advice = Path(path), "make it again with moca calibrate"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"calibration {path} cannot be read ({error.strerror}); {advice}.") from None
    except ValueError:
        raise InputError(f"calibration {path} must be JSON, it is not; {advice}.") from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InputError(f"calibration {path} must be what moca calibrate wrote, it is something else; {advice}.")
    if document.get("format") != FORMAT:
        raise InputError(f"calibration {path} must have format {FORMAT}, got {document.get('format')!r}; {advice}.")
    try:
        own = _exactly(Calibration, {name: value for name, value in document.items() if name not in ("format", "kind")})
        own |= {name: _part_from_json(own[name]) for name in ("segment", "frozen_segment")}
        _check(own)
        return Calibration(**own)
    except InputError as error:
        raise InputError(f"calibration {path} cannot be used: {error}") from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        raise InputError(f"calibration {path} is damaged ({reason}); {advice}.") from None


def settings_for(
    calibration: Calibration,
    path: str | Path,
    fingerprints: Mapping[str, str],
    *,
    adapted: bool,
    by_crops: bool = False,
) -> tuple[SegmentConfig, SegmentConfig]:
    """The settings of a model and of the same model without its adapters, from the calibration in a file.

    fingerprints: the model's, by role, with its bank's where the calibration names one. adapted: whether its adapters
    act. by_crops: whether proposals are chosen by their crops. Raises InputError, in one line, where the calibration
    was made with other weights than the model has, or by the other kind of scores.
    """
    part = calibration.segment if adapted else calibration.frozen_segment
    if adapted and "adapters" not in part.fingerprints:
        raise InputError(
            f"calibration {path} is for {calibration.model} without adapters, and this model has some; calibrate it "
            "with moca calibrate, or use --frozen."
        )
    for role, made_with in part.fingerprints.items():
        if (own := fingerprints.get(role)) != made_with:
            raise InputError(
                f"calibration {path} is for {calibration.model} with {role} {made_with}, this model's is "
                f"{own or 'none'}; calibrate it with moca calibrate."
            )
    if part.by_crops != by_crops:
        made_by, here = ("crops of proposals", "patches") if part.by_crops else ("patches", "crops of proposals")
        raise InputError(
            f"calibration {path} is for gates that ask {made_by}, here they ask {here}; "
            f"{'add --rule crops' if part.by_crops else 'choose another --rule'}, or calibrate again."
        )
    return part.settings, calibration.frozen_segment.settings


def _part_to_json(part: Part) -> dict[str, Any]:
    rows = {"chosen": vars(part.chosen), "table": [vars(row) for row in part.table]}
    return {**vars(part), "settings": part.settings.to_json(), **rows}


def _part_from_json(stored: Any) -> Part:
    own = _exactly(Part, stored)
    settings = SegmentConfig.from_json(own["settings"], title="segment", advice="calibrate again")
    table = tuple(Row(**_exactly(Row, row)) for row in own["table"])
    return Part(**{**own, "settings": settings, "chosen": Row(**_exactly(Row, own["chosen"])), "table": table})


def _exactly(owner: type, stored: Any) -> dict[str, Any]:
    """A copy of a JSON object whose keys are the fields of a dataclass, each of them; InputError for another."""
    known = {field.name for field in fields(owner)}
    if not isinstance(stored, dict):
        raise InputError(f"it needs an object with {', '.join(sorted(known))}, got {type(stored).__name__}.")
    for problem, names in (("unknown", stored.keys() - known), ("missing", known - stored.keys())):
        if names:
            raise InputError(f"{problem} keys: {', '.join(sorted(names))}; calibrate again.")
    return dict(stored)


def _check(own: dict[str, Any]) -> None:
    rate = own["rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1 or not math.isfinite(rate):
        raise InputError(f"rate must be a number above 0 and below 1, got {rate!r}; calibrate again.")
    for name in ("segment", "frozen_segment"):
        prints = own[name].fingerprints
        if (
            not isinstance(prints, dict)
            or "encoder" not in prints
            or not all(isinstance(v, str) for v in prints.values())
        ):
            raise InputError(f"{name} must name the fingerprint of its encoder, got {prints!r}; calibrate again.")
