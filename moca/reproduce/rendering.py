"""Tables as files: Markdown for readers, LaTeX for papers, CSV for programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from moca.core.files import write_text_whole
from moca.reproduce.sheets import (
    RECORD_HEAD,
    Filled,
    Sheet,
    adapter_lines,
    control_sheet,
    main_sheet,
    records,
    trend_lines,
)

LEGEND = (
    "Measured: mean over seeds ± their standard deviation [95 % bootstrap interval over clips]; a row that is "
    "deterministic was run once."
)


def write_table(folder: Path, filled: Filled) -> tuple[Path, ...]:
    """Write <table>.csv, .md and .tex, each whole; returns their paths."""
    texts = {".csv": csv_text(filled), ".md": markdown_text(filled), ".tex": latex_text(filled)}
    for suffix, text in texts.items():
        write_text_whole(folder / f"{filled.table.name}{suffix}", text)
    return tuple(folder / f"{filled.table.name}{suffix}" for suffix in texts)


def paper_words(filled: Filled) -> str:
    """What the columns of the paper are."""
    return (
        f"Columns headed paper: as printed in {filled.table.paper.source}, measured on real data with ImageBind-Huge; "
        "compare trends, not values."
    )


def markdown_text(filled: Filled) -> str:
    """The whole page: figures, controls, trends and what a reader must know."""
    lines = [f"# {filled.table.title}", "", filled.table.note, "", LEGEND, "", paper_words(filled), ""]
    lines += [*_markdown(main_sheet(filled), right_from=2), ""]
    if controls := control_sheet(filled):
        lines += ["## Controls", "", *_markdown(controls, right_from=2), ""]
    if adapters := adapter_lines(filled):
        lines += ["## Do the adapters add anything?", "", *(f"- {line}" for line in adapters), ""]
    if trends := trend_lines(filled):
        lines += ["## The paper's trends", "", *(f"- {line}" for line in trends), ""]
    if facts := [*(f"{label} was not run: {why}" for label, why in filled.reasons.items()), *filled.facts]:
        lines += ["## About", "", *(f"- {fact}" for fact in facts), ""]
    return "\n".join(lines)


def _markdown(sheet: Sheet, *, right_from: int) -> list[str]:
    rule = ["---" if column < right_from else "---:" for column in range(len(sheet.head))]
    lines = [sheet.head, rule, *sheet.rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def latex_text(filled: Filled) -> str:
    """Two tabulars without packages, figures and controls, with the rest as comments."""
    lines = [f"% {filled.table.title}", f"% {filled.table.note}", f"% {LEGEND}", f"% {paper_words(filled)}"]
    lines += [f"% {label} was not run: {why}" for label, why in filled.reasons.items()]
    lines += [f"% {fact}" for fact in filled.facts]
    lines += [f"% {line}" for line in (*adapter_lines(filled), *trend_lines(filled))]
    lines += _latex(main_sheet(filled))
    if controls := control_sheet(filled):
        lines += ["% Controls", *_latex(controls)]
    return "\n".join(lines) + "\n"


def _latex(sheet: Sheet) -> list[str]:
    columns = "l" * 2 + "r" * (len(sheet.head) - 2)
    rows = [" & ".join(map(_escaped, line)) + r" \\" for line in (sheet.head, *sheet.rows)]
    return [f"\\begin{{tabular}}{{{columns}}}", r"\hline", rows[0], r"\hline", *rows[1:], r"\hline", r"\end{tabular}"]


_LATEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def csv_text(filled: Filled) -> str:
    """One line per row, data set, metric and control, see `records`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, RECORD_HEAD, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(filled))
    return text.getvalue()
