"""What is written is what was found, and reads back as it was."""

import csv
import json
import math

import pytest

from moca.errors import InputError
from moca.evaluation import Localisation, Segmentation, evaluate, read_results, restored, write_results
from moca.metrics.robustness import COLUMNS


@pytest.fixture
def results(world):
    extras = {"silence": [world.FakeClip("still", 0.0)]}
    return {
        "ours": evaluate(world.Listener(), world.clips(), controls=("muted",), extras=extras, data={"name": "fake"}),
        "a|b": evaluate(world.Listener(scale=3), [world.FakeClip("a", 0.3, annotated=1)]),
    }


def test_results_are_written_as_json_markdown_and_csv(tmp_path, results):
    paths = write_results(tmp_path / "out", results)
    assert [path.name for path in paths] == ["results.json", "results.md", "results.csv"]
    assert sorted((tmp_path / "out").iterdir()) == sorted(paths)
    table = paths[1].read_text().splitlines()
    assert table[2].startswith("| method | control | mIoU, batch 1 | F, batch 1 | mIoU, batch 4 | F, batch 4 | F, ba")
    assert table[4].startswith("| ours | none | 1.0000 [1.0000, 1.0000] | 1.0000 [1.0000, 1.0000] |")
    assert table[5].startswith("| ours | muted | ")
    assert table[6].startswith("| a\\|b | none | 0.3333 |") and "| n/a |" in table[6]
    assert table[-14:] == [
        "## False positives",
        "",
        "| method | nothing seen sounds | clips | FPR | false alarms | G-mIoU |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| ours | muted | 6 | 0.0000 [0.0000, 0.0000] | 0.0000 [0.0000, 0.0000] | 1.0000 [1.0000, 1.0000] |",
        "| ours | silence | 1 | 0.0000 | 0.0000 | 1.0000 |",
        "",
        *(f"- {column.title}: {column.meaning}." for column in COLUMNS.values()),
        "",
        "In brackets: 95 % bootstrap intervals, clips resampled 1,000 times.",
        "",
        "No control was run for: a|b.",
    ]
    rows = list(csv.DictReader(paths[2].open()))
    named = [("ours", "none"), ("ours", "muted"), ("a|b", "none"), ("ours", "false positives: silence")]
    assert [(row["method"], row["control"]) for row in rows] == named
    muted = results["ours"].controls["muted"]
    assert float(rows[1]["miou_batch1"]) == muted.metrics["miou_batch1"]
    assert (float(rows[1]["f_batch4_low"]), float(rows[1]["f_batch4_high"])) == muted.intervals["f_batch4"]
    assert rows[2]["false_positive_area"] == rows[2]["miou_batch1_low"] == ""


def test_what_was_written_reads_back_the_same(tmp_path, results):
    path, *_ = write_results(tmp_path, results)
    found = read_results(path)
    assert list(found) == ["ours", "a|b"] and math.isnan(found["a|b"].metrics["false_positive_area"])
    assert found["ours"] == results["ours"]  # every field, controls and false positives too
    assert found["a|b"].to_json() == results["a|b"].to_json() != results["ours"].to_json()
    assert read_results(tmp_path)["ours"] == found["ours"]


def test_the_file_says_what_made_it(tmp_path, results):
    text = write_results(tmp_path, results)[0].read_text()
    stored = json.loads(text)
    ours = stored["results"]["ours"]
    assert stored["format"] == 2 and ours["packages"]["numpy"] and ours["version"]
    assert (ours["method"], ours["settings"], ours["licence"]) == ("listener", {"strength": 1}, "free")
    assert ours["bootstrap"] == {"samples": 1000, "seed": 0} and ours["data"]["name"] == "fake"
    assert ours["data"]["clips"] == 6 and len(ours["data"]["fingerprint"]) == 24
    assert stored["results"]["a|b"]["metrics"]["false_positive_area"] is None
    lines = [line for line in text.splitlines() if line.lstrip().startswith('{"name": "clip0"')]
    assert len(lines) == 2  # a line for every clip, here of the method and of its control
    assert "version" not in ours["controls"]["muted"]  # it is said once


def test_every_metric_can_be_computed_again_from_the_clips(tmp_path, results):
    for result in read_results(write_results(tmp_path, results)[0]).values():
        for measured in (result, *result.controls.values(), *result.false_positives.values()):
            again = measured.measured_by.metrics([clip.sums for clip in measured.clips])
            assert again.keys() == measured.metrics.keys()
            assert again == pytest.approx(measured.metrics, abs=0, nan_ok=True)


def test_a_protocol_is_restored_from_what_is_stored():
    protocol = restored(json.loads(json.dumps(Segmentation((2, 3)).settings)))
    assert isinstance(protocol, Segmentation) and protocol.batch_videos == (2, 3)
    assert isinstance(restored(Localisation().settings), Localisation)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{path} must be a results.json, it cannot be read (No such file or directory); "),
        ("{", "{path} must be a results.json, it cannot be understood; "),
        ("[]", "{path} must be a results.json, it cannot be understood; "),
        ('{"format": 2, "results": {"a": {}}}', "{path} must be a results.json, it cannot be understood; "),
        ('{"format": 1, "results": {}}', "{path} must have format 2, got 1; "),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as refusal:
        read_results(path)
    assert str(refusal.value) == message.format(path=path) + "evaluate the method again."


def test_nothing_and_mixed_protocols_make_no_table(tmp_path, world):
    result = evaluate(world.Listener(), world.clips())
    mixed = {"a": result, "b": type(result)(**{**vars(result), "protocol": {"name": "localisation"}})}
    for given, message in (
        ({}, "a table needs at least 1 result, got 0; evaluate a method first."),
        (mixed, "a table holds results of one protocol, got localisation, segmentation; write one table for each."),
    ):
        with pytest.raises(InputError) as refusal:
            write_results(tmp_path / "out", given)
        assert str(refusal.value) == message and not (tmp_path / "out").exists()
