"""The benchmark of metrics compares like with like, and says so where it does not."""

import json
import sys

import pytest

from benchmarks import metrics


def test_every_kind_of_scoring_is_measured_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metrics", "--clips", "2", "--reference-clips", "1", "-o", str(tmp_path)])
    metrics.main()
    found = json.loads((tmp_path / "bench_metrics.json").read_text())
    assert [row["kind"] for row in found["rows"]] == ["masks", "labels", "boxes"]
    assert (found["clips"], found["reference_clips"]) == (2, 1)
    assert found["total_s"] == pytest.approx(sum(row["score_s"] + row["table_s"] for row in found["rows"]))
    assert all(row["ratio"] > 0 for row in found["rows"]) and "all metrics: " in capsys.readouterr().out


def test_another_metric_than_the_reference_is_not_timed(monkeypatch):
    ours, reference, common = metrics.KINDS["boxes"]
    monkeypatch.setitem(metrics.KINDS, "boxes", (ours, lambda *given: [v + 1e-5 for v in reference(*given)], common))
    with pytest.raises(SystemExit, match=r"^boxes: the reference gives .*: not the same metric$"):
        metrics.measure(1, 1)
