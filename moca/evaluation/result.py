"""What an evaluation found, in memory and as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moca.evaluation.protocols.known import restored
from moca.evaluation.protocols.protocol import EvaluationProtocol, Sums


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip as it was measured."""

    name: str
    category: str
    """Its class, "" where the data set has none."""
    truth: str
    """Digest of its ground truth, by which clips of equal names are told apart."""
    metrics: dict[str, float]
    """Those of the clip alone."""
    sums: Sums
    """From which the metrics of any set with this clip are computed."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """One method on one set of clips."""

    method: str
    settings: dict[str, Any]
    """The method's own, {} if it has none."""
    licence: str | None
    """What the results may be used for, None if the method does not say."""
    protocol: dict[str, Any]
    """See `EvaluationProtocol.settings`."""
    metrics: dict[str, float]
    """Those of the protocol, over all clips."""
    intervals: dict[str, tuple[float, float]]
    """By metric its 95 % bootstrap interval over clips: low, high."""
    clips: tuple[ClipScore, ...]
    controls: dict[str, EvaluationResult] = field(default_factory=dict)
    """The same clips under each control that was run; {} in a control itself, as everything below."""
    false_positives: dict[str, EvaluationResult] = field(default_factory=dict)
    """By name, other clips, in which nothing that is seen sounds, measured by "segmentation"."""
    data: dict[str, Any] = field(default_factory=dict)
    """What the clips are, how many, and their fingerprint."""
    bootstrap: dict[str, int] = field(default_factory=dict)
    """Its samples and seed."""
    version: str = ""
    """Of this package, which computed it."""
    packages: dict[str, str | None] = field(default_factory=dict)
    """Versions of the packages that it was computed with."""

    @property
    def measured_by(self) -> EvaluationProtocol:
        """The protocol, as far as it is needed to compute."""
        return restored(self.protocol)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict in which None stands for a metric that does not exist (NaN)."""
        own = {
            "method": self.method,
            "settings": self.settings,
            "licence": self.licence,
            "protocol": self.protocol,
            "metrics": _without_nan(self.metrics),
            "intervals": {metric: list(interval) for metric, interval in self.intervals.items()},
        }
        about = {
            "version": self.version,
            "packages": self.packages,
            "data": self.data,
            "bootstrap": self.bootstrap,
            "controls": {name: result.to_json() for name, result in self.controls.items()},
            "false_positives": {name: result.to_json() for name, result in self.false_positives.items()},
        }
        clips = [{**vars(clip), "metrics": _without_nan(clip.metrics)} for clip in self.clips]
        return own | {name: value for name, value in about.items() if value} | {"clips": clips}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EvaluationResult:
        """The inverse of `to_json`."""
        nested = {
            kind: {name: cls.from_json(result) for name, result in stored.get(kind, {}).items()}
            for kind in ("controls", "false_positives")
        }
        clips = tuple(ClipScore(**{**clip, "metrics": _with_nan(clip["metrics"])}) for clip in stored["clips"])
        changed = {
            "metrics": _with_nan(stored["metrics"]),
            "intervals": {metric: tuple(interval) for metric, interval in stored["intervals"].items()},
            "clips": clips,
        }
        return cls(**{**stored, **nested, **changed})


def _without_nan(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in metrics.items()}


def _with_nan(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {key: math.nan if value is None else value for key, value in metrics.items()}
