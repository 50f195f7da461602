"""docs/proposals.md and its plot, from the files of the proposal study; no figure is typed in by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

from moca.core.files import write_text_whole, written_whole
from moca.foundation.manifest import bundled_weights
from moca.segmentation.config import MATCH, ProposalConfig

Scores = dict[str, dict[str, dict[str, float]]]  # kind -> row -> "miou" and "f"
SHORT = {"s4": "S4", "ms3": "MS3"}
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
PAPER_10 = {0.1: (0.35, 0.39), 0.3: (0.48, 0.48), 0.5: (0.57, 0.62), 0.7: (0.52, 0.54), 0.9: (0.54, 0.54)}
PAPER_2_3 = {"PMA only": (0.52, 0.59), "MPM only": (0.34, 0.44), "both, iou": (0.57, 0.62)}
COARSE = {"coarse": "coarse masks", "snapped": "coarse masks snapped to edges (GrabCut)"}


def read(folder: Path, split: str) -> tuple[Scores | None, list[Scores]]:
    """Scores of the frozen encoder and of the adapters of every seed."""
    studies = [
        json.loads(path.read_text()) for path in sorted(folder.glob(f"{split}-*.json")) if "ceiling" not in path.name
    ]
    frozen = next((scores for scores in studies if scores["model"] == "frozen"), None)
    return frozen, [scores for scores in studies if scores["model"] != "frozen"]


def told(runs: list[Scores], kind: str, row: str, metric: str = "miou") -> str:
    """Mean over the seeds, with the spread where there are several."""
    values = [run[kind][row][metric] for run in runs]
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def both_kinds(runs: list[Scores], row: str) -> list[str]:
    """mIoU and F of S4 and MS3."""
    return [told(runs, kind, row, metric) for kind in SHORT for metric in ("miou", "f")]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table whose figures stand right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


HEADER = ["", "S4 mIoU", "S4 F", "MS3 mIoU", "MS3 F"]


def tables_2_3(frozen: Scores, runs: list[Scores], name: str) -> list[str]:
    """Neither, either and both parts, by every rule, from boxes and from the grid; the paper's figures beside."""
    rows = [["neither: frozen encoder", *both_kinds([frozen], name), ""]]
    rows.append(["PMA only", *both_kinds(runs, name), _paper("PMA only")])
    for source in ("boxes", "grid"):
        for rule, usual in MATCH.items():
            row, paper = f"{name} + {source}, {rule} {usual}", source == "boxes" and rule == "iou"
            rows.append(
                [f"MPM only, {source}, {rule}", *both_kinds([frozen], row), _paper("MPM only") if paper else ""]
            )
            rows.append([f"**both**, {source}, {rule}", *both_kinds(runs, row), _paper("both, iou") if paper else ""])
    return table([*HEADER, "the paper, MS3 mIoU / F"], rows)


def _paper(row: str) -> str:
    return " / ".join(f"{value:.2f}" for value in PAPER_2_3[row])


def table_10(runs: list[Scores], name: str) -> list[str]:
    """mIoU by threshold and rule; the paper's figures beside."""
    rows = []
    for threshold in THRESHOLDS:
        cells = [told(runs, kind, f"{name} + boxes, {rule} {threshold}") for rule in MATCH for kind in SHORT]
        rows.append([str(threshold), *cells, " / ".join(f"{value:.2f}" for value in PAPER_10[threshold])])
    columns = [f"{rule}, {short}" for rule in MATCH for short in SHORT.values()]
    return table(["threshold", *columns, "the paper, MS3 mIoU / F"], rows)


def by_objectness(runs: list[Scores]) -> list[str]:
    """mIoU of both parts by the objectness from which a box counts."""
    rows, ends = [], tuple(f", {rule} {usual}" for rule, usual in MATCH.items())
    for row in [key for key in runs[0]["s4"] if " + boxes from " in key and key.endswith(ends)]:
        rows.append([row, *(told(runs, kind, row) for kind in SHORT)])
    return table(["", *(f"{short} mIoU" for short in SHORT.values())], rows)


def controls(runs: list[Scores], ceiling: dict[str, dict[str, float]], name: str) -> list[str]:
    """Another frame's sound, no sound at all, nothing matched means nothing, and what proposals could reach."""
    rows = [[f"{name}, another frame's sound", *both_kinds(runs, f"{name}, swapped")]]
    for source in ("boxes", "grid"):
        for rule, usual in MATCH.items():
            row = f"{name} + {source}, {rule} {usual}"
            rows.append([f"both, {source}, {rule}, another frame's sound", *both_kinds(runs, f"{row}, swapped")])
            rows.append([f"both, {source}, {rule}, nothing where nothing matches", *both_kinds(runs, f"{row}, empty")])
        for words, label in (("surest of", "the surest proposal"), ("all", "all proposals")):
            rows.append([f"{label} of {source}, no sound", *both_kinds(runs[:1], f"{words} {source}, no sound")])
        best = [f"{ceiling[kind][source]:.3f}" for kind in SHORT]
        rows.append([f"{source}, chosen by the truth", best[0], "", best[1], ""])
    return table(HEADER, rows)


def answers(frozen: Scores, runs: list[Scores]) -> list[str]:
    """Whether the paper's trends hold here, from the same figures."""

    def at(some: list[Scores], row: str) -> dict[str, float]:
        return {kind: mean(run[kind][row]["miou"] for run in some) for kind in SHORT}

    lines, deaf = [], at(runs[:1], "all boxes, no sound")
    for name, words in COARSE.items():
        alone, neither = at(runs, name), at([frozen], name)
        for rule, usual in MATCH.items():
            row = f"{name} + boxes, {rule} {usual}"
            both, mpm = at(runs, row), at([frozen], row)
            lines += [
                _answer(f"{words}, {rule}: both beat PMA only", lambda k, b=both, a=alone: b[k] - a[k]),
                _answer(f"{words}, {rule}: both beat MPM only", lambda k, b=both, m=mpm: b[k] - m[k]),
                _answer(f"{words}, {rule}: both beat all proposals, no sound", lambda k, b=both, n=deaf: b[k] - n[k]),
            ]
            best = {
                kind: max(THRESHOLDS, key=lambda t, k=kind, r=rule: at(runs, f"{name} + boxes, {r} {t}")[k])
                for kind in SHORT
            }
            told_best = ", ".join(f"{SHORT[kind]} {value}" for kind, value in best.items())
            held = "yes" if set(best.values()) == {usual} else "no"
            lines.append(f"- {words}, {rule}: {usual} is the best threshold: **{held}** (best: {told_best})")
        lines.append(_answer(f"{words}: PMA alone beats the frozen encoder", lambda k, a=alone, n=neither: a[k] - n[k]))
    return lines


def _answer(words: str, gain: Callable[[str], float]) -> str:
    gains = {kind: gain(kind) for kind in SHORT}
    held = "yes" if min(gains.values()) > 0 else ("no" if max(gains.values()) <= 0 else "on one of the two")
    return f"- {words}: **{held}** ({', '.join(f'{SHORT[kind]} {value:+.3f}' for kind, value in gains.items())} mIoU)"


def write_page(folder: Path, page: Path) -> None:
    """Write the page and its plot; says nothing of what was not run."""
    frozen, runs = read(folder, "test")
    validation = read(folder, "val")[1]
    if frozen is None or not runs or not validation:
        return
    ceiling = json.loads((folder / "test-ceiling.json").read_text())
    frames = runs[0]["frames"]
    lines = [
        "# Mask proposals: what they are worth",
        "",
        f"{frames} S4-like and {frames} MS3-like Soundstage frames of 224 pixels with a second of sound each, on which "
        f"nothing was chosen; adapters of {len(runs)} seed(s), mean ± standard deviation. F is AVSBench's at batch 1, "
        "every frame being a clip. `boxes`: mini OWLv2's boxes, masks by mini SAM; `grid`: mini SAM asked at 8 x 8 "
        "points. `iou`: the paper's rule; `cover`: the coarse mask covers more than the threshold's share of the "
        "proposal; `agreement`: its mean heat is more than that share of the best proposal's. Where no proposal "
        f"matches, the coarse mask stays. Thresholds: {', '.join(f'{rule} {usual}' for rule, usual in MATCH.items())}, "
        "unless another is named. Written by `python -m benchmarks.proposals`. "
        "The paper's figures are real MS3 with ImageBind-Huge, SAM and another detector: compare trends, not values.",
        "",
        "![mIoU by threshold](proposals.png)",
        "",
    ]
    for name, words in COARSE.items():
        lines += [f"## Tables 2 and 3: {words}", "", *tables_2_3(frozen, runs, name), ""]
    for name, words in COARSE.items():
        lines += [f"## Table 10: threshold, {words}", "", *table_10(runs, name), ""]
    for name, words in COARSE.items():
        lines += [f"## Controls: {words}", "", *controls(runs, ceiling, name), ""]
    lines += ["## Do the paper's trends hold here?", "", *answers(frozen, runs), ""]
    lines += ["## On validation", "", f"What mini ships ({_shipped()}) was chosen here.", ""]
    for name, words in COARSE.items():
        lines += [f"{words[0].upper()}{words[1:]}:", "", *table_10(validation, name), ""]
    lines += ["Objectness from which a box counts:", "", *by_objectness(validation), ""]
    write_text_whole(page, "\n".join(lines))
    plot(runs, page.with_suffix(".png"))


def _shipped() -> str:
    """What the bundled model's card says of its proposals."""
    shipped = ProposalConfig(**json.loads((bundled_weights() / "mini" / "pipeline.json").read_text())["proposals"])
    return f"{shipped.kind} from {shipped.box_threshold}, {shipped.rule} {shipped.match}"


def plot(runs: list[Scores], target: Path) -> None:
    """mIoU by threshold, one panel per kind of frames."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(SHORT), figsize=(10.5, 3.6), sharey=True)
    for panel, (kind, short) in zip(panels, SHORT.items(), strict=True):
        for name, style in (("coarse", "--"), ("snapped", "-")):
            level = mean(run[kind][name]["miou"] for run in runs)
            panel.axhline(level, color="grey", linestyle=style, linewidth=1, label=f"{name}, no proposals")
            for rule, colour in zip(MATCH, ("tab:blue", "tab:orange", "tab:green"), strict=True):
                values = [
                    mean(run[kind][f"{name} + boxes, {rule} {threshold}"]["miou"] for run in runs)
                    for threshold in THRESHOLDS
                ]
                panel.plot(THRESHOLDS, values, style, color=colour, marker="o", label=f"{name}, {rule}")
        panel.set(title=f"{short}, boxes", xlabel="matching threshold")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("mIoU")
    panels[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    with written_whole(target) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
