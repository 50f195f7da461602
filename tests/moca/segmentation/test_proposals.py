"""Mask proposals: what matches agrees with a naive loop, near-duplicates go, and frames are looked at in batches."""

import dataclasses

import numpy as np
import pytest

from moca.errors import InputError
from moca.foundation.roles import Boxes, Masks
from moca.segmentation.config import OVERLAPS, ProposalConfig
from moca.segmentation.mpm import agreements, match_proposals, overlaps
from moca.segmentation.proposals import Proposer, distinct

SIZE = (12, 20)


def random_masks(count, seed=0, size=SIZE):
    """Masks of rectangles, some of which are empty or everything."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((count, *size), bool)
    for mask in masks:
        top, bottom = np.sort(generator.integers(0, size[0] + 1, 2))
        left, right = np.sort(generator.integers(0, size[1] + 1, 2))
        mask[top:bottom, left:right] = True
    return masks


def square(top, left, height, width, size=SIZE):
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def as_masks(*masks, scores=None, size=SIZE):
    count = len(masks)
    scores = np.linspace(0.9, 0.5, count) if scores is None else scores
    stacked = np.stack(masks) if masks else np.zeros((0, *size), bool)
    return Masks(masks=stacked, scores=np.array(scores, np.float32), stability=np.ones(count, np.float32))


def measured_naively(coarse, mask, rule):
    both = either = own = 0
    for a, b in zip(coarse.ravel().tolist(), mask.ravel().tolist(), strict=True):
        both, either, own = both + (a and b), either + (a or b), own + b
    whole = either if rule == "iou" else own
    return both / whole if whole else 0.0


@pytest.mark.parametrize("rule", OVERLAPS)
def test_overlaps_and_matches_agree_with_a_loop_over_pixels(rule):
    masks, found = random_masks(30, seed=1), []
    for coarse in random_masks(12, seed=2):
        expected = [measured_naively(coarse, mask, rule) for mask in masks]
        np.testing.assert_allclose(overlaps(coarse, masks, rule=rule), expected, rtol=0, atol=1e-12)
        matches = match_proposals(coarse, masks, rule=rule, threshold=0.2).tolist()
        assert matches == [at for at, value in enumerate(expected) if value > 0.2]
        found += matches
    assert 10 < len(found) < 30 * 12 - 10  # not vacuous either way


def test_the_two_rules_differ_where_several_objects_sound():
    left, right = square(2, 1, 6, 6), square(2, 12, 6, 6)
    part, background = square(2, 1, 3, 6), ~(left | right)
    masks = np.stack([left, right, part, background, left | right])
    assert match_proposals(left | right, masks, rule="iou").tolist() == [4]
    assert match_proposals(left | right, masks, rule="cover").tolist() == [0, 1, 2, 4]
    assert match_proposals(left, masks, rule="iou").tolist() == [0]  # half of it, or half too much, is not enough


@pytest.mark.parametrize("rule", OVERLAPS)
def test_a_proposal_at_the_threshold_does_not_match_and_one_above_does(rule):
    coarse, proposal = square(0, 0, 10, 5), square(0, 0, 10, 10)  # IoU and covered share are exactly 0.5
    masks = proposal[None]
    assert overlaps(coarse, masks, rule=rule).tolist() == [0.5]
    assert match_proposals(coarse, masks, rule=rule, threshold=0.5).tolist() == []
    assert match_proposals(coarse, masks, rule=rule, threshold=0.499).tolist() == [0]


@pytest.mark.parametrize("rule", OVERLAPS)
def test_a_higher_threshold_never_adds_a_proposal(rule):
    masks, dropped = random_masks(40, seed=3), 0
    for coarse in random_masks(6, seed=4):
        before = set(range(len(masks)))
        for threshold in np.linspace(0, 0.99, 12):
            matches = set(match_proposals(coarse, masks, rule=rule, threshold=threshold).tolist())
            assert matches <= before
            dropped, before = dropped + len(before - matches), matches
    assert dropped


@pytest.mark.parametrize("rule", OVERLAPS)
def test_the_coarse_mask_itself_always_matches_and_its_complement_never(rule):
    for coarse in random_masks(20, seed=5):
        masks = np.stack([coarse, ~coarse])
        matches = match_proposals(coarse, masks, rule=rule, threshold=0.999).tolist()
        assert matches == ([0] if coarse.any() else [])
        assert match_proposals(coarse, masks, rule=rule, threshold=0.0).tolist() == matches


@pytest.mark.parametrize("rule", OVERLAPS)
def test_nothing_matches_nothing(rule):
    empty, everything = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    assert match_proposals(empty, np.stack([empty, everything]), rule=rule, threshold=0).tolist() == []
    assert match_proposals(everything, np.zeros((0, *SIZE), bool), rule=rule).tolist() == []
    assert match_proposals(everything, np.stack([empty, everything]), rule=rule, threshold=0).tolist() == [1]


def test_agreement_is_told_as_a_share_of_the_best():
    masks = [mask for mask in random_masks(30, seed=8) if mask.any()]
    heat = np.random.default_rng(9).random(SIZE).astype(np.float32)
    means = [sum(heat[mask].tolist()) / np.count_nonzero(mask) for mask in masks]
    found = agreements(heat, np.stack(masks))
    np.testing.assert_allclose(found, np.array(means) / max(means), rtol=0, atol=1e-6)
    assert found.max() == 1 and found.min() < 0.9
    np.testing.assert_allclose(agreements(heat / 3, np.stack(masks)), found, rtol=1e-5)  # however sure the frame is


def test_without_heat_or_proposals_nothing_agrees():
    assert agreements(np.zeros(SIZE, np.float32), np.stack([square(0, 0, 3, 3)])).tolist() == [0]
    assert agreements(np.ones(SIZE, np.float32), np.zeros((0, *SIZE), bool)).tolist() == []


def test_what_cannot_be_compared_is_refused():
    coarse = np.zeros(SIZE, bool)
    with pytest.raises(InputError) as caught:
        match_proposals(coarse, np.zeros((2, 3, 3), bool))
    assert str(caught.value) == (
        "the coarse mask must be (H, W) and proposals (N, H, W), both bool, got (12, 20) bool and (2, 3, 3) bool; "
        "resize and threshold them first."
    )
    with pytest.raises(InputError, match=r"both bool, got .* float64; resize and threshold them first"):
        match_proposals(coarse, np.zeros((2, *SIZE)))
    with pytest.raises(InputError, match=r"^rule must be one of iou, cover, got 'best'\.$"):
        match_proposals(coarse, coarse[None], rule="best")


@pytest.mark.parametrize("iou", [0.3, 0.7, 0.9])
def test_near_duplicates_go_as_a_naive_loop_says(iou):
    generator = np.random.default_rng(6)
    masks = random_masks(60, seed=7, size=(6, 7))
    scores = generator.uniform(0, 1, 60).round(1)  # with ties: the first is the better
    kept = []
    for at in sorted(range(60), key=lambda at: -scores[at]):
        if masks[at].any() and all(measured_naively(masks[at], masks[other], "iou") <= iou for other in kept):
            kept.append(at)
    found = distinct(as_masks(*masks, scores=scores), iou)
    np.testing.assert_array_equal(found.masks, masks[kept])
    np.testing.assert_array_equal(found.scores, scores[kept].astype(np.float32))
    assert 2 < len(kept) < 50


def test_of_two_alike_the_better_stays_whatever_their_order():
    one, other, far = square(0, 0, 10, 10), square(0, 0, 10, 10), square(2, 12, 8, 8)
    other[0, 0] = False
    for first, second in ((one, other), (other, one)):
        found = distinct(as_masks(first, second, far, scores=[0.4, 0.8, 0.6]), 0.9)
        np.testing.assert_array_equal(found.masks, [second, far])
    assert len(distinct(as_masks(one, other, one), 1.0)) == 3  # 1 keeps all


def test_nothing_in_nothing_out():
    assert distinct(as_masks(), 0.9).masks.shape == (0, *SIZE)
    assert distinct(as_masks(np.zeros(SIZE, bool)), 0.9).masks.shape == (0, *SIZE)


class Rectangles:
    """A mask predictor whose mask of a box is the box; counts what it is asked."""

    def __init__(self, score=lambda box: 0.5):
        self.score, self.encoded, self.asked = score, [], []

    def encode(self, frames):
        self.encoded.append(len(frames))
        return [frame.shape[:2] for frame in frames]

    def from_boxes(self, encoded, boxes):
        self.asked.append(len(boxes))
        masks = [square(y0, x0, y1 - y0, x1 - x0, encoded) for x0, y0, x1, y1 in np.asarray(boxes).astype(int).tolist()]
        return as_masks(*masks, scores=[self.score(box) for box in boxes], size=encoded)

    def from_points(self, encoded, points):
        self.asked.append(len(points))
        cells = [square(int(y) // 4 * 4, int(x) // 4 * 4, 4, 4, encoded) for x, y in points]
        return as_masks(*[cell for cell in cells for _ in range(3)], scores=[0.95] * (3 * len(points)), size=encoded)


class Detector:
    """An object detector with prepared boxes per frame."""

    def __init__(self, *boxes):
        self.boxes, self.calls = list(boxes), []

    def detect(self, frames, **settings):
        self.calls.append((len(frames), settings))
        given, self.boxes = self.boxes[: len(frames)], self.boxes[len(frames) :]
        xyxy = [np.array(boxes, np.float32).reshape(-1, 4) for boxes in given]
        return [Boxes(xyxy=boxes, scores=np.full(len(boxes), 0.5, np.float32)) for boxes in xyxy]


def frames(*sizes):
    return [np.zeros((*size, 3), np.uint8) for size in sizes]


def test_boxes_become_masks_and_only_frames_with_boxes_are_encoded():
    predictor = Rectangles(score=lambda box: box[0] / 100)
    detector = Detector([(0, 0, 4, 4), (6, 0, 12, 8), (0, 0, 4, 4)], [], [(1, 1, 3, 3)])
    config = ProposalConfig(kind="boxes", box_threshold=0.2, box_limit=7, box_nms_iou=0.6)
    found = Proposer(config, predictor, detector).propose(frames(SIZE, SIZE, (9, 9)))
    assert detector.calls == [(3, {"threshold": 0.2, "limit": 7, "nms_iou": 0.6})]
    assert predictor.encoded == [2] and predictor.asked == [3, 1]
    np.testing.assert_array_equal(found[0].masks, [square(0, 6, 8, 6), square(0, 0, 4, 4)])  # best first, none twice
    assert found[1].masks.shape == (0, *SIZE) and found[2].masks.shape == (1, 9, 9)


def test_frames_are_encoded_together_but_masks_are_made_one_frame_at_a_time():
    predictor, detector = Rectangles(), Detector([(0, 0, 4, 4)], [(0, 0, 4, 4)])
    found = Proposer(ProposalConfig(kind="boxes"), predictor, detector).each(frames(SIZE, SIZE))
    next(found)
    assert predictor.encoded == [2] and predictor.asked == [1]
    next(found)
    assert predictor.encoded == [2] and predictor.asked == [1, 1]


def test_no_frames_ask_nobody():
    predictor, detector = Rectangles(), Detector()
    assert Proposer(ProposalConfig(kind="boxes"), predictor, detector).propose([]) == []
    assert predictor.encoded == [] and detector.calls == []


def test_a_grid_needs_no_detector():
    predictor = Rectangles()
    config = ProposalConfig(kind="grid", points_per_side=4, pred_iou=0.9, stability=0.9)
    (found,) = Proposer(config, predictor).propose(frames((16, 16)))
    assert predictor.encoded == [1] and sum(predictor.asked) == 16
    assert len(found) == 16 and found.masks.sum(0).tolist() == np.ones((16, 16)).tolist()
    (none,) = Proposer(dataclasses.replace(config, pred_iou=0.97), predictor).propose(frames((16, 16)))
    assert len(none) == 0


def test_a_proposer_is_given_what_its_kind_needs():
    with pytest.raises(InputError) as caught:
        Proposer(ProposalConfig(), Rectangles())
    assert str(caught.value) == "a proposer needs proposals boxes or grid, got none; leave the proposer out."
    with pytest.raises(InputError) as caught:
        Proposer(ProposalConfig(kind="boxes"), Rectangles())
    assert str(caught.value) == "proposals boxes need an object detector, got none; give one, or use grid."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "words"}, "proposals must be one of none, boxes, grid, got 'words'; change it."),
        ({"rule": "best"}, "rule must be one of iou, cover, agreement, crops, got 'best'; change it."),
        ({"delta": -1.0}, "delta must be a number between 0 and 20, got -1.0; change it."),
        ({"crop_batch": 0}, "crop_batch must be a whole number between 1 and 4096, got 0; change it."),
        ({"unmatched": "all"}, "unmatched must be one of coarse, empty, got 'all'; change it."),
        ({"match": 1.0}, "match must be a number of at least 0 and below 1, got 1.0; the paper uses 0.5."),
        ({"match": float("nan")}, "match must be a number of at least 0 and below 1, got nan; the paper uses 0.5."),
        ({"stability": 1.5}, "stability must be a number between 0 and 1, got 1.5; change it."),
        ({"box_limit": 0}, "box_limit must be a whole number between 1 and 1000, got 0; change it."),
        ({"points_per_side": 2.5}, "points_per_side must be a whole number between 1 and 128, got 2.5; change it."),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(InputError) as caught:
        ProposalConfig(**changes)
    assert str(caught.value) == message


def test_only_settings_that_matter_are_told():
    assert ProposalConfig().used() == {"kind": "none"} == ProposalConfig(rule="cover", box_limit=3).used()
    boxes, grid = ProposalConfig(kind="boxes").used(), ProposalConfig(kind="grid").used()
    assert "box_limit" in boxes and "stability" not in boxes and "stability" in grid and "box_limit" not in grid
    assert {"rule", "match", "unmatched", "mask_nms_iou"} <= set(boxes) & set(grid)
    assert ProposalConfig(**grid) == ProposalConfig(kind="grid")
