"""Masks of a grid of points against a naive loop over the reference steps, and each of the filters."""

import importlib
import importlib.util

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamModel
from transformers.models.sam.image_processing_pil_sam import _batched_mask_to_box, _build_point_grid

from moca.core.maps import mask_boxes
from moca.errors import InputError
from moca.foundation.roles import Masks
from moca.foundation.sam.grid import GridConfig, grid_points, masks_from_grid
from moca.foundation.sam.sam import Sam

SIDE = 64
TINY = SamConfig(
    vision_config={
        "hidden_size": 24,
        "output_channels": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 16,
    },
    prompt_encoder_config={"hidden_size": 32, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 8},
    mask_decoder_config={"hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 24},
)
LOOSE = GridConfig(points_per_side=6, pred_iou=0.3, stability=0.4, nms_iou=1)


@pytest.fixture(scope="module")
def predictor():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SamModel(TINY)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
        for head in model.mask_decoder.output_hypernetworks_mlps:
            head.proj_out.weight.mul_(3)
    return Sam(model)


@pytest.fixture(scope="module")
def encoded(predictor):
    frame = np.random.default_rng(1).integers(0, 256, (40, 53, 3), dtype=np.uint8)
    return predictor.encode([frame])[0]


class Scripted:
    """Answers each point with the next three of the given masks, and notes how many points it is asked at a time."""

    def __init__(self, masks, scores, stability):
        self.found = [np.asarray(masks, bool), np.asarray(scores, np.float32), np.asarray(stability, np.float32)]
        self.asked = []

    def encode(self, frames):
        return list(frames)

    def from_boxes(self, encoded, boxes):
        raise NotImplementedError

    def from_points(self, encoded, points):
        start = 3 * sum(self.asked)
        self.asked.append(len(points))
        rows = slice(start, start + 3 * len(points))
        masks, scores, stability = (answers[rows] for answers in self.found)
        return Masks(masks=masks, scores=scores, stability=stability)


def apart(count):
    """Masks of 3 x 3 pixels that do not touch, (count, 20, 40)."""
    masks = np.zeros((count, 20, 40), bool)
    for i, mask in enumerate(masks):
        mask[4 * (i // 9) :, 4 * (i % 9) :][:3, :3] = True
    return masks


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Agreement


@pytest.mark.parametrize("per_side", [1, 2, 5, 32])
def test_points_are_the_centres_of_cells(per_side):
    expected = _build_point_grid(per_side) * [53, 40]
    np.testing.assert_allclose(grid_points(per_side, (40, 53)), expected, rtol=1e-6)


def test_boxes_run_along_the_outer_edges_of_masks():
    masks = np.random.default_rng(2).random((30, 11, 17)) > 0.97
    masks[0], masks[1] = False, True
    assert not masks[0].any()
    expected = _batched_mask_to_box(torch.from_numpy(masks)).numpy()
    expected[masks.any((1, 2)), 2:] += 1
    boxes = mask_boxes(masks)
    np.testing.assert_array_equal(boxes, expected)
    assert boxes.dtype == np.float32 and boxes[1].tolist() == [0, 0, 17, 11]
    assert mask_boxes(masks[:0]).shape == (0, 4)


def naive_nms(boxes, scores, iou):
    chosen = []
    for i in np.argsort(-scores):
        overlaps = []
        for j in chosen:
            w, h = (min(boxes[i, 2 + k], boxes[j, 2 + k]) - max(boxes[i, k], boxes[j, k]) for k in (0, 1))
            both = max(w, 0) * max(h, 0)
            areas = [(boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]) for k in (i, j)]
            overlaps.append(both / (sum(areas) - both))
        if all(overlap <= iou for overlap in overlaps):
            chosen.append(i)
    return chosen


def test_the_masks_are_those_of_a_naive_loop():
    draw = np.random.default_rng(3)
    masks = np.zeros((108, 40, 53), bool)
    for mask in masks:
        x, y = draw.integers(0, 35, 2)
        width, height = draw.integers(1, 30, 2)
        mask[y : y + height, x : x + width] = draw.random(mask[y : y + height, x : x + width].shape) > 0.2
    scores, stability = draw.permutation(108) / 108, draw.permutation(108) / 108
    good = masks.any((1, 2)) & (scores > 0.3) & (stability >= 0.4)
    boxes = _batched_mask_to_box(torch.from_numpy(masks[good])).numpy()
    boxes[:, 2:] += 1
    best = naive_nms(boxes, scores[good], 0.4)
    config = GridConfig(points_per_side=6, points_per_batch=7, pred_iou=0.3, stability=0.4, nms_iou=0.4)
    answers = masks_from_grid(Scripted(masks, scores, stability), None, (40, 53), config)
    assert 1 < len(best) < good.sum() < 108  # both filters and the suppression do something
    np.testing.assert_array_equal(answers.masks, masks[good][best])
    np.testing.assert_allclose(answers.scores, scores[good][best])
    np.testing.assert_allclose(answers.stability, stability[good][best])
    assert (np.diff(answers.scores) < 0).all() and answers.masks.dtype == bool


@pytest.fixture
def amg(bare_module):
    """segment_anything.utils.amg without the package's own __init__, which needs torchvision."""
    if importlib.util.find_spec("segment_anything") is None:
        pytest.skip("segment-anything is not installed; pip install --no-deps segment-anything")
    return bare_module("segment_anything.utils.amg")


@torch.inference_mode()
def test_points_stability_and_boxes_are_upstreams(amg, predictor, encoded):
    points = amg.build_point_grid(4) * [53, 40]
    np.testing.assert_allclose(grid_points(4, (40, 53)), points, rtol=1e-6)
    answers = predictor.from_points(encoded, points)
    logits, _ = predictor._decode(encoded, points, several=True)
    full = predictor._enlarged(logits[None], encoded)[0]
    expected = amg.calculate_stability_score(full, 0.0, 1.0).nan_to_num(0)
    np.testing.assert_allclose(answers.stability, expected, atol=1e-2)
    assert 0 < expected.mean() < 1
    boxes = amg.batched_mask_to_box(full > 0).numpy()
    empty = ~(full > 0).any(-1).any(-1).numpy()
    np.testing.assert_allclose(mask_boxes(answers.masks)[~empty], boxes[~empty] + [0, 0, 1, 1], atol=1)


# The filters


def test_the_thresholds_are_the_original_ones():
    assert vars(GridConfig()) == {
        "points_per_side": 32,
        "points_per_batch": 64,
        "pred_iou": 0.88,
        "stability": 0.95,
        "stability_offset": 1.0,
        "nms_iou": 0.7,
        "min_area": 0,
    }
    # float32 holds neither 0.88 nor 0.95, so exactly halves and quarters stand for them.
    answers = masks_from_grid(
        Scripted(apart(3), [0.5, 0.75, 0.75], [0.75, 0.75, 0.5]),
        None,
        (20, 40),
        GridConfig(points_per_side=1, pred_iou=0.5, stability=0.75),
    )
    assert answers.scores.tolist() == [0.75] and answers.stability.tolist() == [0.75]  # > for one, >= for the other
    np.testing.assert_array_equal(answers.masks, apart(3)[1:2])


def test_a_threshold_of_0_keeps_all_but_empty_masks():
    masks = apart(3)
    masks[2] = False
    predictor = Scripted(masks, [-0.5, 0, 0.9], [0, 0, 1])
    answers = masks_from_grid(predictor, None, (20, 40), GridConfig(points_per_side=1, pred_iou=0, stability=0))
    np.testing.assert_array_equal(answers.masks, masks[[1, 0]])


def test_small_masks_are_dropped_when_asked():
    masks = apart(3)
    masks[0, 10:14, 10:14] = True
    for area, count in ((9, 3), (10, 1), (26, 0)):
        config = GridConfig(points_per_side=1, min_area=area)
        assert len(masks_from_grid(Scripted(masks, [0.9] * 3, [1] * 3), None, (20, 40), config)) == count


def test_of_masks_whose_boxes_overlap_the_best_is_kept_across_batches():
    masks = apart(12)
    masks[9:] = masks[0]
    masks[11, 1, 1] = False  # another mask in the same box
    scores = np.linspace(0.9, 0.99, 12)
    for batch in (1, 2, 4):
        predictor = Scripted(masks, scores, np.ones(12))
        config = GridConfig(points_per_side=2, points_per_batch=batch)
        answers = masks_from_grid(predictor, None, (20, 40), config)
        assert predictor.asked == [batch] * (4 // batch)
        np.testing.assert_array_equal(answers.masks, masks[[11, 8, 7, 6, 5, 4, 3, 2, 1]])
        np.testing.assert_allclose(answers.scores, scores[[11, 8, 7, 6, 5, 4, 3, 2, 1]])
    everything = GridConfig(points_per_side=2, nms_iou=1)
    assert len(masks_from_grid(Scripted(masks, scores, np.ones(12)), None, (20, 40), everything)) == 12


def test_nothing_good_gives_no_masks():
    answers = masks_from_grid(Scripted(apart(3), [0.1] * 3, [1] * 3), None, (20, 40), GridConfig(points_per_side=1))
    assert answers.masks.shape == (0, 20, 40) and answers.masks.dtype == bool
    assert answers.scores.shape == answers.stability.shape == (0,) and answers.scores.dtype == np.float32


# With a model


def test_the_batch_changes_nothing_and_the_offset_does(predictor, encoded):
    answers = masks_from_grid(predictor, encoded, (40, 53), LOOSE)
    assert 1 < len(answers) < 3 * 36 and answers.masks.shape[1:] == (40, 53)
    apiece = GridConfig(**{**vars(LOOSE), "points_per_batch": 5})
    again = masks_from_grid(predictor, encoded, (40, 53), apiece)
    np.testing.assert_allclose(again.scores, answers.scores, atol=1e-4)
    np.testing.assert_allclose(np.sort(again.masks.mean((1, 2))), np.sort(answers.masks.mean((1, 2))), atol=1e-2)
    wide = GridConfig(**{**vars(LOOSE), "stability_offset": 3.0})
    assert masks_from_grid(predictor, encoded, (40, 53), wide).stability.max() < answers.stability.max()


# Refusals


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("points_per_side", 0, "points_per_side must be a whole number of at least 1, got 0; change it."),
        ("points_per_side", 2.5, "points_per_side must be a whole number of at least 1, got 2.5; change it."),
        ("points_per_batch", -1, "points_per_batch must be a whole number of at least 1, got -1; change it."),
        ("pred_iou", 1.5, "pred_iou must be a number between 0 and 1, got 1.5; change it."),
        ("pred_iou", "0.9", "pred_iou must be a number between 0 and 1, got '0.9'; change it."),
        ("stability", float("nan"), "stability must be a number between 0 and 1, got nan; change it."),
        ("stability_offset", float("inf"), "stability_offset must be a number of at least 0, got inf; change it."),
        ("nms_iou", -0.1, "nms_iou must be a number between 0 and 1, got -0.1; change it."),
        ("min_area", -3, "min_area must be a whole number of at least 0, got -3; change it."),
        ("min_area", True, "min_area must be a whole number of at least 0, got True; change it."),
    ],
)
def test_a_config_out_of_range_is_refused(field, value, message):
    assert refusal(GridConfig, **{field: value}) == message
