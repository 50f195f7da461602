"""The study's tables say what its result files say, and its scores mean what they are called."""

import json

import numpy as np
import pytest

from benchmarks.learning.__main__ import jobs
from benchmarks.learning.claims import claims
from benchmarks.learning.rows import CLASS_LABELS, ROWS, for_encoder
from benchmarks.learning.scoring import standing
from benchmarks.learning.tables import TWINS, fill, load, sections, segmentation, twins


def result(row, seed, s4, encoder="dense"):
    scores = {"own": {"iou": s4, "pointing": 0.5}, "adapters swapped": {"iou": 0.1}}
    false = {kind: {"area": 0.01} for kind in ("silent", "noise", "offscreen")}
    return {"encoder": encoder, "row": row, "seed": seed, "test": {"s4": scores, "ms3": scores, "false": false}}


@pytest.fixture
def results(tmp_path):
    for row, seed, s4 in (("moca", 0, 0.4), ("moca", 1, 0.5), ("frozen", 0, 0.3)):
        path = tmp_path / "dense" / f"{row} - {seed}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result(row, seed, s4)))
    return load(tmp_path)


def test_a_cell_is_the_mean_over_seeds_and_their_spread(results):
    table = segmentation(results, "dense")
    lines = {line[0]: line for line in table.rows}
    assert lines["moca"][1] == "0.450 ± 0.071" and lines["moca"][-1] == "2"
    assert lines["frozen"][1] == "0.300" and lines["frozen"][-1] == "1"


def test_columns_that_nobody_measured_are_left_out(results):
    assert "own sound S4" in segmentation(results, "dense").head
    assert not any("image only" in name for name in segmentation(results, "dense").head)


def test_a_row_that_was_not_run_is_left_out_and_twins_say_so(results):
    assert [line[0] for line in segmentation(results, "dense").rows] == ["frozen", "moca"]
    assert segmentation(results, "class").rows == []
    shown = {(line[0], line[1]): line for line in twins(results).rows}
    assert shown["Table 5, adapters", "4 adapters (of 6 blocks)"][2:] == ["0.450 ± 0.071", "0.450 ± 0.071", "2"]
    assert shown["Table 4, loss", "SSD alone"][2:] == ["", "", "0"]


def test_only_what_lies_between_the_markers_changes(results, tmp_path):
    page = "a\n<!-- twins:begin -->\nold\n<!-- twins:end -->\nb <!-- other:begin -->kept<!-- other:end -->"
    filled = fill(page, sections(results, tmp_path))
    assert filled.startswith("a\n<!-- twins:begin -->\n| twin") and "old" not in filled and "kept" in filled
    assert fill(filled, sections(results, tmp_path)) == filled


def test_every_twin_is_a_row():
    assert {name for names in TWINS.values() for name in names} <= set(ROWS)


def test_main_rows_come_first_and_frozen_ones_once():
    found = jobs([0, 1], None)
    full = [ROWS[name].scored == "all" for _, name, _ in found]
    assert full == sorted(full, reverse=True) and len(set(found)) == len(found)
    assert ("dense", "frozen", 0) in found and ("dense", "frozen", 1) not in found
    assert jobs([0], ["moca"]) == [("dense", "moca", 0), ("class", "moca", 0)]


def test_a_class_token_encoder_is_read_where_it_says_something():
    row = for_encoder(ROWS["moca"], "class", seed=3)
    assert row.config.labels.reading == CLASS_LABELS["reading"] and row.reading is None and row.config.seed == 3
    assert for_encoder(ROWS["paper"], "class", seed=0).reading == CLASS_LABELS["reading"]
    assert for_encoder(ROWS["moca"], "dense", seed=0).config.labels.reading is None


def test_standing_is_that_of_the_weakest_kind_of_support():
    reference = [np.arange(10.0), np.arange(10.0)]
    low, high = standing([np.array([5.0, 9.0]), np.array([2.0, 9.0])], reference)
    assert low == pytest.approx(0.2, abs=0.01) and high == pytest.approx(0.9, abs=0.01)


def test_claims_are_differences_of_means_with_their_verdict(results):
    found = {(line[0], line[1]): line[2:] for line in claims(results)}
    assert found["the same, neither snapped", "S4"] == ["0.10", "0.150", "met"]
    assert found["dense: cost of another sound in the adapters alone", "MS3"] == ["0.06", "0.350", "met"]
    assert not any("snapped)" in words for words, _ in found)  # nobody measured it
    assert not any("class" in words for words, _ in found)
    area = next(line for line in claims(results) if "false-positive" in line[0])
    assert area[2:] == ["0.02", "0.010", "met"]
