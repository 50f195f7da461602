"""Results of evaluations as files: one JSON that holds all of them, and two tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moca.core.files import write_text_whole
from moca.errors import InputError
from moca.evaluation.result import EvaluationResult
from moca.evaluation.robustness import robustness_of
from moca.evaluation.tables import csv_table, markdown_table

FORMAT = 2


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
    robust = {
        label: {name: asdict(found) for name, found in robustness_of(result).items()}
        for label, result in results.items()
    }
    if any(robust.values()):
        document["robustness"] = robust
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
        stored = document["format"]
        if stored == FORMAT:
            return {label: EvaluationResult.from_json(result) for label, result in document["results"].items()}
    except OSError as error:
        raise InputError(f"{path} must be a results.json, it cannot be read ({error.strerror}); {advice}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} must be a results.json, it cannot be understood; {advice}.") from None
    raise InputError(f"{path} must have format {FORMAT}, got {stored!r}; {advice}.")


def _indented(value: Any, level: int = 0) -> str:
    """JSON with a line per key and per clip: a clip's sums are hundreds of numbers, on one line."""
    pad = " " * (level + 1)
    if isinstance(value, dict) and value:
        inner = [f"{pad}{json.dumps(key)}: {_indented(part, level + 1)}" for key, part in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{pad[1:]}}}"
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return "[\n" + ",\n".join(pad + json.dumps(part, allow_nan=False) for part in value) + f"\n{pad[1:]}]"
    return json.dumps(value, allow_nan=False)
