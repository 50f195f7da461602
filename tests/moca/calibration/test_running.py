"""A whole calibration: settings that do what they promise on the pairs they were read off."""

from dataclasses import replace

import numpy as np
import pytest

from moca.calibration.collecting import collect
from moca.calibration.config import CalibrationConfig
from moca.calibration.fitting import RATES, fit, level_at
from moca.calibration.gates import heat_range
from moca.calibration.pairs import MATCHING, NOISE, OFFSCREEN, SILENT, SWAPPED
from moca.calibration.running import calibrate_videos
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig

CONFIG = CalibrationConfig(frames=100, false_positive_rate=0.1)
BASE = SegmentConfig(sounding="level", refine=True, silence_dbfs=-50.0)


@pytest.fixture
def blurred(fakes):
    """A scorer whose scores are blurred, so that matching and other pairs overlap; blurred(gates)."""

    class Blurred(fakes.Scorer):
        def score(self, steps):
            found = super().score(steps)
            keys = [
                int(1e6 * abs(float(step.audio[7]))) + 1000 * int(step.frame[0, 0, 0]) + step.index for step in steps
            ]
            noise = np.array([np.random.default_rng(key).normal(0, 0.4, len(self.gates)) for key in keys])
            return found._replace(scores=found.scores + noise)

    return lambda *gates: Blurred(gates=gates or ("gate",), config=BASE)


@pytest.mark.parametrize("gates", [("gate",), ("gate", "gate_frozen")])
def test_the_gates_do_on_the_pairs_what_the_record_says(fakes, tmp_path, blurred, gates):
    scorer, others = blurred(*gates), [fakes.Video(name=f"o{n}", number=100, heard=120 + n) for n in range(5)]
    found = calibrate_videos(
        "fake", {"segment": scorer}, fakes.videos(14), fakes.reading, CONFIG, tmp_path / "k", offscreen=others
    )
    part, record = found.record.segment, found.record
    assert record.frozen_segment == part and record.rate == 0.1 and record.model == "fake"
    collected = collect({"segment": scorer}, fakes.videos(14), fakes.reading, CONFIG, tmp_path / "k", offscreen=others)
    bar = [getattr(part.settings, gate) for gate in gates]
    passing = {
        kind: float((collected.of("segment", kind).scores >= bar).all(1).mean())
        for kind in (MATCHING, SWAPPED, NOISE, SILENT, OFFSCREEN)
    }
    assert part.chosen.recall == pytest.approx(passing.pop(MATCHING)) and part.chosen.classes == pytest.approx(passing)
    rated = [passing[kind] for kind in (SWAPPED, NOISE, OFFSCREEN)]
    assert np.mean(rated) <= 0.1
    assert part.chosen.false_positives == pytest.approx(np.mean(rated)) and passing[SILENT] == 0
    assert 0 < part.chosen.recall < 1 and part.pairs[SWAPPED] == part.pairs[MATCHING] - 4
    assert {row.rate for row in part.table} == {*RATES, 0.1}
    assert [row.recall for row in part.table] == sorted(row.recall for row in part.table)


def test_level_and_heat_are_of_negatives_and_of_matching_pairs(fakes, tmp_path, blurred):
    found = calibrate_videos("fake", {"segment": blurred()}, fakes.videos(14), fakes.reading, CONFIG, tmp_path)
    settings, collected = found.record.segment.settings, found.collected
    reached = [(collected.of("segment", kind).agreement >= settings.level).mean() for kind in (SWAPPED, NOISE)]
    lower = [(collected.of("segment", kind).agreement >= settings.level - 0.02).mean() for kind in (SWAPPED, NOISE)]
    assert np.mean(reached) <= 0.1 < np.mean(lower)
    heats = heat_range(collected.of("segment", MATCHING).agreement)
    assert (settings.heat_low, settings.heat_high) == heats
    changed = {"gate", "level", "heat_low", "heat_high"}
    assert replace(settings, **{name: getattr(BASE, name) for name in changed}) == BASE


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_a_level_is_the_lowest_that_few_enough_patches_reach(rate):
    generator = np.random.default_rng(0)
    patches = {"a": generator.normal(0, 0.2, (50, 4, 4)), "b": generator.normal(0.2, 0.1, (10, 4, 4))}
    level = level_at(rate, patches)

    def share(bar):
        return np.mean([(values >= bar).mean() for values in patches.values()])

    assert share(level) <= rate < share(level - 0.01)
    assert level_at(0.5, {"a": np.full((2, 2, 2), 3.0)}) == 1.0  # beyond what a level can be


def test_both_models_are_calibrated_on_the_same_pairs(fakes, tmp_path, blurred):
    scorers = {"segment": blurred("gate", "gate_frozen"), "frozen_segment": fakes.Scorer(config=SegmentConfig())}
    found = calibrate_videos("fake", scorers, fakes.videos(14), fakes.reading, CONFIG, tmp_path)
    assert found.record.segment.settings.gate_frozen > -1 == found.record.frozen_segment.settings.gate_frozen
    assert found.record.frozen_segment.chosen.recall == 1 and found.record.segment.area < 1
    assert list(found.fitted) == ["segment", "frozen_segment"]


def test_what_was_left_out_and_what_is_rough_is_said(fakes, tmp_path):
    videos = [
        *fakes.videos(6),
        fakes.Video(name="still", number=1, heard=0),
        fakes.Video(name="bad", number=2, broken=True),
    ]
    found = calibrate_videos("fake", {"segment": fakes.Scorer()}, videos, fakes.reading, CONFIG, tmp_path)
    data = found.record.data
    assert (data["videos"], data["frames"], data["offscreen_videos"]) == (6, 24, 0)
    assert data["without_sound"] == ["still"] and list(data["broken"]) == ["bad"] and len(data["fingerprint"]) == 16
    assert [note.split(";")[0].split(":")[0] for note in found.notes] == [
        "Only 24 frames with sound",
        "Off-screen sound was not looked at",
    ]


def test_few_frames_and_a_single_video_are_refused(fakes, tmp_path):
    def refusal(videos, **more):
        with pytest.raises(InputError) as caught:
            calibrate_videos("fake", {"segment": fakes.Scorer()}, videos, fakes.reading, CONFIG, tmp_path, **more)
        return str(caught.value)

    assert refusal([*fakes.videos(4), fakes.Video(name="still", number=1, heard=0)]) == (
        "calibration needs at least 20 frames with sound of at least 2 videos, got 16 of 4 (1 without sound); add "
        "videos that can be heard, or raise --steps-per-video."
    )
    assert "got 10 of 1; add" in refusal([fakes.Video(name="one", number=30, count=40)])
    assert refusal(fakes.videos(6), offscreen=[fakes.Video(name="o", number=1, heard=0)]) == (
        "off-screen videos must have sound, none of 1 has; leave --offscreen out, or give others."
    )


def test_a_rate_that_no_gate_reaches_is_refused(fakes, tmp_path):
    class Deaf(fakes.Scorer):
        def score(self, steps):
            found = super().score(steps)
            return found._replace(scores=np.ones_like(found.scores))

    collected = collect({"segment": Deaf()}, fakes.videos(6), fakes.reading, CONFIG, tmp_path)
    with pytest.raises(InputError) as caught:
        fit("segment", Deaf(), collected, 0.05)
    assert str(caught.value) == (
        "false_positive_rate must be above 1.000 for segment, got 0.05: as many of the sounds that do not belong "
        "score as high as the best that does; choose a higher rate, or another model."
    )
