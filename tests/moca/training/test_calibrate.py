"""Gate and heat range against percentiles taken by hand."""

import dataclasses

import numpy as np
import pytest

from moca.calibration.gates import HEAT_PERCENTILES, joint_gates
from moca.calibration.pairs import steps_of
from moca.corpus.corpus import corpus_from_arrays
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support
from moca.segmenter import Segmenter
from moca.training.calibrate import calibrate
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


def test_nothing_else_changes_and_the_settings_before_do_not_matter(segmenter, corpus):
    before = segmenter.config
    settings = calibrate(segmenter, corpus)
    assert segmenter.config is before and settings != before
    assert dataclasses.replace(settings, **{name: getattr(before, name) for name in CALIBRATED}) == before
    assert calibrate(Segmenter(segmenter.pipeline, config=settings), corpus) == settings


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
    segmenter = Segmenter(segmenter.pipeline, config=calibrate(segmenter, corpus))
    rows = sounding_rows(corpus)
    results = list(segmenter.segment_steps(steps_of(corpus, rows)))
    assert sum(result.reason is not None and "level" not in result.reason for result in results) <= 2
    for result, score in zip(results, agreement(segmenter, corpus, rows), strict=True):
        assert result.score == pytest.approx(support(score), abs=1e-4)


def test_refuses_a_corpus_without_sound(segmenter, silent_corpus):
    with pytest.raises(InputError) as caught:
        calibrate(segmenter, silent_corpus)
    assert str(caught.value) == "calibration needs frames with sound, got none; add videos that can be heard."
