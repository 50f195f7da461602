"""Tables as Markdown, LaTeX, CSV and pictures."""

import csv
import io
import sys

import numpy as np
import pytest
from PIL import Image

from moca.errors import InputError
from moca.evaluation import ClipScore, EvaluationResult
from moca.evaluation.protocols.localisation import Localisation
from moca.metrics.localisation import score_map
from moca.reproduce import TABLES
from moca.reproduce.figures import Measured
from moca.reproduce.plots import draw_table
from moca.reproduce.rendering import csv_text, latex_text, markdown_text, write_table
from moca.reproduce.sheets import Filled, figure, main_sheet


@pytest.fixture
def filled(measured) -> Filled:
    """Table 9 with two of its three rows: one of two seeds, one deterministic."""
    figures = {
        ("0.1", "ms3"): measured([0.5, 0.5], [0.52, 0.52], muted=[0.0, 0.0]),
        ("0.3", "ms3"): measured([0.6, 0.6], once=True, muted=[0.1, 0.1], swapped=[0.2, 0.2]),
    }
    reasons = {"0.5": "its weights are not here; fetch them."}
    return Filled(
        table=TABLES["table9"], figures=figures, labels={"0.1": "0.1_%"}, reasons=reasons, facts=("Model mini.",)
    )


MARKDOWN = """\
# Table 9: margin of the matching loss

Adapters are trained by the preset paper: pixel matching, image neighbours by DINO, shuffled negatives. Where its \
10,000 steps are cut, the learning rate is raised by the same factor, at most tenfold.

Measured: mean over seeds ± their standard deviation [95 % bootstrap interval over clips]; a row that is deterministic \
was run once.

Columns headed paper: as printed in arXiv 2403.14203, table 9, measured on real data with ImageBind-Huge; compare \
trends, not values.

|  | seeds | MS3 mIoU | paper MS3 mIoU | MS3 F | paper MS3 F |
| --- | --- | ---: | ---: | ---: | ---: |
| 0.1_% | 2 | 0.510 ± 0.014 [0.510, 0.510] | 0.54 | 0.255 ± 0.007 [0.255, 0.255] | 0.56 |
| 0.3 | deterministic | 0.600 [0.600, 0.600] | 0.57 | 0.300 [0.300, 0.300] | 0.62 |
| 0.5 | not run |  | 0.56 |  | 0.58 |

## Controls

|  | control | MS3 mIoU | MS3 F |
| --- | --- | ---: | ---: |
| 0.1_% | muted | 0.000 ± 0.000 | 0.000 ± 0.000 |
| 0.3 | muted | 0.100 | 0.050 |
| 0.3 | swapped | 0.200 | 0.100 |

## The paper's trends

- 0.3 is the best margin (MS3 mIoU): holds here: within noise (0.3 over 0.1 +0.090 [seeds -0.037 to +0.217; clips \
+0.090 to +0.090]); not run: 0.5

## About

- 0.5 was not run: its weights are not here; fetch them.
- Model mini.
"""


def test_markdown(filled):
    assert markdown_text(filled) == MARKDOWN


def test_latex_has_the_same_cells_escaped(filled):
    lines = latex_text(filled).splitlines()
    assert lines[0] == "% Table 9: margin of the matching loss"
    assert next(line for line in lines if "holds here" in line).startswith("% 0.3 is the best margin")
    start = lines.index(r"\begin{tabular}{llrrrr}")
    assert lines[start + 1 : start + 9] == [
        r"\hline",
        r" & seeds & MS3 mIoU & paper MS3 mIoU & MS3 F & paper MS3 F \\",
        r"\hline",
        r"0.1\_\% & 2 & 0.510 $\pm$ 0.014 [0.510, 0.510] & 0.54 & 0.255 $\pm$ 0.007 [0.255, 0.255] & 0.56 \\",
        r"0.3 & deterministic & 0.600 [0.600, 0.600] & 0.57 & 0.300 [0.300, 0.300] & 0.62 \\",
        r"0.5 & not run &  & 0.56 &  & 0.58 \\",
        r"\hline",
        r"\end{tabular}",
    ]
    assert lines[start + 9 : start + 11] == ["% Controls", r"\begin{tabular}{llrr}"]
    assert lines.count(r"\end{tabular}") == 2


def test_csv_has_a_line_for_every_figure_and_keeps_all_digits(filled):
    lines = list(csv.DictReader(io.StringIO(csv_text(filled))))
    assert len(lines) == 2 * (2 + 3 + 1)  # metrics x (own and controls of two rows, the paper's of the third)
    first = lines[0]
    assert (first["table"], first["row"], first["data"], first["metric"]) == ("table9", "0.1_%", "ms3", "miou_batch4")
    assert (first["control"], first["seeds"], first["paper"]) == ("none", "0 1", "0.54")
    assert [float(value) for value in first["values"].split()] == [0.5, 0.52]
    assert float(first["mean"]) == pytest.approx(0.51) and float(first["std"]) == pytest.approx(0.02 / 2**0.5)
    assert float(first["low"]) == float(first["high"]) == pytest.approx(0.51)
    assert first["paper_source"] == "arXiv 2403.14203, table 9"
    assert [(line["control"], line["paper"]) for line in lines[:2]] == [("none", "0.54"), ("muted", "")]
    assert {line["seeds"] for line in lines if line["row"] == "0.3"} == {"deterministic"}
    unrun = [line for line in lines if line["row"] == "0.5"]
    assert [(line["mean"], line["values"], line["paper"]) for line in unrun] == [("", "", "0.56"), ("", "", "0.58")]


def test_measured_and_printed_numbers_never_share_a_column(filled):
    sheet = main_sheet(filled)
    for place, title in enumerate(sheet.head[2:], start=2):
        for row, cells in zip(filled.table.rows, sheet.rows, strict=True):
            if title.startswith("paper "):
                assert cells[place] in [row_cells for row_cells in filled.table.paper.rows[row.paper].split()[0]
                                        .replace(".", "0.").split("/")]  # fmt: skip
            else:
                assert (cells[place] == "") == ((row.label, "ms3") not in filled.figures)


def test_percent_of_the_paper_keep_their_digit(measured):
    table = TABLES["table8"]
    sheet = main_sheet(Filled(table=table, figures={}))
    assert sheet.head == ("", "seeds")  # nothing was measured, so there is no data set to show
    assert table.paper.value("MoCA", "vggss", 0) == 0.406


def test_what_does_not_exist_is_said(measured):
    found = measured([0.5, 0.5], once=True)
    found.results[0].metrics["f_batch_free"] = float("nan")
    assert figure(found, "f_batch_free") == "n/a" and figure(found, "miou_batch4") == "0.500 [0.500, 0.500]"


def test_files_are_written_and_drawn(filled, tmp_path):
    paths = write_table(tmp_path, filled)
    assert [path.name for path in paths] == ["table9.csv", "table9.md", "table9.tex"]
    assert paths[1].read_text() == MARKDOWN
    picture = draw_table(filled, tmp_path / "table9.png")
    with Image.open(picture) as image:
        assert image.size[0] > 600 and len(image.convert("RGB").getcolors(1 << 24)) > 5
    assert {path.name for path in tmp_path.iterdir()} == {"table9.csv", "table9.md", "table9.tex", "table9.png"}


def test_without_matplotlib_one_line_says_what_to_install(filled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError) as caught:
        draw_table(filled, tmp_path / "table9.png")
    assert str(caught.value) == (
        'plots need matplotlib, which is not installed; run pip install "moca-avs[notebooks]".'
    )
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_the_paper_does_not_give_has_no_column_of_the_paper():
    truth = np.tri(4)
    sums = score_map(truth, truth).to_json()
    clip = ClipScore(name="a", category="", truth="", metrics={}, sums=sums)
    metrics = Localisation().metrics([sums])
    result = EvaluationResult(
        method="moca", settings={}, licence=None, protocol={"name": "localisation"}, metrics=metrics, intervals={},
        clips=(clip,),
    )  # fmt: skip
    figures = {("MoCA", "vggss"): Measured(seeds=(), results=(result,))}
    sheet = main_sheet(Filled(table=TABLES["table8"], figures=figures))
    titles = ("IoU@0.5", "paper IoU@0.5", "AUC", "paper AUC", "AP of pixels")
    assert tuple(title.replace("VGG-SS ", "") for title in sheet.head[2:]) == titles
    assert [len(row) for row in sheet.rows] == [len(sheet.head)] * 4
    assert sheet.rows[2][-2:] == ("0.435", f"{metrics['ap_pixel']:.3f}")


def test_the_page_says_whether_the_adapters_add_anything(measured):
    worse = {"frozen encoder": [0.6, 0.6]}
    figures = {
        ("0.1", "ms3"): measured([0.5, 0.5], [0.52, 0.52], **worse),
        ("0.3", "ms3"): measured([0.7, 0.7], [0.72, 0.72], [0.71, 0.71], **worse),
        ("0.5", "ms3"): measured([0.9, 0.9], [0.9, 0.9]),  # nothing to compare with
    }
    text = markdown_text(Filled(table=TABLES["table9"], figures=figures, labels={"0.3": "0.3 here"}))
    section = text.split("## Do the adapters add anything?\n\n")[1].split("\n\n")[0].splitlines()
    assert section[0].startswith("- MS3 mIoU: within noise: 0.1 over frozen encoder -0.090 [seeds ")
    assert section[1].startswith("- MS3 mIoU: yes: 0.3 here over frozen encoder +0.110 [seeds +0.085 to +0.135; clips ")
    assert len(section) == 2
