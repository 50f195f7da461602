import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.metrics import (
    THRESHOLDS,
    f_measure,
    frame_f,
    frame_iou,
    frame_iou_plain,
    hard_mask,
    mean_iou,
    probabilities,
    threshold_curves,
)

CASES = 17


@pytest.fixture(scope="module")
def golden(reference):
    with np.load(reference / "avsbench_metric_golden.npz") as stored:
        return {key: stored[key] for key in stored.files if not key.startswith("avss")}


def close(ours, official):
    np.testing.assert_allclose(ours, official, rtol=0, atol=1e-6)


def test_thresholds_are_the_official_ones_bit_for_bit(golden):
    assert np.array_equal(THRESHOLDS, golden["thlist_255"])
    assert np.array_equal(THRESHOLDS, torch.linspace(0, 1 - 1e-10, 255).numpy())
    assert THRESHOLDS[-1] == 1.0
    assert not np.array_equal(THRESHOLDS, (np.arange(255) / 254).astype(np.float32))  # not vacuous


def test_all_official_golden_cases(golden):
    assert len(golden["_bin_cases"]) == CASES
    for case in golden["_bin_cases"]:
        known = {key.rsplit("/", 1)[1]: golden[key] for key in golden if key.startswith(f"bin/{case}/")}
        scores, truth = probabilities(known["pred_logits"]), known["target"]
        curves, mask = threshold_curves(scores, truth), hard_mask(scores)
        close(mean_iou(mask, truth), known["mask_iou"])
        close(frame_iou(mask, truth), known["mask_iou_per_frame"])
        close(f_measure(scores, truth), known["Eval_Fmeasure"])
        close(curves.f.max(axis=1), known["Eval_Fmeasure_per_frame"])
        close(curves.precision, known["precision_curve"])
        close(curves.recall, known["recall_curve"])


def f_by_loop(scores, truth):
    """F per frame and threshold, spelled out."""
    curves = np.zeros((len(scores), 255))
    for n, (score, true) in enumerate(zip(scores, truth, strict=True)):
        for k, threshold in enumerate(THRESHOLDS):
            chosen = score >= threshold
            hits = np.count_nonzero(chosen & true)
            if hits:
                precision, recall = hits / np.count_nonzero(chosen), hits / np.count_nonzero(true)
                curves[n, k] = 1.3 * precision * recall / (0.3 * precision + recall)
    return curves


@pytest.mark.parametrize("kind", ["random", "ties", "just below ties", "just above ties", "few values"])
def test_histogram_equals_the_loop_over_thresholds(kind):
    rng = np.random.default_rng(5)
    shape = (3, 19, 23)
    ties = rng.choice(THRESHOLDS, shape)
    scores = {
        "random": rng.random(shape, dtype=np.float32),
        "ties": ties,
        "just below ties": np.nextafter(ties, np.float32(0)),
        "just above ties": np.nextafter(ties, np.float32(1)),
        "few values": rng.choice(np.float32([0, 0.5, 1]), shape),
    }[kind]
    truth = rng.random(shape) < 0.3
    truth[1] = False
    np.testing.assert_allclose(threshold_curves(scores, truth).f, f_by_loop(scores, truth), rtol=0, atol=1e-12)


def test_every_threshold_accepts_itself_and_rejects_the_float_below():
    above_zero = THRESHOLDS[1:]
    below = np.nextafter(above_zero, np.float32(0))
    everything = np.ones((254, 1, 1), bool)
    at = threshold_curves(above_zero[:, None, None], everything).recall
    under = threshold_curves(below[:, None, None], everything).recall
    row = np.arange(254)
    assert (at[row, row + 1] == 1).all() and (under[row, row + 1] == 0).all() and (under[row, row] == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 3)])
def test_perfect_scores_are_one(size):
    truth = np.zeros((2, *size), np.uint8)
    truth[:, 0] = 1
    mask = truth > 0
    assert f_measure(mask, truth) == pytest.approx(1)
    assert mean_iou(mask, truth) == pytest.approx(1, abs=2e-7)
    assert (frame_iou_plain(mask, truth) == 1).all() and frame_f(mask, truth) == pytest.approx(1)


def test_everything_stays_within_zero_and_one():
    rng = np.random.default_rng(1)
    scores, truth = rng.random((8, 9, 9), dtype=np.float32), rng.random((8, 9, 9)) < rng.random((8, 1, 1))
    curves, mask = threshold_curves(scores, truth), hard_mask(scores)
    ious = (frame_iou(mask, truth), frame_iou_plain(mask, truth))
    for values in (curves.precision, curves.recall, curves.f, *ious):
        assert values.min() >= 0 and values.max() <= 1 + 1e-12


def test_recall_never_rises_with_the_threshold():
    rng = np.random.default_rng(2)
    curves = threshold_curves(rng.random((4, 9, 9), dtype=np.float32), rng.random((4, 9, 9)) < 0.5)
    assert (np.diff(curves.recall, axis=1) <= 0).all() and (np.diff(curves.recall, axis=1) < 0).any()


def test_empty_ground_truth_is_the_true_negative_fraction_officially_and_all_or_nothing_plainly():
    truth = np.zeros((3, 4, 4), bool)
    mask = truth.copy()
    mask[1, :2], mask[2] = True, True
    np.testing.assert_allclose(frame_iou(mask, truth), [1, 0.5, 0], atol=1e-7)
    assert frame_iou_plain(mask, truth).tolist() == [1, 0, 0]
    assert np.isnan(frame_f(mask, truth)).all()
    assert f_measure(mask, truth) == 0 and not threshold_curves(mask, truth).f.any()


def test_an_empty_prediction_scores_officially_but_not_as_a_mask():
    truth = np.zeros((1, 10, 10), bool)
    truth[0, :, :3] = True
    nothing = np.zeros_like(truth)
    assert f_measure(nothing, truth) == pytest.approx(1.3 * 0.3 / (0.3 * 0.3 + 1))
    assert frame_f(nothing, truth).tolist() == [0]


def test_logit_zero_is_background_and_large_logits_do_not_overflow():
    assert probabilities([0.0, 1000.0, -1000.0]).tolist() == [0.5, 1.0, 0.0]
    assert hard_mask(probabilities([0.0, 1e-3])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: f_measure(np.full((1, 2, 2), 1.5), np.ones((1, 2, 2))),
            "scores must be in [0, 1], got 1.5 to 1.5; pass logits through probabilities().",
        ),
        (
            lambda: f_measure(np.full((1, 2, 2), np.nan), np.ones((1, 2, 2))),
            "scores must be in [0, 1], got nan to nan; pass logits through probabilities().",
        ),
        (
            lambda: f_measure(np.zeros((1, 2, 2)), np.ones((1, 2, 3))),
            "predictions and ground truth must both be (frames, height, width) with at least one pixel, "
            "got (1, 2, 2) and (1, 2, 3); resize the prediction to the ground truth.",
        ),
        (
            lambda: mean_iou(np.zeros((1, 2, 2)), np.ones((1, 2, 2))),
            "a hard mask must be bool, got float64; threshold scores with hard_mask() first.",
        ),
        (
            lambda: mean_iou(np.zeros((0, 2, 2), bool), np.ones((0, 2, 2))),
            "predictions and ground truth must both be (frames, height, width) with at least one pixel, "
            "got (0, 2, 2) and (0, 2, 2); resize the prediction to the ground truth.",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError) as refusal:
        call()
    assert str(refusal.value) == message
