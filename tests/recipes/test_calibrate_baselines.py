import json
import sys

import numpy as np
import pytest

from moca.baselines.owod_bind import OwodBind, OwodBindConfig
from moca.core.step import Segment, Step, StepResult
from moca.errors import InputError
from recipes import calibrate_baselines
from recipes.calibrate_baselines import best_of, mean_iou, try_all


def result(*regions):
    """Regions are (rows, score)."""
    segments = tuple(Segment(mask=np.arange(8)[:, None] < np.full(8, rows), score=score) for rows, score in regions)
    blank = np.zeros((8, 8), bool)
    return StepResult(
        index=0, start_s=0, end_s=1, frame_s=0, mask=blank, heat=blank.astype(np.float32), score=0, level_dbfs=0,
        segments=segments,
    )  # fmt: skip


def test_the_threshold_decides_which_segments_count_and_silence_wants_none():
    truths = np.zeros((2, 8, 8), bool)
    truths[0, :4] = True  # in the second frame nothing sounds
    results = [result((4, 0.9), (8, 0.3)), result((2, 0.5))]
    assert mean_iou(results, truths, 0.6) == 1.0
    assert mean_iou(results, truths, 0.4) == 0.5 and mean_iou(results, truths, 0.2) == 0.25


def test_the_best_settings_are_kept_and_of_equal_thresholds_the_middle_one():
    tried = [{"box": 0.2, "bind_threshold": at, "iou": 0.5} for at in (0.1, 0.2, 0.3)]
    other = [{"box": 0.4, "bind_threshold": at, "iou": 0.4} for at in (0.1, 0.2, 0.3)]
    assert best_of(other + tried) == {"box": 0.2, "bind_threshold": 0.2}
    assert best_of([*tried, {"box": 0.4, "bind_threshold": 0.3, "iou": 0.6}]) == {"box": 0.4, "bind_threshold": 0.3}


class Loud(OwodBind):
    """A method whose two regions score 0.5 and 0.3 whatever it is shown."""

    def __init__(self):
        self.config = OwodBindConfig()

    def segment_steps(self, steps):
        assert self.config.bind_threshold == 0.1  # everything is found once, and the threshold swept over it
        for _ in steps:
            yield result((4, 0.5), (8, 0.3))


def test_every_setting_and_threshold_is_tried(monkeypatch):
    monkeypatch.setitem(calibrate_baselines.TRIED, Loud, [{"box_threshold": 0.2}, {"box_threshold": 0.5}])
    monkeypatch.setattr(calibrate_baselines, "BOUND", (Loud,))
    truths = np.zeros((1, 8, 8), bool)
    truths[0, :4] = True
    tried = try_all(Loud(), [None], truths)
    assert len(tried) == 2 * len(calibrate_baselines.COSINES)
    best = best_of(tried)
    assert best["box_threshold"] == 0.2 and 0.3 < best["bind_threshold"] <= 0.5


def test_methods_that_cannot_be_loaded_keep_what_they_had(tmp_path, monkeypatch, capsys):
    class Absent(Loud):
        name = "absent"

        @classmethod
        def load(cls, *_, **__):
            raise InputError("its weights are not there.")

    class Pairs:
        masks = np.zeros((2, 8, 8), np.uint8)

    step = Step(
        index=0, start_s=0, end_s=1, frame_s=0, frame=np.zeros((8, 8, 3), np.uint8), audio=None, sample_rate_hz=16_000
    )
    monkeypatch.setattr(calibrate_baselines, "TRIED", {Absent: []})
    monkeypatch.setattr(calibrate_baselines, "draw_pairs", lambda *_, **__: Pairs)
    monkeypatch.setattr(calibrate_baselines, "steps_of", lambda *_: [step] * 2)
    out = tmp_path / "mini.json"
    before = {"format": 1, "methods": {"absent": {"box_threshold": 0.4}}, "how": {}}
    out.write_text(json.dumps(before))
    monkeypatch.setattr(sys, "argv", ["calibrate", "-o", str(out), "--frames", "2"])
    calibrate_baselines.main()
    assert json.loads(out.read_text()) == before
    assert capsys.readouterr().out == "absent is left as it was: its weights are not there.\n"
    with pytest.raises(SystemExit):
        monkeypatch.setattr(sys, "argv", ["calibrate", "--methods", "magic"])
        calibrate_baselines.main()
