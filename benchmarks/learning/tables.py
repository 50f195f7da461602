"""Write docs/learning.md's tables and plots from the study's result files; no figure is typed in by hand.

python -m benchmarks.learning.tables
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from benchmarks.learning.claims import KINDS, Results, claims
from benchmarks.learning.plots import draw_controls, draw_gate
from benchmarks.learning.rows import ROWS
from moca.core.files import write_text_whole

ENCODERS = {"dense": "Dense pooling (the default mini encoder)", "class": "Class-token pooling (like ImageBind)"}
TWINS = {
    "Table 4, loss": ("paper, SSD alone", "paper, NCC alone", "paper"),
    "Table 5, adapters": ("moca, 2 adapters", "moca", "moca, 6 adapters"),
    "Table 6, placement": ("moca, interleaved", "moca, first blocks", "moca"),
    "Table 9, margin": ("paper, margin 0.1", "paper", "paper, margin 0.5"),
}
TWIN_NAMES = {
    ("Table 4, loss", "paper"): "SSD and NCC",
    ("Table 5, adapters", "moca"): "4 adapters (of 6 blocks)",
    ("Table 6, placement", "moca"): "last blocks",
    ("Table 9, margin", "paper"): "margin 0.3",
}
Read = Callable[[dict], float | None]


def load(folder: Path) -> Results:
    """All results by (encoder, row), in order of their seeds."""
    results: Results = {}
    for path in sorted(folder.glob("*/*.json")):
        result = json.loads(path.read_text())
        results.setdefault((result["encoder"], result["row"]), []).append(result)
    return results


def entry(*keys: str) -> Read:
    """Reads one figure of a result, None where it was not measured."""

    def read(result: dict) -> float | None:
        value = result
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value

    return read


def cell(results: list[dict], read: Read) -> str:
    """Mean over seeds and their spread (standard deviation)."""
    values = [value for value in map(read, results) if value is not None]
    if not values:
        return ""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


@dataclass(frozen=True)
class Table:
    """head: columns; rows: lines of cells."""

    head: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def encoders(folder: Path) -> Table:
    """How the encoders were trained, and how well they find a frame's own sound."""
    lines = []
    for name in ENCODERS:
        if (path := folder / f"{name}.json").is_file():
            made = json.loads(path.read_text())
            retrieval = made["retrieval"]
            cells = [
                f"{made['recipe']['steps']:,}",
                *(f"{retrieval[key]:.3f}" for key in ("recall@1", "recall@5", "class@1")),
            ]
            lines.append([name, *cells, str(retrieval["candidates"])])
    return Table(["pooling", "steps", "recall@1", "recall@5", "class of the sound found first", "candidates"], lines)


def segmentation(results: Results, encoder: str) -> Table:
    """Every row with what its masks depend on."""
    columns = {
        "own sound": "own",
        "swapped in adapters": "adapters swapped",
        "swapped everywhere": "swapped",
        "image only": "image only",
        "own, snapped": "own, snapped",
    }
    reads = {
        f"{words} {short}": entry("test", kind, key, "iou")
        for words, key in columns.items()
        for kind, short in KINDS.items()
    }
    reads |= {f"pointing {short}": entry("test", kind, "own", "pointing") for kind, short in KINDS.items()}
    return _by_row(results, encoder, [name for name in ROWS if not _is_twin(name)], reads)


def false_positives(results: Results, encoder: str) -> Table:
    """Area, with the gate at 95% recall of sounding validation clips, and the gate's ROC."""
    reads = {"recall on test": entry("test", "false", "recall")}
    for kind in ("silent", "noise", "offscreen"):
        reads[f"{kind}: area"] = entry("test", "false", kind, "area")
        reads[f"{kind}: open"] = entry("test", "false", kind, "open")
        reads[f"{kind}: AUROC"] = entry("test", "false", kind, "auroc")
    return _by_row(results, encoder, [name for name, row in ROWS.items() if row.scored != "brief"], reads)


def learning(results: Results, encoder: str) -> Table:
    """What went on in training: active triplets, losses, purity of the neighbours, cost."""
    reads = {
        "active triplets": entry("last", "active"),
        "neighbours that share a sound": entry("purity", "purity"),
        "by chance": entry("purity", "chance"),
        "matching loss": entry("last", "matching"),
        "distillation loss": entry("last", "distillation"),
    }
    return _by_row(results, encoder, [name for name, row in ROWS.items() if row.config], reads)


def twins(results: Results) -> Table:
    """The paper's ablations on the dense encoder."""
    lines = []
    for table, names in TWINS.items():
        for name in names:
            runs = results.get(("dense", name), [])
            shown = TWIN_NAMES.get((table, name), name.split(", ")[-1])
            cells = [cell(runs, entry("test", kind, "own", "iou")) for kind in KINDS]
            lines.append([table, shown, *cells, str(len(runs))])
    return Table(["twin of the paper's", "variant", "S4 mIoU", "MS3 mIoU", "seeds"], lines)


def _is_twin(name: str) -> bool:
    return name not in ("paper", "moca") and any(name in names for names in TWINS.values())


def _by_row(results: Results, encoder: str, names: list[str], reads: dict[str, Read]) -> Table:
    lines = []
    for name in names:
        if runs := results.get((encoder, name)):
            lines.append([name, *(cell(runs, read) for read in reads.values()), str(len(runs))])
    kept = [0, *(place for place in range(1, len(reads) + 1) if any(line[place] for line in lines)), len(reads) + 1]
    head = ["row", *reads, "seeds"]
    return Table([head[place] for place in kept], [[line[place] for place in kept] for line in lines])


def sections(results: Results, folder: Path) -> dict[str, str]:
    """Name of each marked section and its content; folder: of the result files."""
    head = ["claim", "test", "hoped for", "measured", ""]
    texts = {
        "twins": str(twins(results)),
        "claims": str(Table(head, claims(results))),
        "encoders": str(encoders(folder)),
    }
    for encoder in ENCODERS:
        texts[f"segmentation {encoder}"] = str(segmentation(results, encoder))
        texts[f"false {encoder}"] = str(false_positives(results, encoder))
        texts[f"learning {encoder}"] = str(learning(results, encoder))
    return texts


def fill(page: str, content: dict[str, str]) -> str:
    """The page with every `<!-- name:begin -->` ... `<!-- name:end -->` filled anew."""
    for name, text in content.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        page = pattern.sub(lambda _, new=f"{begin}\n{text}\n{end}": new, page)
    return page


def main() -> None:
    """Rewrite the page and its plots in place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("docs/results/learning"))
    parser.add_argument("--page", type=Path, default=Path("docs/learning.md"))
    options = parser.parse_args()
    results = load(options.results)
    write_text_whole(options.page, fill(options.page.read_text(), sections(results, options.results)))
    for encoder in ENCODERS:
        draw_controls(results, encoder, options.page.parent / f"learning_{encoder}.png")
        draw_gate(results, encoder, options.page.parent / f"learning_gate_{encoder}.png")


if __name__ == "__main__":
    main()
