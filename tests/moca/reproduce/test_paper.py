"""The printed numbers, and what follows from them."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from moca.evaluation.datasets import DATASETS
from moca.reproduce import TABLES, paper
from moca.reproduce.specs import blocks_here
from moca.reproduce.tables import BOTH, PAPER_RUN

CASES = [
    ("table1", "AT-GDINO-SAM", "s4", (0.38, 0.46)),
    ("table1", "OWOD-BIND", "avss", (0.26, 0.29)),
    ("table1", "MoCA", "ms3", (0.57, 0.62)),
    ("table2-3", "EZ-VSL and MPM", "ms3", (0.43, None)),
    ("table4", "NCC", "ms3", (0.44, 0.59)),
    ("table5", "2", "s4", (0.60, 0.69)),
    ("table6", "first", "s4", (0.67, 0.78)),
    ("table8", "EZ-VSL", "vggss", (0.389, 0.395)),
    ("table9", "0.5", "ms3", (0.56, 0.58)),
    ("table10", "0.3", "ms3", (0.48, 0.48)),
]


@pytest.mark.parametrize(("table", "row", "data", "numbers"), CASES)
def test_numbers_are_those_of_the_paper(table, row, data, numbers):
    printed = TABLES[table].paper
    assert (printed.value(row, data, 0), printed.value(row, data, 1)) == numbers


def test_what_is_not_printed_is_none():
    assert paper.TABLE_1.value("AV-SAM (supervised)", "ms3", 0) is None
    assert paper.TABLE_1.value("AV-SAM (supervised)", "s4", 1) == 0.56
    assert paper.TABLE_9.value("0.3", "s4", 0) is None  # a data set that the table does not have
    assert paper.TABLE_9.value(None, "ms3", 0) is None


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_fits_together(table):
    assert table.data == table.paper.data and set(table.data) <= set(DATASETS)
    labels = [row.label for row in table.rows]
    assert len(set(labels)) == len(labels)
    assert {row.paper for row in table.rows} - {None} == set(table.paper.rows)
    for printed in table.paper.rows.values():
        assert len(printed.split()) == len(table.data)
    assert table.trends and {label for trend in table.trends for pair in trend.pairs for label in pair} <= set(labels)
    assert all(set(trend.data) <= set(table.data) for trend in table.trends)
    assert re.fullmatch(r"arXiv 2403\.14203, tables? .*", table.paper.source)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_papers_own_numbers_bear_out_every_trend(table):
    rows = {row.label: row.paper for row in table.rows}
    for trend in table.trends:
        for data in trend.data:
            for better, worse in trend.pairs:
                first, second = (table.paper.value(rows[label], data, 0) for label in (better, worse))
                assert first > second, (trend.words, data, better, worse)


def test_tables_share_the_runs_they_have_in_common():
    def run(table, label):
        return next(row.run for row in TABLES[table].rows if row.label == label)

    assert run("table4", "SSD and NCC") is run("table5", "6") is run("table6", "last") is run("table9", "0.3")
    assert run("table4", "SSD and NCC") is PAPER_RUN
    assert run("table1", "MoCA") is run("table2-3", "PMA and MPM") is run("table10", "0.5") is BOTH
    assert run("table4", "SSD") is not PAPER_RUN and run("table10", "0.3") is not BOTH


def test_a_name_stands_for_one_run_and_one_training():
    runs = [row.run for table in TABLES.values() for row in table.rows if row.run is not None]
    for named in (runs, [run.training for run in runs if run.training is not None]):
        by_name = {}
        for item in named:
            assert by_name.setdefault(item.name, item) == item
        found = list(by_name.values())
        contents = [repr(replace(item, name="")) for item in found]
        assert len(set(contents)) == len(found) > 5  # no content under two names
        assert all(Path(name).name == name for name in by_name)


def test_blocks_of_a_trunk_keep_the_papers_order():
    assert [blocks_here(count, 6) for count in (2, 4, 6)] == [2, 4, 6]
    assert [blocks_here(count, 4) for count in (2, 4, 6)] == [1, 3, 4]
    for default in range(1, 7):
        found = [blocks_here(count, default) for count in (2, 4, 6)]
        assert all(low <= high for low, high in pairwise(found)) and found[0] >= 1 and found[-1] == default
