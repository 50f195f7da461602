"""docs/readings.md from the files of the study of readings and of their costs; no figure is typed in by hand."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.proposals.tables import SHORT, table
from benchmarks.readings.rows import READINGS, REFERENCE
from moca.core.files import write_text_whole

COSTS = "costs.json"
COLUMNS = {"auc": "AUC", "iou": "mIoU", "pointing": "pointing"}
SWAPPED = {"iou": "swapped iou", "pointing": "swapped pointing"}
INTRODUCTION = """# Readings of a frozen encoder

How patch features are read from the end of the image tower (`--reading`, `moca/adapters/last_block.py`). Nothing is
trained here. Written by `python -m benchmarks.readings` and `python -m benchmarks.readings.costs`.

- `token`: the last block's tokens. `value`, `value2`: value paths of the last block, or of the last two (MaskCLIP).
  `clear`: values averaged by self-self attention, no residual, no MLP (ClearCLIP, arXiv 2407.12442). `proxy`: values
  averaged by DINO's patch affinity, on DINO's grid (ProxyCLIP, arXiv 2408.04883).
- AUC: chance that a proposal (`boxes`), at least half of which sounds, has a higher mean score than one of which less
  does. mIoU: of the pixels above one level for all frames, the best for these frames. Pointing: frames whose highest
  score lies on a sounding pixel. In brackets the same with the next frame's sound: what does not fall listens to
  nothing.
- raw: cosine with the sound. centred: minus the mean cosine with the sounds of all frames of the kind.
- high norms replaced: tokens above twice the picture's median norm become the mean of their neighbours; a row that
  equals the one without found no such token.
- Published for a ViT-H/14 of the same kind, mean mIoU of eight data sets with words (Trident's table, see
  arXiv 2408.04883): tokens 7.1, values 19.3, self-self attention 29.1, proxy 44.4.
"""


def row_of(name: str, scores: dict) -> list[str]:
    """A row of the table of one scale: every column of S4 and MS3."""
    cells = []
    for kind in SHORT:
        for key in COLUMNS:
            other = f" ({scores[kind][SWAPPED[key]]:.3f})" if key in SWAPPED else ""
            cells.append(f"{scores[kind][key]:.3f}{other}")
    return [name, *cells]


def section(name: str, study: dict) -> list[str]:
    """The tables of one encoder."""
    pieces = [f"{SHORT[kind]}: {study['proposals'][kind]} proposals, {study['true area'][kind]:.3f}" for kind in SHORT]
    prints = study["fingerprints"]
    lines = [
        f"## {name}",
        "",
        f"Encoder {prints['encoder']} (pooling {study['pooling']}), DINO {prints['images']}; "
        f"{study['frames']} validation frames of each kind. {'; '.join(pieces)} of the area sounds.",
    ]
    header = ["", *(f"{short} {column}" for short in SHORT.values() for column in COLUMNS.values())]
    for scale in ("centred", "raw"):
        rows = [row_of(name, study["readings"][name][scale]) for name in READINGS if name in study["readings"]]
        lines += ["", f"### {name}, {scale}", "", *table(header, rows)]
    return [*lines, ""]


def costs(path: Path) -> list[str]:
    """The table of what readings cost; nothing where that was never measured."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    lines = ["## What they cost", "", found["what"], ""]
    header = ["reading", f"time, x {REFERENCE}", f"peak memory, x {REFERENCE}"]
    rows = [[name, f"{each['time']:.2f}", f"{each['peak']:.2f}"] for name, each in found["readings"].items()]
    return [*lines, *table(header, rows), ""]


def write_page(folder: Path, page: Path) -> None:
    """All studies in a folder, in alphabetical order, and the costs, on one page."""
    lines = [*INTRODUCTION.splitlines(), ""]
    for path in sorted(folder.glob("*.json")):
        if path.name != COSTS:
            lines += section(path.stem, json.loads(path.read_text()))
    lines += costs(folder / COSTS)
    write_text_whole(page, "\n".join(lines))
