"""Gate and heat range against percentiles taken by hand."""

import dataclasses

import numpy as np
import pytest

from moca.corpus.corpus import corpus_from_arrays
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support
from moca.segmenter import Segmenter
from moca.training.calibrate import HEAT_PERCENTILES, calibrate, joint_gates, steps_of
from moca.training.frozen import sounding_rows

CALIBRATED = ("gate", "gate_frozen", "heat_low", "heat_high")


@pytest.fixture(params=["cosine", "read-out"])
def segmenter(request, pipeline, attach, randomise):
    towers = randomise(attach(8 if request.param == "read-out" else None))
    config = SegmentConfig(sounding="level", level=0.3, mirror=True, gate=-0.9, heat_low=-0.9)
    return Segmenter(dataclasses.replace(pipeline, towers=towers), config=config)


def agreement(segmenter, corpus, rows):
    """(rows, 4, 4), one row at a time."""
    return np.concatenate([segmenter.features(steps_of(corpus, np.array([row])))[1] for row in rows])


def stopped(supports, gates) -> float:
    """Share of the frames that some gate stops."""
    return float(np.any(np.stack(supports) < np.array(gates)[:, None], axis=0).mean())


def test_agrees_with_percentiles_over_sounding_frames(segmenter, corpus):
    settings = calibrate(segmenter, corpus)
    rows = sounding_rows(corpus)
    scores = agreement(segmenter, corpus, rows)
    supports = [scores.max((1, 2))]  # 2.5% of 16 patches is one
    gates = [settings.gate]
    if segmenter.pipeline.towers.readout is not None:
        supports.append(segmenter.frozen_presence(steps_of(corpus, rows)))
        gates.append(settings.gate_frozen)
    else:
        assert settings.gate_frozen == -1  # only a read-out leaves the cosines free to be a gate of their own
    assert gates == pytest.approx(joint_gates(supports), abs=2e-4)
    assert [settings.heat_low, settings.heat_high] == pytest.approx(np.percentile(scores, HEAT_PERCENTILES), abs=1e-4)


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_gates_share_the_highest_percentile_that_stops_no_more_than_allowed(kinds):
    generator = np.random.default_rng(kinds)
    supports = [generator.random(400) for _ in range(kinds)]
    tried = [[np.percentile(values, percent) for values in supports] for percent in np.arange(0, 10, 0.01)]
    expected = [gates for gates in tried if stopped(supports, gates) <= 0.1][-1]
    shared = joint_gates(supports, stopped=10.0)
    assert shared == pytest.approx(expected, abs=1e-3)
    assert 0.08 < stopped(supports, shared) <= 0.105


def test_gates_that_agree_stop_as_many_as_one():
    values = np.random.default_rng(0).random(400)
    assert joint_gates([values, values, values]) == joint_gates([values]) * 3
    assert joint_gates([values, 0.5 * values])[1] == pytest.approx(0.5 * joint_gates([values])[0], abs=1e-4)


@pytest.mark.parametrize("values", [[0.25], [0.25] * 30])
def test_gates_of_one_frame_and_of_equal_frames_stop_none(values):
    assert joint_gates([np.array(values), np.array(values)]) == [0.25, 0.25]


def test_nothing_else_changes_and_the_settings_before_do_not_matter(segmenter, corpus):
    before = segmenter.config
    settings = calibrate(segmenter, corpus)
    assert segmenter.config is before and settings != before
    assert dataclasses.replace(settings, **{name: getattr(before, name) for name in CALIBRATED}) == before
    segmenter.config = settings
    assert calibrate(segmenter, corpus) == settings


def test_silent_frames_do_not_count(segmenter, corpus, drawn):
    frames = drawn.frames.copy()
    frames[list(drawn.silent)] = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3))
    other = corpus_from_arrays(frames, drawn.waves, drawn.videos)
    assert calibrate(segmenter, other) == calibrate(segmenter, corpus)
    frames[:4] = 0  # rows with sound do
    assert calibrate(segmenter, corpus_from_arrays(frames, drawn.waves, drawn.videos)) != calibrate(segmenter, corpus)


@pytest.mark.parametrize(("count", "places"), [(1, [0]), (4, [0, 8, 16, 24]), (25, range(25)), (500, range(25))])
def test_at_most_count_frames_are_read_evenly_spread(segmenter, corpus, monkeypatch, count, places):
    read, features = [], segmenter.features

    def watched(steps):
        read.extend(step.frame.tobytes() for step in steps)
        return features(steps)

    monkeypatch.setattr(segmenter, "features", watched)
    settings = calibrate(segmenter, corpus, count=count)
    assert read == [corpus.frames[row].tobytes() for row in sounding_rows(corpus)[list(places)]]
    assert settings.heat_low < settings.heat_high


def test_one_frame_and_flat_scores_leave_a_range(segmenter, corpus, monkeypatch):
    monkeypatch.setattr(segmenter, "features", lambda steps: (None, np.full((len(steps), 4, 4), 0.25, np.float32)))
    monkeypatch.setattr(segmenter, "frozen_presence", lambda steps: np.full(len(steps), 0.5))
    settings = calibrate(segmenter, corpus)
    assert (settings.gate, settings.heat_low, settings.heat_high) == (0.25, 0.25, 0.26)


def test_a_calibrated_gate_opens_for_almost_every_training_frame(segmenter, corpus):
    segmenter.config = calibrate(segmenter, corpus)
    rows = sounding_rows(corpus)
    results = list(segmenter.segment_steps(steps_of(corpus, rows)))
    assert sum(result.reason is not None and "level" not in result.reason for result in results) <= 2
    for result, score in zip(results, agreement(segmenter, corpus, rows), strict=True):
        assert result.score == pytest.approx(support(score), abs=1e-4)


def test_steps_hold_a_rows_frame_and_sound_or_anothers(corpus):
    rows, heard = np.array([3, 7, 7]), np.array([9, 3, 7])
    for steps, sounds in ((steps_of(corpus, rows), rows), (steps_of(corpus, rows, heard=heard), heard)):
        assert [step.index for step in steps] == [0, 1, 2]
        assert [(step.start_s, step.frame_s, step.end_s) for step in steps] == [(0, 0.5, 1), (1, 1.5, 2), (2, 2.5, 3)]
        for step, row, sound in zip(steps, rows, sounds, strict=True):
            np.testing.assert_array_equal(step.frame, corpus.frames[row])
            np.testing.assert_array_equal(step.audio, corpus.sound(int(sound)))
            assert step.sample_rate_hz == 16_000 and step.audio.dtype == np.float32
    assert steps_of(corpus, np.empty(0, int)) == []


def test_refuses_a_corpus_without_sound(segmenter, silent_corpus):
    with pytest.raises(InputError) as caught:
        calibrate(segmenter, silent_corpus)
    assert str(caught.value) == "calibration needs frames with sound, got none; add videos that can be heard."


def test_gates_never_stop_the_frame_they_are_set_on():
    (gate,) = joint_gates([np.full(40, 0.12346)])
    assert gate == 0.1234
