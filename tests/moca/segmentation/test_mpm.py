"""From a coarse mask and proposals to a result, and what evaluation makes of its heat map."""

import dataclasses

import numpy as np
import pytest

from moca.core.step import Segment, StepResult
from moca.foundation.roles import Masks
from moca.metrics.segmentation import THRESHOLDS, f_measure
from moca.segmentation.config import ProposalConfig
from moca.segmentation.mpm import match_step, matched_heat

SIZE = (16, 24)
BOXES = ProposalConfig(kind="boxes")


def block(left, right, top=4, bottom=12):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def proposed(*masks):
    stacked = np.stack(masks) if masks else np.zeros((0, *SIZE), bool)
    return Masks(
        masks=stacked,
        scores=np.linspace(0.9, 0.6, len(masks)).astype(np.float32),
        stability=np.ones(len(masks), np.float32),
    )


@pytest.fixture
def agreement():
    """Higher to the left, with noise."""
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, SIZE)
    return (np.linspace(0.9, 0.1, SIZE[1])[None] + noise).astype(np.float32)


@pytest.fixture
def coarse(agreement):
    mask = block(2, 10)
    return StepResult(
        index=4, start_s=4.0, end_s=5.0, frame_s=4.5, mask=mask, heat=np.clip(agreement, 0, 1), score=0.8,
        level_dbfs=-20.0, segments=(Segment(mask=mask, score=0.7),),
    )  # fmt: skip


def test_the_proposals_that_match_make_the_mask_and_the_segments(coarse, agreement):
    right, left, other = block(4, 10), block(1, 9), block(14, 22)
    found = match_step(coarse, proposed(right, other, left), agreement, BOXES)
    assert found.proposals.matched == (0, 2) and len(found.proposals) == 3
    np.testing.assert_allclose(found.proposals.measured, [6 / 8, 0, 7 / 9])
    np.testing.assert_array_equal(found.mask, left | right)
    np.testing.assert_array_equal(found.coarse, coarse.mask)
    assert [segment.score for segment in found.segments] == pytest.approx(
        [agreement[left].mean(), agreement[right].mean()]  # best first, whatever the order of the proposals
    )
    np.testing.assert_array_equal(found.segments[0].mask, left)
    assert (found.score, found.reason, found.index, found.frame_s) == (coarse.score, None, 4, 4.5)
    assert found.heat.dtype == np.float32 and not np.array_equal(found.heat, coarse.heat)


def test_a_proposal_equal_to_the_coarse_mask_leaves_the_mask(coarse, agreement):
    found = match_step(coarse, proposed(coarse.mask), agreement, BOXES)
    np.testing.assert_array_equal(found.mask, coarse.mask)
    other = match_step(coarse, proposed(block(2, 9)), agreement, BOXES)
    assert not np.array_equal(other.mask, coarse.mask)


def test_one_of_two_sounding_objects_matches_only_by_cover(coarse, agreement):
    both = dataclasses.replace(coarse, mask=block(2, 8) | block(14, 20))
    objects = proposed(block(2, 8), block(14, 20), block(8, 14))
    by_iou = match_step(both, objects, agreement, BOXES)
    assert by_iou.proposals.matched == () and by_iou.reason is None
    by_cover = match_step(both, objects, agreement, dataclasses.replace(BOXES, rule="cover"))
    assert by_cover.proposals.matched == (0, 1)
    np.testing.assert_array_equal(by_cover.mask, both.mask)


def test_by_agreement_the_best_proposals_match_whatever_the_border_of_the_coarse_mask(coarse, agreement):
    """Heat falls to the right: 0.9 to 0.1 over 24 columns, so of three blocks the first has most."""
    objects = proposed(block(14, 20), block(0, 4), block(5, 9))
    by_agreement = dataclasses.replace(BOXES, rule="agreement", match=0.7)
    for mask in (coarse.mask, block(22, 24)):
        found = match_step(dataclasses.replace(coarse, mask=mask), objects, agreement, by_agreement)
        means = [coarse.heat[mask].mean() for mask in objects.masks]
        np.testing.assert_allclose(found.proposals.measured, np.array(means) / means[1], rtol=1e-5)
        assert found.proposals.matched == (1, 2)
        np.testing.assert_array_equal(found.mask, block(0, 4) | block(5, 9))
    strict = dataclasses.replace(by_agreement, match=0.99)
    assert match_step(coarse, objects, agreement, strict).proposals.matched == (1,)  # the best one always


def test_without_a_match_the_coarse_mask_stays_and_its_heat_tells_it_apart(coarse, agreement):
    for masks in ((), (block(14, 22),)):
        found = match_step(coarse, proposed(*masks), agreement, BOXES)
        np.testing.assert_array_equal(found.mask, coarse.mask)
        np.testing.assert_array_equal(found.heat >= 0.5, coarse.mask)
        for there in (coarse.mask, ~coarse.mask):  # in the order it had
            assert (np.argsort(found.heat[there], kind="stable") == np.argsort(coarse.heat[there], kind="stable")).all()
        assert found.segments == coarse.segments and found.reason is None
        assert len(found.proposals) == len(masks) and found.proposals.matched == ()


@pytest.mark.parametrize(
    ("masks", "changes", "reason"),
    [
        ((block(6, 14), block(14, 22)), {}, "highest IoU 0.33, not above 0.50"),
        ((block(6, 14),), {"rule": "cover", "match": 0.7}, "highest covered share 0.50, not above 0.70"),
        ((), {}, "none was found"),
        ((), {"rule": "agreement"}, "none was found"),
    ],
)
def test_without_a_match_nothing_may_be_made_to_sound(coarse, agreement, masks, changes, reason):
    config = dataclasses.replace(BOXES, unmatched="empty", **changes)
    found = match_step(coarse, proposed(*masks), agreement, config)
    assert found.reason == f"no proposal matches the coarse mask: {reason}"
    assert not found.mask.any() and not found.heat.any() and found.segments == ()
    assert found.score == coarse.score
    np.testing.assert_array_equal(found.coarse, coarse.mask)


def test_a_threshold_of_the_heat_gives_exactly_the_mask(agreement):
    heat = np.clip(agreement, 0, 1)
    better, worse = block(2, 8), block(12, 20)
    found = matched_heat(heat, [worse, better])
    assert np.unique(found[better]).tolist() == pytest.approx([(1 + heat[better].mean()) / 2])
    assert np.unique(found[worse]).tolist() == pytest.approx([(1 + heat[worse].mean()) / 2])
    np.testing.assert_array_equal(found >= 0.5, better | worse)
    reached = [found >= threshold for threshold in THRESHOLDS]
    assert any(np.array_equal(mask, better | worse) for mask in reached)
    assert any(np.array_equal(mask, better) for mask in reached)  # the one that agrees better stays longer
    assert not any(np.array_equal(heat >= threshold, better | worse) for threshold in THRESHOLDS)


def test_one_threshold_gives_the_masks_of_all_frames_however_sure_each_is(agreement):
    heat, mask = np.clip(agreement, 0, 1), block(6, 14)
    sure, unsure = matched_heat(heat, [mask]), matched_heat(heat / 50, [mask])
    assert f_measure(np.stack([sure, unsure]), np.stack([mask, mask])) == pytest.approx(1)
    assert sure[mask].min() > unsure[mask].max()


def test_outside_the_heat_keeps_its_order(agreement):
    heat, mask = np.clip(agreement, 0, 1), block(6, 14)
    found = matched_heat(heat, [mask])
    np.testing.assert_allclose(found[~mask], np.minimum(heat[~mask] / 2, 0.49), rtol=1e-6)
    assert found[~mask].max() < 0.5 <= found[mask].min()


def test_where_proposals_overlap_the_higher_heat_counts(agreement):
    heat, better, worse = np.clip(agreement, 0, 1), block(2, 10), block(6, 18)
    found = matched_heat(heat, [better, worse])
    np.testing.assert_array_equal(found, matched_heat(heat, [worse, better]))
    assert found[better & worse] == pytest.approx((1 + heat[better].mean()) / 2)


@pytest.mark.parametrize("value", [0.0, 0.003, 0.5, 1.0])
def test_even_a_flat_heat_map_tells_the_mask_apart(value):
    mask = block(3, 9)
    found = matched_heat(np.full(SIZE, value, np.float32), [mask])
    assert 0 <= found.min() < found.max() <= 1
    assert f_measure(found[None], mask[None]) == pytest.approx(1)
    assert f_measure(np.full((1, *SIZE), value, np.float32), mask[None]) < 0.9


def test_evaluation_sees_the_same_object_in_both_metrics(coarse, agreement):
    """A proposal that is the object itself gives mask and heat full marks; the coarse ones have neither."""
    truth = block(3, 10)
    found = match_step(coarse, proposed(truth), agreement, BOXES)
    assert np.array_equal(found.mask, truth) and f_measure(found.heat[None], truth[None]) == pytest.approx(1)
    assert not np.array_equal(coarse.mask, truth) and f_measure(coarse.heat[None], truth[None]) < 0.9
