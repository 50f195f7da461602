"""A self-contained page about one calibration: the ROC of each gate, what it lets pass, and what it was read off.

The page has no script and needs no other file; templates/calibration.html lays it out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from moca.calibration.pairs import MEANINGS
from moca.core.changing import flattened
from moca.core.files import write_text_whole
from moca.reports.roc import draw_roc
from moca.reports.templating import render
from moca.version import __version__

if TYPE_CHECKING:
    from moca.calibration.fitting import Fitted
    from moca.calibration.running import Calibrated

TITLES = {"segment": "The model as it is", "frozen_segment": "The same model without its adapters"}


def write_calibration_report(path: str | Path, calibrated: Calibrated) -> None:
    """Write the page, completely or not at all."""
    write_text_whole(Path(path), render_calibration(calibrated))


def render_calibration(calibrated: Calibrated) -> str:
    """The complete HTML document."""
    record = calibrated.record
    return render(
        "calibration.html",
        title=f"{record.model}, calibrated",
        notes=calibrated.notes,
        facts={
            "Frames with sound": f"{record.data['frames']} of {record.data['videos']} videos",
            "False-positive rate asked for": f"{record.rate:g}",
            "Data": record.data["fingerprint"],
            **{f"Fingerprint: {role}": value for role, value in record.segment.fingerprints.items()},
        },
        parts=[_part(TITLES[name], fitted) for name, fitted in calibrated.fitted.items()],
        meanings=MEANINGS,
        without_sound=record.data["without_sound"],
        broken=record.data["broken"],
        settings=dict(flattened(record.segment.settings.to_json())),
        versions={"moca-avs": record.version},
        version=__version__,
    )


def _part(title: str, fitted: Fitted) -> dict[str, Any]:
    part, curve, at = fitted.part, fitted.curve, fitted.at
    chosen = (float(curve.false_positives[at]), float(curve.recall[at]))
    return {
        "title": title,
        "part": part,
        "gates": list(part.chosen.gates),
        "figure": draw_roc(curve.recall, curve.classes, curve.areas, chosen),
    }
