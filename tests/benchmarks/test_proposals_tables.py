"""The page on mask proposals says what the study's result files say."""

import json

import pytest

from benchmarks.proposals.tables import (
    COARSE,
    PAPER_10,
    THRESHOLDS,
    answers,
    by_objectness,
    controls,
    read,
    table_10,
    tables_2_3,
    told,
    write_page,
)
from benchmarks.proposals.world import KINDS
from moca.segmentation.config import MATCH


def fabricated(model, offset, sources=("boxes", "grid")):
    """Every row that the page needs; the score says which it is."""
    kinds = {}
    for kind, base in (("s4", 0.4), ("ms3", 0.2)):
        rows = {}
        for name in COARSE:
            rows[name] = base + offset
            rows[f"{name}, swapped"] = 0.1
            for source in sources:
                for rule in MATCH:
                    bonus, usual = -0.05 if rule == "iou" else 0.05, MATCH[rule]
                    for threshold in THRESHOLDS:
                        row = f"{name} + {source}, {rule} {threshold}"
                        rows[row] = base + offset + bonus - 0.1 * abs(threshold - usual)
                    for end in ("swapped", "empty"):
                        rows[f"{name} + {source}, {rule} {usual}, {end}"] = 0.15
        for words in ("surest of", "all"):
            rows |= {f"{words} {source}, no sound": 0.12 for source in sources}
        kinds[kind] = {row: {"miou": value, "f": value / 2} for row, value in rows.items()}
    return {"model": model, "frames": 7, **kinds}


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "ceiling of a room"  # a name that must not be taken for a file's
    folder.mkdir()
    for model, offset in (("frozen", 0.0), ("seed 0", 0.1), ("seed 1", 0.2)):
        (folder / f"test-{model.replace(' ', '-')}.json").write_text(json.dumps(fabricated(model, offset)))
    tried = fabricated("seed 0", 0.0, ("boxes", "grid", "boxes from 0.1", "boxes from 0.3"))
    tried["s4"]["coarse + boxes from 0.3, cover 0.5"]["miou"] = 0.777
    (folder / "val-seed-0.json").write_text(json.dumps(tried))
    for split in ("val", "test"):
        ceiling = {kind: {"boxes": 0.91, "grid": 0.82} for kind in KINDS}
        (folder / f"{split}-ceiling.json").write_text(json.dumps(ceiling))
    return folder


def test_results_are_read_split_by_split(results):
    frozen, runs = read(results, "test")
    assert frozen["model"] == "frozen" and [run["model"] for run in runs] == ["seed 0", "seed 1"]
    assert read(results, "val")[0] is None
    assert read(results, "val")[1][0]["s4"]["coarse"]["miou"] == 0.4 != runs[0]["s4"]["coarse"]["miou"]
    assert read(results / "none", "test") == (None, [])


def test_a_cell_is_the_mean_over_seeds_with_its_spread(results):
    frozen, runs = read(results, "test")
    assert told(runs, "s4", "coarse") == "0.550 ± 0.071" and told([frozen], "ms3", "coarse", "f") == "0.100"
    lines = tables_2_3(frozen, runs, "coarse")
    assert lines[2].startswith("| neither: frozen encoder | 0.400 | 0.200 | 0.200 | 0.100 |")
    assert lines[3] == ("| PMA only | 0.550 ± 0.071 | 0.275 ± 0.035 | 0.350 ± 0.071 | 0.175 ± 0.035 | 0.52 / 0.59 |")
    both = next(line for line in lines if line.startswith("| **both**, boxes, iou"))
    assert both.endswith("| 0.57 / 0.62 |") and sum("0.57 / 0.62" in line for line in lines) == 1
    assert len(lines) == 2 + 2 + 12


def test_thresholds_stand_beside_the_papers(results):
    _, runs = read(results, "test")
    lines = table_10(runs, "snapped")
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {threshold}" for threshold in THRESHOLDS]
    assert lines[2] == (
        "| 0.1 | 0.460 ± 0.071 | 0.260 ± 0.071 | 0.560 ± 0.071 | 0.360 ± 0.071 | 0.540 ± 0.071 | 0.340 ± 0.071 "
        "| 0.35 / 0.39 |"
    ) and PAPER_10[0.1] == (0.35, 0.39)


def test_objectness_is_told_source_by_source(results):
    _, runs = read(results, "val")
    lines = by_objectness(runs)
    assert len(lines) == 2 + len(COARSE) * len(MATCH) * 2
    assert "| coarse + boxes from 0.3, cover 0.5 | 0.777 | 0.250 |" in lines
    assert by_objectness(read(results, "test")[1]) == lines[:2]


def test_controls_show_what_proposals_could_reach(results):
    _, runs = read(results, "test")
    text = "\n".join(
        controls(runs, {"s4": {"boxes": 0.91, "grid": 0.82}, "ms3": {"boxes": 0.73, "grid": 0.64}}, "coarse")
    )
    assert (
        "| boxes, chosen by the truth | 0.910 |  | 0.730 |  |" in text
        and "| grid, chosen by the truth | 0.820 |" in text
    )
    assert "| coarse, another frame's sound | 0.100 ± 0.000 |" in text
    assert "| the surest proposal of grid, no sound | 0.120 | 0.060 |" in text


def test_answers_follow_from_the_figures(results):
    frozen, runs = read(results, "test")
    lines = answers(frozen, runs)
    assert len(lines) == 26
    coarse = COARSE["coarse"]
    assert f"- {coarse}, iou: both beat PMA only: **no** (S4 -0.050, MS3 -0.050 mIoU)" in lines
    assert f"- {coarse}, cover: both beat PMA only: **yes** (S4 +0.050, MS3 +0.050 mIoU)" in lines
    assert f"- {coarse}, iou: both beat MPM only: **yes** (S4 +0.150, MS3 +0.150 mIoU)" in lines
    assert f"- {coarse}: PMA alone beats the frozen encoder: **yes** (S4 +0.150, MS3 +0.150 mIoU)" in lines
    assert f"- {coarse}, iou: 0.5 is the best threshold: **yes** (best: S4 0.5, MS3 0.5)" in lines
    assert f"- {coarse}, agreement: 0.7 is the best threshold: **yes** (best: S4 0.7, MS3 0.7)" in lines
    for run in runs:
        run["ms3"]["coarse + boxes, cover 0.5"]["miou"] = 0.0
    lines = answers(frozen, runs)
    assert any(
        line.startswith(f"- {coarse}, cover: both beat PMA only: **on one of the two** (S4 +0.050") for line in lines
    )
    found = next(line for line in lines if line.startswith(f"- {coarse}, cover: 0.5 is the best threshold: **no**"))
    assert "S4 0.5, MS3 0.3" in found


def test_a_page_is_written_of_a_whole_study_only(results, tmp_path):
    page = tmp_path / "page.md"
    for missing in ("test-frozen.json", "val-seed-0.json"):
        text = (results / missing).read_text()
        (results / missing).unlink()
        write_page(results, page)
        assert not page.exists()
        (results / missing).write_text(text)
    write_page(results, page)
    text = page.read_text()
    assert (
        text.startswith("# Mask proposals") and "7 S4-like and 7 MS3-like" in text and "adapters of 2 seed(s)" in text
    )
    assert (
        text.count("| PMA only |") == 2
        and text.count("| threshold |") == 4
        and "Coarse masks snapped to edges (GrabCut):" in text
    )
    assert page.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    first = json.loads((results / "test-seed-0.json").read_text())
    first["s4"]["coarse"]["miou"] = 0.9
    (results / "test-seed-0.json").write_text(json.dumps(first))
    write_page(results, page)
    assert "0.750 ± 0.212" in page.read_text() and "0.750 ± 0.212" not in text
