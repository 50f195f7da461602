import json
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
import pytest

from moca.baselines.training_free import Regions, TrainingFree, TrainingFreeConfig, as_result
from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config(TrainingFreeConfig):
    level: float = 0.5


class Bright(TrainingFree):
    """Everything above a level sounds."""

    name, config_class, roles = "bright", Config, ()

    def find(self, pictures, steps):
        for picture in pictures:
            assert picture.shape == (self.config.side, self.config.side, 3)
            mask = picture[..., 0] > 255 * self.config.level
            if mask.any():
                yield Regions(masks=mask[None], scores=np.array([0.8]), score=0.8)
            else:
                yield Regions.none("all is dark", 0.1)


@pytest.fixture
def method(card):
    return Bright(Config(), card)


def test_results_come_in_order_at_the_frames_own_size(method, make_step):
    sizes, marks = [(48, 64), (224, 224), (300, 500)] * 4, [(4, 6, 24, 30, 255)]
    sounds = ["silence" if i == 5 else "tone" for i in range(12)]
    steps = [make_step(i, size=sizes[i], marks=marks, audio=sounds[i]) for i in range(12)]
    results = list(method.segment_steps(iter(steps)))
    assert [result.index for result in results] == list(range(12))
    for result, step in zip(results, steps, strict=True):
        truth = step.frame[..., 0] > 0
        assert result.mask.shape == result.heat.shape == truth.shape and result.mask.dtype == bool
        if step.index == 5:
            assert result.reason == "silent: digital silence, below -60 dBFS" and not result.mask.any()
        else:
            assert (result.mask & truth).sum() / (result.mask | truth).sum() > 0.85  # resizing moves its border
            assert result.reason is None and result.score == 0.8


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (None, "no audio in this step"),
        (np.zeros(16_000, np.float32), "silent: digital silence, below -60 dBFS"),
        (np.ones(100, np.float32), "less than 50 ms of audio"),
    ],
)
def test_nothing_to_hear_is_said_as_the_segmenter_does(method, make_step, audio, reason):
    (result,) = method.segment_steps([make_step(marks=[(0, 0, 50, 50, 255)], audio=audio)])
    assert result.reason == reason and not result.mask.any() and np.isnan(result.score)


def test_the_silence_level_is_a_setting(card, make_step):
    quiet = make_step(marks=[(0, 0, 50, 50, 255)], audio=0.01 * np.sin(np.arange(16_000) / 9).astype(np.float32))
    (heard,) = Bright(Config(), card).segment_steps([quiet])
    (silent,) = Bright(Config(silence_dbfs=-20), card).segment_steps([quiet])
    assert heard.reason is None and silent.reason == "silent: -43 dBFS, below -20 dBFS"


def test_memory_is_bounded_steps_are_pulled_batch_by_batch(method, make_step):
    pulled = []

    def endless():
        for index in count():
            pulled.append(index)
            yield make_step(index, size=(8, 8))

    assert len(list(islice(method.segment_steps(endless()), 3))) == 3 and len(pulled) == 8
    assert list(method.segment_steps([])) == []


def test_the_heat_of_a_pixel_is_the_best_score_over_it(make_step):
    masks = np.zeros((3, 224, 224), bool)
    masks[0, :100], masks[1, 50:150], masks[2, :, :20] = True, True, True
    regions = Regions(masks=masks, scores=np.array([0.4, 0.9, -0.2]), score=0.9, labels=("a", "b", "c"))
    result = as_result(make_step(), regions)
    assert (result.heat[10, 100], result.heat[70, 100], result.heat[200, 5], result.heat[200, 100]) == (
        np.float32(0.4), np.float32(0.9), 0, 0,
    )  # fmt: skip
    assert [(s.label, s.score) for s in result.segments] == [("b", 0.9), ("a", 0.4), ("c", 0.0)]
    np.testing.assert_array_equal(result.mask, masks.any(0))
    assert as_result(make_step(), replace(regions, labels=None)).segments[0].label is None


def test_a_region_that_vanishes_in_a_small_frame_says_so(make_step):
    masks = np.zeros((1, 224, 224), bool)
    masks[0, 0, 0] = True
    small = as_result(make_step(size=(12, 12)), Regions(masks=masks, scores=np.array([0.9]), score=0.9))
    assert small.reason == "what goes with the sound is smaller than a pixel" and not small.heat.any()
    assert as_result(make_step(), Regions(masks=masks, scores=np.array([0.9]), score=0.9)).mask.sum() == 1


def test_a_reason_is_passed_on_with_its_score(method, make_step):
    (result,) = method.segment_steps([make_step()])
    assert (result.reason, result.score) == ("all is dark", 0.1) and not result.mask.any() and not result.heat.any()


def test_settings_are_json_and_tell_runs_apart(method, card):
    assert json.loads(json.dumps(method.settings)) == {
        "model": "tiny",
        "fingerprints": {"masks": "12ab"},
        "licence": "none",
        "config": {"side": 224, "silence_dbfs": -60.0, "level": 0.5},
    }
    assert Bright(Config(level=0.4), card).settings != method.settings
    assert (method.notice, method.licence) == ("made of stand-ins", "none")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"side": 8}, "side must be a whole number between 16 and 4096, got 8; change it."),
        ({"side": 224.0}, "side must be a whole number between 16 and 4096, got 224.0; change it."),
        ({"silence_dbfs": 1}, "silence_dbfs must be a number of at most 0 dBFS, got 1; change it."),
    ],
)
def test_ranges(settings, line):
    with pytest.raises(InputError) as caught:
        Config(**settings)
    assert str(caught.value) == line
