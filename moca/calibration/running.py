"""A whole calibration: videos read, pairs scored, settings fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moca.calibration.collecting import Collected, collect
from moca.calibration.config import CalibrationConfig
from moca.calibration.fitting import Fitted, fit
from moca.calibration.pairs import MATCHING, OFFSCREEN
from moca.calibration.scoring import PairScorer
from moca.core.progress import Progress, silent
from moca.corpus.sources import ReadingConfig, Source
from moca.errors import InputError
from moca.pipeline.calibration_file import Calibration

LEAST_FRAMES, LEAST_VIDEOS = 20, 2
FEW_FRAMES = 100
"""Below this a note says how rough the rates are."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What `moca calibrate` writes and shows."""

    record: Calibration
    fitted: Mapping[str, Fitted]
    """By part: "segment" and, where the model has adapters, "frozen_segment"."""
    collected: Collected
    notes: tuple[str, ...]
    """What a user must know before believing it."""


def calibrate_videos(
    model: str,
    scorers: Mapping[str, PairScorer],
    sources: Sequence[Source],
    reading: ReadingConfig,
    config: CalibrationConfig,
    keep: Path,
    *,
    offscreen: Sequence[Source] = (),
    progress: Progress = silent,
) -> Calibrated:
    """Calibrate a model on unlabelled videos.

    model: its name. scorers: "segment", the model as it is, and "frozen_segment", the same without its adapters where
    it has some. keep: see `collect`. Raises InputError, in one line, for too few frames with sound, off-screen videos
    that cannot be heard, and a rate that no gate reaches.
    """
    found = collect(scorers, sources, reading, config, keep, offscreen=offscreen, progress=progress)
    _check(found, offscreen)
    fitted = {name: fit(name, scorer, found, config.false_positive_rate) for name, scorer in scorers.items()}
    record = Calibration(
        model=model,
        rate=config.false_positive_rate,
        data=_described(found),
        segment=fitted["segment"].part,
        frozen_segment=fitted.get("frozen_segment", fitted["segment"]).part,
    )
    return Calibrated(record=record, fitted=fitted, collected=found, notes=tuple(_notes(record)))


def _check(found: Collected, offscreen: Sequence[Source]) -> None:
    if found.sounding < LEAST_FRAMES or len(found.videos) < LEAST_VIDEOS:
        reasons = [f"{len(found.without_sound)} without sound"] if found.without_sound else []
        if found.broken:
            name, reason = next(iter(found.broken.items()))
            reasons.append(f"{len(found.broken)} broken, the first {name}: {reason}")
        others = f" ({'; '.join(reasons)})" if reasons else ""
        raise InputError(
            f"calibration needs at least {LEAST_FRAMES} frames with sound of at least {LEAST_VIDEOS} videos, got "
            f"{found.sounding} of {len(found.videos)}{others}; add videos that can be heard, or raise "
            "--steps-per-video."
        )
    if offscreen and not found.offscreen:
        raise InputError(
            f"off-screen videos must have sound, none of {len(offscreen)} has; leave --offscreen out, or give others."
        )


def _described(found: Collected) -> dict[str, object]:
    return {
        "videos": len(found.videos),
        "frames": found.sounding,
        "offscreen_videos": len(found.offscreen),
        "without_sound": sorted(found.without_sound),
        "broken": dict(sorted(found.broken.items())),
        "fingerprint": found.fingerprint,
    }


def _notes(record: Calibration) -> list[str]:
    part, notes = record.segment, []
    if (frames := part.pairs[MATCHING]) < FEW_FRAMES:
        notes.append(
            f"Only {frames} frames with sound: a rate of {record.rate:g} is {record.rate * frames:.1f} of them, so "
            "gates are rough."
        )
    if part.chosen.recall < 0.5:
        notes.append(
            f"At a false-positive rate of {record.rate:g} only {part.chosen.recall:.0%} of the frames keep a mask for "
            "their own sound; a higher rate keeps more."
        )
    if OFFSCREEN not in part.pairs:
        notes.append("Off-screen sound was not looked at; give such videos with --offscreen where there are some.")
    return notes
