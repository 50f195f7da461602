import dataclasses

import numpy as np
import pytest

from moca.core.step import StepResult
from moca.foundation.roles import Masks
from moca.segmentation.choosing import choose_by_crops, crop_heat, near_the_best, shares_of_best
from moca.segmentation.config import ProposalConfig
from moca.segmentation.relative import Comparison

SIZE = (16, 24)
CROPS = ProposalConfig(kind="boxes", rule="crops", delta=0.5)


def block(left, right, top=4, bottom=12):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


MASKS = np.stack([block(0, 8), block(6, 14), block(16, 22)])


@pytest.fixture
def proposed():
    return Masks(masks=MASKS, scores=np.array([0.9, 0.8, 0.7], np.float32), stability=np.ones(3, np.float32))


@pytest.fixture
def coarse():
    heat = np.linspace(0, 1, 24, dtype=np.float32)[None].repeat(16, 0)
    return StepResult(
        index=4, start_s=4.0, end_s=5.0, frame_s=4.5, mask=block(2, 20), heat=heat, score=0.8, level_dbfs=-20.0
    )


def scored(*scores):
    """What gives these scores: two other sounds at 1 and -1 around each own cosine's zero."""
    return Comparison(own=np.array(scores, float), others=np.array([[1.0, -1.0]] * len(scores)))


def test_those_within_delta_of_the_best_are_chosen(coarse, proposed):
    found = choose_by_crops(coarse, proposed, scored(1.6, 2.0, 0.4), CROPS, rank=0.9)
    np.testing.assert_array_equal(found.mask, MASKS[0] | MASKS[1])
    assert found.proposals.matched == (0, 1) and (found.score, found.rank, found.reason) == (2.0, 0.9, None)
    np.testing.assert_allclose(found.proposals.measured, [1.6, 2.0, 0.4])
    np.testing.assert_array_equal(found.coarse, coarse.mask)
    assert [segment.score for segment in found.segments] == pytest.approx([1.0, 0.8])
    np.testing.assert_array_equal(found.segments[0].mask, MASKS[1])
    (only,) = choose_by_crops(
        coarse, proposed, scored(1.6, 2.0, 0.4), dataclasses.replace(CROPS, delta=0.3), rank=1
    ).segments
    np.testing.assert_array_equal(only.mask, MASKS[1])


def test_the_best_is_chosen_even_where_other_sounds_fit_better(coarse, proposed):
    found = choose_by_crops(coarse, proposed, scored(-2.0, -1.0, -1.4), CROPS, rank=0.1)
    assert found.proposals.matched == (1, 2) and found.mask.any() and found.score == -1.0
    assert [segment.score for segment in found.segments] == [1.0, 0.0]


def test_the_heat_is_half_or_more_exactly_in_the_chosen_and_keeps_the_order_elsewhere(coarse):
    shares = np.array([0.8, 1.0, 0.3])
    heat = crop_heat(coarse.heat, MASKS, shares, np.array([0, 1]))
    np.testing.assert_array_equal(heat >= 0.5, MASKS[0] | MASKS[1])
    assert heat[5, 10] == 1.0 and heat[5, 2] == pytest.approx(0.9) and heat[5, 7] == 1.0  # the higher where two overlap
    assert 0.25 < heat[5, 18] < 0.49 and heat.dtype == np.float32
    bare = ~MASKS.any(0)
    np.testing.assert_allclose(heat[bare], coarse.heat[bare] / 4)


def test_scores_become_shares_of_the_best():
    np.testing.assert_allclose(shares_of_best(np.array([3.0, 1.5, -1.0])), [1, 0.5, 0])
    np.testing.assert_allclose(shares_of_best(np.array([-1.0, -2.0])), [1, 0])
    assert shares_of_best(np.zeros(0)).shape == (0,)


def test_nearness_counts_from_the_best_and_is_never_empty_but_of_nothing():
    assert near_the_best(np.array([1.0, 0.6, 0.4]), 0.5).tolist() == [0, 1]
    assert near_the_best(np.array([1.0, 1.0]), 0.0).tolist() == [0, 1]
    assert near_the_best(np.zeros(0), 0.5).tolist() == []
