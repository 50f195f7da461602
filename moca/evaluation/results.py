"""What an evaluation found, in memory and as one JSON file that holds all of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.errors import InputError
from moca.evaluation.protocols import EvaluationProtocol, Sums, restored
from moca.evaluation.tables import csv_table, markdown_table
from moca.files import write_text_whole

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip: its own metrics, and the sums from which those of any set with it are computed.

    truth: digest of its ground truth, by which clips of equal names are told apart.
    """

    name: str
    category: str
    truth: str
    metrics: dict[str, float]
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """One method on one set of clips.

    settings: the method's own, {} if it has none. licence: what its results may be used for, None if it does not
    say. protocol: see `EvaluationProtocol.settings`. metrics: those of the protocol. intervals: metric -> (low, high),
    95 % bootstrap over clips. controls: the same clips under each control that was run. false_positives: by name,
    other clips, in which nothing that is seen sounds. data: what the clips are, how many, and their fingerprint.
    bootstrap: samples and seed. version, packages: what computed it. The last four are empty in controls.
    """

    method: str
    settings: dict[str, Any]
    licence: str | None
    protocol: dict[str, Any]
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    clips: tuple[ClipScore, ...]
    controls: dict[str, EvaluationResult] = field(default_factory=dict)
    false_positives: dict[str, EvaluationResult] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    bootstrap: dict[str, int] = field(default_factory=dict)
    version: str = ""
    packages: dict[str, str | None] = field(default_factory=dict)

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


def write_results(folder: str | Path, results: Mapping[str, EvaluationResult]) -> tuple[Path, Path, Path]:
    """Write results.json (everything), results.md (the table) and results.csv (the same rows).

    results: by the label shown in the first column, all of one protocol. Returns the three paths. No file is ever
    half-written.
    """
    if not results:
        raise InputError("a table needs at least 1 result, got 0; evaluate a method first.")
    kinds = sorted({result.protocol["name"] for result in results.values()})
    if len(kinds) > 1:
        raise InputError(f"a table holds results of one protocol, got {', '.join(kinds)}; write one table for each.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    document = {"format": FORMAT, "results": {label: result.to_json() for label, result in results.items()}}
    texts = {
        "results.json": _indented(document) + "\n",
        "results.md": markdown_table(results),
        "results.csv": csv_table(results),
    }
    for name, text in texts.items():
        write_text_whole(folder / name, text)
    return tuple(folder / name for name in texts)


def read_results(path: str | Path) -> dict[str, EvaluationResult]:
    """The results of a file that `write_results` wrote, by label; path: the file, or its folder.

    Raises InputError, in one line, for a file that is not there, is of another format, or cannot be understood.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    advice = "evaluate the method again"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document["format"]
        if found == FORMAT:
            return {label: EvaluationResult.from_json(result) for label, result in document["results"].items()}
    except OSError as error:
        raise InputError(f"{path} must be a results.json, it cannot be read ({error.strerror}); {advice}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} must be a results.json, it cannot be understood; {advice}.") from None
    raise InputError(f"{path} must have format {FORMAT}, got {found!r}; {advice}.")


def _indented(value: Any, level: int = 0) -> str:
    """JSON with a line per key and per clip: a clip's sums are hundreds of numbers that nobody reads one by one."""
    pad = " " * (level + 1)
    if isinstance(value, dict) and value:
        inner = [f"{pad}{json.dumps(key)}: {_indented(part, level + 1)}" for key, part in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{pad[1:]}}}"
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return "[\n" + ",\n".join(pad + json.dumps(part, allow_nan=False) for part in value) + f"\n{pad[1:]}]"
    return json.dumps(value, allow_nan=False)


def _without_nan(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in metrics.items()}


def _with_nan(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {key: math.nan if value is None else value for key, value in metrics.items()}
