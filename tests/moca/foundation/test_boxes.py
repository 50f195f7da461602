"""Overlap and non-maximum suppression against naive loops, and the cases in which OpenCV has its own idea."""

import numpy as np
import pytest

from moca.errors import InputError
from moca.foundation.boxes import area, corners, cut_to_frame, iou_matrix, nms


def naive_iou(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return wide * high / union if wide * high > 0 else 0.0


def naive_nms(boxes, scores, iou):
    chosen = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(naive_iou(boxes[i], boxes[j]) <= iou for j in chosen):
            chosen.append(i)
    return chosen


def random_boxes(draw, count, side):
    """Continuous boxes whose sides may be far below one pixel."""
    start = draw.uniform(0, side, (count, 2))
    return np.concatenate([start, start + draw.uniform(0, 0.6 * side, (count, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("side", [0.01, 1.0, 500.0])
def test_nms_keeps_what_a_loop_keeps(side):
    draw = np.random.default_rng(4)
    suppressed = 0
    for round_to in (1, 1, 8, 8, 8):  # one decimal gives many ties
        boxes, scores = random_boxes(draw, 50, side), draw.uniform(0, 1, 50).round(round_to).astype(np.float32)
        iou = draw.uniform(0.1, 0.9)
        chosen = nms(boxes, scores, iou)
        assert chosen.tolist() == naive_nms(boxes.tolist(), scores.tolist(), iou)
        assert chosen.dtype == np.int64
        suppressed += 50 - len(chosen)
    assert suppressed > 20


def test_overlap_of_every_pair_is_what_a_loop_finds():
    draw = np.random.default_rng(5)
    a, b = random_boxes(draw, 7, 10.0), random_boxes(draw, 5, 10.0)
    expected = [[naive_iou(x, y) for y in b.tolist()] for x in a.tolist()]
    np.testing.assert_allclose(iou_matrix(a, b), expected, atol=1e-6)
    np.testing.assert_allclose(iou_matrix(a, b), iou_matrix(b, a).T)
    np.testing.assert_allclose(np.diag(iou_matrix(a, a)), 1)


def test_kept_boxes_overlap_little_and_the_others_much():
    draw = np.random.default_rng(6)
    boxes, scores = random_boxes(draw, 80, 40.0), draw.uniform(0, 1, 80)
    chosen = nms(boxes, scores, 0.3)
    assert 1 < len(chosen) < 80
    assert (np.diff(scores[chosen]) <= 0).all()
    overlap = iou_matrix(boxes, boxes[chosen])
    assert np.triu(overlap[chosen], 1).max() <= 0.3 + 1e-6
    others = np.setdiff1d(np.arange(80), chosen)
    assert (overlap[others].max(axis=1) > 0.3 - 1e-6).all()


def test_an_overlap_of_exactly_the_limit_is_kept():
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]])
    assert nms(boxes, np.array([0.5, 0.4]), 0.5).tolist() == [0, 1]
    assert nms(boxes, np.array([0.5, 0.4]), 0.49).tolist() == [0]
    same = boxes[[0, 0]]
    assert nms(same, np.array([0.4, 0.5]), 1.0).tolist() == [1, 0]
    assert nms(same, np.array([0.5, 0.5]), 0.9).tolist() == [0]


def test_boxes_that_touch_do_not_overlap():
    boxes = np.array([[0, 0, 2, 1], [2, 0, 4, 1], [1.9, 0, 3.9, 1]])
    assert nms(boxes, np.array([3, 2, 1]), 0.0).tolist() == [0, 1]


def test_scores_of_any_sign_are_only_an_order():
    boxes = np.array([[0, 0, 2, 1], [5, 5, 6, 6], [5, 5, 6, 6.5]])
    assert nms(boxes, np.array([0.0, 0.0, 0.0]), 0.5).tolist() == [0, 1]
    assert nms(boxes, np.array([-3.0, -2.0, -1.0]), 0.5).tolist() == [2, 0]


def test_boxes_without_area_suppress_nothing():
    boxes = np.array([[0, 0, 0, 0], [5, 5, 5, 9], [0, 0, 4, 4], [0, 0, 4, 4.1]])
    assert nms(boxes, np.array([0.1, 0.9, 0.5, 0.4]), 0.5).tolist() == [1, 2, 0]
    assert nms(boxes[:2], np.array([0.1, 0.9]), 0.5).tolist() == [1, 0]
    np.testing.assert_array_equal(iou_matrix(boxes[:2], boxes[:2]), np.zeros((2, 2)))
    np.testing.assert_array_equal(area(boxes), [0, 0, 16, 4 * 4.1])
    assert area(np.array([[3, 0, 1, 5]])).tolist() == [0]  # corners crossed


def test_no_boxes_are_no_boxes():
    none = np.empty((0, 4))
    assert nms(none, np.empty(0), 0.5).shape == (0,) and nms(none, np.empty(0), 0.5).dtype == np.int64
    assert iou_matrix(none, np.ones((3, 4))).shape == (0, 3)


def test_corners_of_a_centre():
    np.testing.assert_allclose(corners(np.array([[5, 4, 2, 6]])), [[4, 1, 6, 7]])
    assert corners(np.zeros((2, 3, 4))).shape == (2, 3, 4)


def test_boxes_are_cut_to_the_frame():
    cut, left = cut_to_frame(np.array([[-3, 2, 5, 99], [40, 0, 50, 5], [0, 0, 30, 20]]), height=20, width=30)
    np.testing.assert_array_equal(cut, [[0, 2, 5, 20], [30, 0, 30, 5], [0, 0, 30, 20]])
    assert left.tolist() == [True, False, True] and cut.dtype == np.float32


def test_wrong_shapes_and_limits_are_refused():
    with pytest.raises(InputError) as shape:
        nms(np.zeros((2, 5)), np.zeros(2), 0.5)
    assert str(shape.value) == "boxes must be of shape (N, 4), got (2, 5); pass x0, y0, x1, y1 of each."
    with pytest.raises(InputError) as scores:
        nms(np.zeros((2, 4)), np.zeros(3), 0.5)
    assert str(scores.value) == "scores must be one a box, (2,), got (3,); pass those of these boxes."
    with pytest.raises(InputError) as limit:
        nms(np.zeros((2, 4)), np.zeros(2), 1.5)
    assert str(limit.value) == "iou must be from 0 to 1, got 1.5; change it."
