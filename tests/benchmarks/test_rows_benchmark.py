"""What a row of the catalogue takes: added up from its parts, and told by part where it was run."""

from types import SimpleNamespace

import pytest

from benchmarks import rows
from moca.foundation.catalogue import CATALOGUE, SEGMENTING
from moca.foundation.manifest import needed_entries


def part(name, number):
    return {
        "model": name, "weights_gib": number, "peak_gib": 2 * number + 1, "seconds": 10 * number, "threads": 2
    }  # fmt: skip


@pytest.fixture
def parts():
    names = {row.entry(role) for row in CATALOGUE.values() for role in SEGMENTING} - {"mini"}
    names = sorted({rows.SAME_SIZE.get(name, name) for name in names})
    return {name: part(name, number + 1) for number, name in enumerate(names)}


@pytest.mark.parametrize("model", [name for name, row in CATALOGUE.items() if not row.bundled])
def test_weights_and_seconds_add_up_and_the_largest_work_counts(parts, model):
    found = rows.expected(model, parts)
    used = [parts[rows.SAME_SIZE.get(name := CATALOGUE[model].entry(role), name)] for role in SEGMENTING]
    assert found["weights_gib"] == sum(each["weights_gib"] for each in used)
    assert found["seconds"] == sum(each["seconds"] for each in used)
    assert found["work_gib"] == max(each["weights_gib"] for each in used) + 1
    assert found["slim_gib"] == found["weights_gib"] - parts["imagebind-huge"]["weights_gib"] / 2
    assert found["download"] == sum(entry.size for entry in needed_entries(model)) > 5e9


def test_every_part_is_measured_by_the_benchmark_of_models(parts):
    from benchmarks.models import MODELS

    assert set(parts) <= set(MODELS)
    text = rows.expected_markdown([rows.expected("huge", parts)])
    assert text.splitlines()[2].startswith("| huge | 8.3 GB | ") and text.endswith(
        "see\n[bench_models.md](bench_models.md).\n"
    )


def test_a_clock_counts_calls_and_seconds(monkeypatch):
    ticks = iter([0.0, 2.0, 10.0, 11.0])
    monkeypatch.setattr(rows.time, "perf_counter", lambda: next(ticks))
    owner, clock = SimpleNamespace(double=lambda x: 2 * x), rows.Clock()
    clock.watch(owner, "double", "doubling")
    clock.watch(owner, "absent", "nothing")
    assert (owner.double(2), owner.double(3)) == (4, 6)
    assert (clock.seconds, clock.calls) == ({"doubling": 3.0}, {"doubling": 2})


def test_a_run_is_told_by_part():
    row = {
        "model": "huge", "weights": "random", "steps": 2, "peak_gib": 8.25, "load_s": 30.4, "seconds_per_step": 50.0,
        "cpu_s": 90.2,
        "proposals": [3, 4], "parts_s": {"SAM, frame": 80.0}, "parts_calls": {"SAM, frame": 2},
    }  # fmt: skip
    lines = rows.markdown([row]).splitlines()
    assert lines[2] == "| huge, random weights | 2 | 8.2 GiB | 30 s | 50.0 s | 4 | 90 s |"
    assert lines[-1] == "| huge | SAM, frame | 40.0 | 80% | 1.0 |"
