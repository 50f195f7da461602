"""What a result says of clips in which nothing seen sounds: numbers, intervals, files, comparisons."""

import csv
import json
from dataclasses import replace

import pytest

from moca.cli.compare import command as compare
from moca.evaluation import evaluate, read_results, robustness_of, write_results
from moca.metrics.robustness import robustness


@pytest.fixture
def result(world):
    extras = {"noise": [world.FakeClip(f"noise{i}", 0.1 * i) for i in range(4)], "still": [world.FakeClip("s", 0.0)]}
    return evaluate(world.Listener(), world.clips(), controls=("muted", "swapped"), extras=extras)


def test_every_kind_is_measured_against_the_own_sound(result):
    found = robustness_of(result)
    assert list(found) == ["muted", "swapped", "noise", "still"]
    own = [clip.sums for clip in result.clips]
    for name, measured in {**result.controls, **result.false_positives}.items():
        assert found[name].metrics == robustness([clip.sums for clip in measured.clips], own)
        assert found[name].clips == len(measured.clips)
    # Listener's masks are exact; it hears nothing in silence, and masks 2 of 3 frames of every clip with sound.
    assert found["muted"].metrics == {"fpr": 0, "false_alarms": 0, "g_miou": 1}
    assert found["swapped"].metrics["false_alarms"] == pytest.approx(2 / 3)
    assert found["swapped"].metrics["g_miou"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["noise"].metrics["fpr"] == pytest.approx((0 + 1 + 2 + 3) / 6 * 2 / 12)


def test_intervals_hold_the_figure_and_are_drawn_as_the_results_own(result):
    found = robustness_of(result)
    for name in ("swapped", "noise"):
        for metric, (low, high) in found[name].intervals.items():
            assert low <= found[name].metrics[metric] <= high
    assert found["noise"].intervals["fpr"][0] < found["noise"].intervals["fpr"][1]
    assert found["noise"].intervals["fpr"] == result.false_positives["noise"].intervals["mask_area"]
    assert found["swapped"].intervals["false_alarms"] == result.controls["swapped"].intervals["masked_frames"]
    assert found["still"].intervals == {} and robustness_of(replace(result, bootstrap={}))["noise"].intervals == {}


def test_other_protocols_and_earlier_results_have_what_they_can(result):
    clips = tuple(replace(clip, sums={"something": 1}) for clip in result.clips)
    found = robustness_of(replace(result, clips=clips))
    assert "g_miou" not in found["noise"].metrics and found["noise"].metrics["false_alarms"] == pytest.approx(0.5)
    assert robustness_of(replace(result, controls={}, false_positives={})) == {}


def test_variants_of_the_model_are_no_non_matching_pairs(world):
    result = evaluate(world.Listener(), world.clips(), controls=("muted",), variants={"deaf": world.Listener(scale=0)})
    assert list(robustness_of(result)) == ["muted"]


def test_files_have_them(result, tmp_path):
    found = robustness_of(result)
    paths = write_results(tmp_path, {"ours": result})
    stored = json.loads(paths[0].read_text())["robustness"]["ours"]
    assert stored["noise"]["metrics"] == found["noise"].metrics and stored["still"]["intervals"] == {}
    assert read_results(paths[0])["ours"] == result
    rows = {row["control"]: row for row in csv.DictReader(paths[2].open())}
    assert float(rows["false positives: noise"]["g_miou"]) == found["noise"].metrics["g_miou"]
    assert float(rows["swapped"]["g_miou_high"]) == found["swapped"].intervals["g_miou"][1]
    assert rows["none"]["g_miou"] == rows["none"]["g_miou_low"] == ""
    assert float(rows["swapped"]["masked_frames"]) == found["swapped"].metrics["false_alarms"]
    lines = paths[1].read_text().splitlines()
    head = lines.index("| method | nothing seen sounds | clips | FPR | false alarms | G-mIoU |")
    assert [line.split(" | ")[1] for line in lines[head + 2 : head + 6]] == ["muted", "swapped", "noise", "still"]


def test_false_positives_of_two_methods_are_compared(world, result, tmp_path, capsys):
    extras = {"noise": [world.FakeClip(f"noise{i}", 0.1 * i) for i in range(4)]}
    louder = evaluate(world.Listener(scale=30), world.clips(), extras=extras)
    for name, measured in (("a", result), ("b", louder)):
        write_results(tmp_path / name, {name: measured})
    compare(a=tmp_path / "a", b=tmp_path / "b", of_a="noise", of_b="noise", metric="false_positive_area")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "false area (false_positive_area), mean over 4 clips" and lines[1].endswith("  a, noise")
    compare(a=tmp_path / "a", b=tmp_path / "a", of_b="swapped", metric="miou_plain")
    assert "A is better in 6" in capsys.readouterr().out
