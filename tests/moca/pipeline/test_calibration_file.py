"""The file of a calibration: what goes in comes out, what is not exactly it is refused, and it is for one model."""

import json
from dataclasses import replace

import pytest

from moca.errors import InputError
from moca.pipeline.calibration_file import Calibration, Part, Row, read_calibration, settings_for, write_calibration
from moca.segmentation.config import SegmentConfig


def part(gate: float, **fingerprints: str) -> Part:
    row = Row(rate=0.05, false_positives=0.04, recall=0.9, gates={"gate": gate}, classes={"swapped": 0.04})
    return Part(
        settings=SegmentConfig(gate=gate, heat_low=-0.1),
        fingerprints={"encoder": "e1", **fingerprints},
        by_crops=False,
        pairs={"matching": 30, "swapped": 28},
        area=0.95,
        areas={"swapped": 0.95},
        chosen=row,
        table=(row, replace(row, rate=0.1)),
    )


@pytest.fixture
def calibration() -> Calibration:
    return Calibration(
        model="mini",
        rate=0.05,
        data={"videos": 3, "without_sound": [], "broken": {}, "fingerprint": "d1"},
        segment=part(0.7, adapters="a1"),
        frozen_segment=part(0.3),
    )


def test_what_is_written_reads_back_the_same(calibration, tmp_path):
    write_calibration(tmp_path / "deep" / "c.json", calibration)
    assert read_calibration(tmp_path / "deep" / "c.json") == calibration
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.json"]


def damaged(document, change):
    target, *keys, last = [document, *change[0]]
    for key in keys:
        target = target[key]
    if change[1] is None:
        del target[last]
    else:
        target[last] = change[1]
    return document


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((["kind"], "table"), "{path} must be what moca calibrate wrote, it is something else; "),
        ((["format"], 2), "{path} must have format 1, got 2; "),
        ((["colour"], "red"), "{path} cannot be used: unknown keys: colour; "),
        ((["model"], None), "{path} cannot be used: missing keys: model; "),
        ((["rate"], 1.5), "{path} cannot be used: rate must be a number above 0 and below 1, got 1.5; "),
        ((["segment", "settings", "gate"], None), "the segment configuration has missing keys: gate; "),
        ((["segment", "settings", "gate"], "high"), "got 'high'; "),
        ((["segment", "settings", "hat"], 1), "the segment configuration has unknown keys: hat; "),
        ((["segment", "chosen", "recall"], None), "{path} cannot be used: missing keys: recall; "),
        (
            (["frozen_segment", "fingerprints"], {}),
            "frozen_segment must name the fingerprint of its encoder, got {{}}; ",
        ),
        ((["segment"], 3), "it needs an object with area, "),
    ],
)
def test_what_is_not_exactly_a_calibration_is_refused(calibration, tmp_path, change, words):
    path = tmp_path / "c.json"
    write_calibration(path, calibration)
    path.write_text(json.dumps(damaged(json.loads(path.read_text()), change)))
    with pytest.raises(InputError) as refusal:
        read_calibration(path)
    message = str(refusal.value)
    assert words.format(path=path) in message and message.startswith(f"calibration {path} ") and "\n" not in message


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read (No such file"), ("{", "must be JSON"), ("[]", "is someth")]
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "c.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"calibration .*; make it again with moca calibrate") as refusal:
        read_calibration(path)
    assert words in str(refusal.value)


def test_settings_are_those_of_the_model_as_it_is_and_without_adapters(calibration):
    full, frozen = calibration.segment.settings, calibration.frozen_segment.settings
    prints = {"encoder": "e1", "adapters": "a1", "masks": "m1"}
    assert settings_for(calibration, "c", prints, adapted=True) == (full, frozen)
    assert settings_for(calibration, "c", {"encoder": "e1"}, adapted=False) == (frozen, frozen)


@pytest.mark.parametrize(
    ("prints", "words"),
    [
        ({"encoder": "e2", "adapters": "a1"}, "encoder e1, this model's is e2"),
        ({"encoder": "e1", "adapters": "a2"}, "adapters a1, this model's is a2"),
        ({"adapters": "a1"}, "encoder e1, this model's is none"),
    ],
)
def test_another_model_is_refused(calibration, prints, words):
    with pytest.raises(InputError) as refusal:
        settings_for(calibration, "c.json", prints, adapted=True)
    assert str(refusal.value) == (f"calibration c.json is for mini with {words}; calibrate it with moca calibrate.")


def test_a_calibration_without_adapters_is_not_for_a_model_with_some(calibration):
    frozen_alone = replace(calibration, segment=calibration.frozen_segment)
    with pytest.raises(InputError, match="is for mini without adapters, and this model has some"):
        settings_for(frozen_alone, "c", {"encoder": "e1", "adapters": "a1"}, adapted=True)


def test_gates_of_crops_are_for_the_rule_crops_alone(calibration):
    prints, crops = {"encoder": "e1", "adapters": "a1"}, replace(calibration.segment, by_crops=True)
    by_crops = replace(calibration, segment=crops)
    assert settings_for(by_crops, "c", prints, adapted=True, by_crops=True)[0] == crops.settings
    with pytest.raises(InputError) as refusal:
        settings_for(by_crops, "c", prints, adapted=True)
    assert str(refusal.value) == (
        "calibration c is for gates that ask crops of proposals, here they ask patches; add --rule crops, or calibrate "
        "again."
    )
    with pytest.raises(InputError, match="ask patches, here they ask crops of proposals; choose another --rule"):
        settings_for(calibration, "c", prints, adapted=True, by_crops=True)
