"""Scores of pairs are those that the segmenter itself compares with its gates."""

from dataclasses import replace

import numpy as np
import pytest

from moca.adapters import AdaAVConfig, AdaptedTowers, make_plan
from moca.calibration.scoring import BankScorer, SupportScorer, scored, scorer_for
from moca.foundation.roles import Masks
from moca.segmentation.config import OPEN, ProposalConfig, SegmentConfig
from moca.segmentation.relative import SoundBank
from moca.segmenter import Segmenter


class Halves:
    """Proposals: the left and the right half of every frame, and none of frames that are darker than `dark`."""

    def __init__(self, config, dark=0):
        self.config, self.dark, self.made = config, dark, 0

    def each(self, frames):
        for frame in frames:
            self.made += 1
            masks = np.zeros((2, *frame.shape[:2]), bool)
            masks[0, :, : frame.shape[1] // 2] = masks[1, :, frame.shape[1] // 2 :] = True
            masks = masks[: 0 if frame.mean() < self.dark else 2]
            yield Masks(masks=masks, scores=np.ones(len(masks), np.float32), stability=np.ones(len(masks), np.float32))


@pytest.fixture
def bank():
    embeddings = np.random.default_rng(5).normal(size=(40, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return SoundBank(embeddings=embeddings, names=tuple(map(str, range(40))), fingerprint="b" * 16)


@pytest.fixture
def segmenter(pipeline, bank):
    """segmenter(by_crops, scores): a tiny frozen one with a bank of 40 sounds and open gates, that computes ranks."""

    def build(by_crops=False, scores="relative", unmatched="coarse", dark=0):
        proposer = Halves(ProposalConfig(kind="boxes", rule="crops", unmatched=unmatched), dark) if by_crops else None
        config = SegmentConfig(scores=scores, gate=OPEN, gate_rank=1e-9, heat_low=-9.0, heat_high=9.0)
        prints = {role: role[0] * 16 for role in ("encoder", "adapters", "masks", "objects")}
        prepared = replace(pipeline, proposer=proposer, bank=bank, fingerprints=prints)
        return Segmenter(prepared, config=config, batch_steps=2)

    return build


@pytest.fixture
def steps(make_step):
    """Four frames, each with two sounds."""
    own = [make_step(index) for index in range(4)]
    return [*own, *(replace(step, audio=make_step(index + 9).audio) for index, step in enumerate(own))]


@pytest.mark.parametrize("by_crops", [False, True])
@pytest.mark.parametrize("scores", ["relative", "absolute"])
def test_ranks_and_scores_are_those_of_the_results(segmenter, steps, by_crops, scores):
    model = segmenter(by_crops, scores)
    found = BankScorer(model, "both").score(steps)
    results = list(model.segment_steps(steps))
    assert found.scores[:, 0] == pytest.approx([result.rank for result in results], abs=1e-6)
    assert found.scores[:, 1] == pytest.approx([result.score for result in results], abs=1e-4)
    assert (np.ptp(found.scores, axis=0) > 0).all() and found.scores.shape == (8, 2)
    for by, column in (("rank", 0), ("score", 1)):
        alone = BankScorer(model, by)
        assert alone.score(steps).scores[:, 0] == pytest.approx(found.scores[:, column])
        assert alone.gates == BankScorer(model, "both").gates[column : column + 1]
    assert found.agreement == pytest.approx(model.features(steps)[1], abs=1e-5)


@pytest.mark.parametrize("unmatched", ["coarse", "empty"])
def test_a_frame_without_proposals_has_the_rank_of_its_result(segmenter, make_step, unmatched):
    dark = replace(make_step(1), frame=np.zeros((24, 40, 3), np.uint8))
    steps, model = [make_step(0), dark], segmenter(True, unmatched=unmatched, dark=50)
    found, results = BankScorer(model).score(steps).scores[:, 0], list(model.segment_steps(steps))
    if unmatched == "empty":
        assert np.isneginf(found[1]) and results[1].reason == "no proposal was found"
        found, results = found[:1], results[:1]
    assert found == pytest.approx([result.rank for result in results], abs=1e-6)


def test_a_frame_is_looked_at_once_for_all_its_sounds(segmenter, steps):
    model = segmenter(True)
    BankScorer(model).score(steps)
    assert model.pipeline.proposer.made == 4


def test_support_and_presence_are_those_of_the_results(pipeline, steps, randomise):
    encoder = pipeline.encoder
    towers = randomise(
        AdaptedTowers(
            encoder.image_tower,
            encoder.audio_tower,
            make_plan("last", 2, 3, 2),
            AdaAVConfig(bottleneck=6, latents=3),
            readout=8,
        )
    )
    model = Segmenter(replace(pipeline, towers=towers), batch_steps=3)
    scorer = scorer_for(model)
    found = scorer.score(steps)
    assert isinstance(scorer, SupportScorer) and scorer.gates == ("gate", "gate_frozen")
    assert found.scores[:, 0] == pytest.approx([result.score for result in model.segment_steps(steps)], abs=1e-5)
    assert found.scores[:, 1] == pytest.approx(model.frozen_presence(steps), abs=1e-5)


def test_which_scorer_goes_with_which_model(segmenter):
    crops, patches = scorer_for(segmenter(True)), scorer_for(segmenter())
    for scorer in (crops, patches):
        assert isinstance(scorer, BankScorer) and scorer.gates == ("gate_rank",) and scorer.config.gate == OPEN
        assert scorer.fingerprints["bank"] == "b" * 16 and not scorer.levels
    assert set(crops.fingerprints) == {"encoder", "adapters", "masks", "objects", "bank"}
    assert set(patches.fingerprints) == {"encoder", "adapters", "bank"}
    assert crops.by_crops and not patches.by_crops and scorer_for(segmenter(scores="absolute")).levels


def test_silent_pairs_have_minus_infinity_and_no_patches(segmenter, make_step):
    kinds = {"a": [make_step(0), make_step(1, audio="silence")], "b": [make_step(2, audio=None)], "c": [make_step(3)]}
    found = scored(BankScorer(segmenter()), kinds)
    assert [np.isneginf(part.scores).ravel().tolist() for part in found.values()] == [[False, True], [True], [False]]
    assert [len(part.agreement) for part in found.values()] == [1, 0, 1]
    alone = scored(BankScorer(segmenter()), {"c": kinds["c"]})
    assert alone["c"].scores == pytest.approx(found["c"].scores)
