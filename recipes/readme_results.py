"""Write the README's figures from the files that commands wrote; nothing is typed in by hand.

moca stage -o stage --s4 0,0,60 --ms3 0,0,60 --extras 20
moca evaluate stage -o out/readme/s4 --data s4 --false-positives
moca evaluate stage -o out/readme/ms3 --data ms3
python -m benchmarks.matching --json docs/results/bench_matching.json
python -m benchmarks.fscore --json > docs/results/bench_fscore.json
python -m recipes.readme_results --runs out/readme            (its tables go to docs/results; results.json is too large)
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
from pathlib import Path

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
CONTROL_NAMES = {"none": "own sound"}
FALSE = "false positives: "
KEPT = ("results.csv", "results.md")


def load(folder: Path) -> dict[str, dict[str, str]]:
    """The row of every control in the table that `moca evaluate` wrote of one method."""
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return {row["control"]: row for row in csv.DictReader(file)}


def segmentation_table(s4: dict, ms3: dict) -> list[str]:
    """One row per control, the official numbers of both subsets; mIoU with its interval."""
    header = ["mini on Soundstage", "S4 mIoU", "S4 F", "S4 F, batch-free", "MS3 mIoU", "MS3 F", "MS3 F, batch-free"]
    lines = [_row(header), _row(["---"] * len(header))]
    for control in (name for name in s4 if not name.startswith(FALSE)):
        cells = [
            _told(scores[control], key, interval=key == "miou_batch4")
            for scores in (s4, ms3)
            for key in ("miou_batch4", "f_batch4", "f_batch_free")
        ]
        lines.append(_row([CONTROL_NAMES.get(control, control), *cells]))
    return lines


def _told(row: dict[str, str], key: str, *, interval: bool) -> str:
    """A figure, and the ends of its interval where it is asked for."""
    ends = f" [{float(row[f'{key}_low']):.3f}, {float(row[f'{key}_high']):.3f}]" if interval else ""
    return f"{float(row[key]):.3f}{ends}"


def silence_table(scores: dict) -> list[str]:
    """False-positive area where nothing in the picture sounds."""
    lines = [_row(["nothing in the picture sounds", "frames", "mean masked share of the frame"]), _row(["---"] * 3)]
    for name, words in (("silence", "silence"), ("noise", "broad-band noise"), ("offscreen", "off-screen sound")):
        row = scores[FALSE + name]
        lines.append(_row([words, row["frames"], _told(row, "mask_area", interval=True)]))
    return lines


def speed_table(root: Path) -> list[str]:
    """Ratios against references of the same run."""
    lines = [_row(["the same numbers, computed", "instead of", "times faster"]), _row(["---"] * 3)]
    for name, scores in json.loads((root / "bench_matching.json").read_text())["results"].items():
        way = f"scanline cost by matrix product, {name}, 8 x 16 x 16 x 1280"
        lines.append(_row([way, "unfolding every candidate", f"{scores['ratio']:.0f}"]))
    for scores in json.loads((root / "bench_fscore.json").read_text())["rows"][1:]:
        way = scores["way"].replace("loop", "a pass per threshold")
        lines.append(_row(["F at 255 thresholds by histogram", way, f"{scores['times_slower']:.0f}"]))
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def results_text(root: Path) -> str:
    """Everything between the README's markers."""
    s4, ms3 = load(root / "s4"), load(root / "ms3")
    clips = int(s4["none"]["videos"]), int(ms3["none"]["videos"])
    intro = (
        f"Held-out Soundstage clips ({clips[0]} S4-like, {clips[1]} MS3-like, 5 steps each) in AVSBench's layout; mIoU "
        "and F as AVSBench computes them at its test batch of 4 videos. F's sweep includes the threshold 0, so even an "
        "empty mask scores above 0: read it against the `muted` row. In brackets: 95% bootstrap intervals over clips. "
        "One encoder, adapters of the first seed."
    )
    parts = [[intro], segmentation_table(s4, ms3), silence_table(s4), speed_table(root)]
    return "\n\n".join("\n".join(part) for part in parts)


def replace_between(text: str, content: str) -> str:
    """The README with new content between its markers."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"the README must hold {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{content}\n{END}", text)


def main() -> None:
    """Rewrite README.md in place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="Folder with s4/ and ms3/ as moca evaluate left them.")
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    options = parser.parse_args()
    if options.runs:
        for name in ("s4", "ms3"):
            (options.results / name).mkdir(parents=True, exist_ok=True)
            for file in KEPT:
                shutil.copyfile(options.runs / name / file, options.results / name / file)
    text = options.readme.read_text()
    options.readme.write_text(replace_between(text, results_text(options.results)))


if __name__ == "__main__":
    main()
