import json
import math

import numpy as np
import pytest

from moca.errors import InputError
from moca.metrics.semantic import ClassSums, SemanticScores, pad_frames, score_labels, semantic_metrics

CASES = 8
NAMES = [f"class {index}" for index in range(71)]


@pytest.fixture(scope="module")
def golden(reference):
    with np.load(reference / "avsbench_metric_golden.npz") as stored:
        return {key: stored[key] for key in stored.files if key.startswith(("avss/", "_avss"))}


def close(ours, official):
    np.testing.assert_allclose(ours, official, rtol=0, atol=1e-6)


def label_maps(seed=0, *, frames=4, classes=5, size=(8, 9), wrong=0.3):
    """(pred, truth) of random blocks of labels, a share of whose pixels is predicted wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (frames, *size)) * (rng.random((frames, 1, 1)) < 0.8)
    return np.where(rng.random(truth.shape) < wrong, rng.integers(0, classes, truth.shape), truth), truth


def collected(items, classes=5):
    scores = SemanticScores(NAMES[:classes])
    for pred, truth in items:
        scores.add(score_labels(pred, truth, classes))
    return scores


def test_all_official_golden_cases(golden):
    assert len(golden["_avss_cases"]) == CASES
    everything = SemanticScores(NAMES)
    for case in golden["_avss_cases"]:
        known = {key.rsplit("/", 1)[1]: golden[key] for key in golden if key.startswith(f"avss/{case}/")}
        sums = score_labels(known["argmax"], known["target"])
        close(sums.iou, known["iou_sum_per_class"])
        close(sums.f, known["fscore_sum_per_class"])
        close(sums.count, known["cls_count"])
        scores = SemanticScores(NAMES)
        scores.add(sums)
        everything.add(sums)
        row, classes = scores.compute(), [row for row in scores.per_class().values() if row["count"]]
        final = [row[name] for name in ("miou", "miou_but_last", "f", "f_but_last")]
        close(final, known["final_miou_miouNoLast_f_fNoLast"])
        # What the official loop prints on its way: means over the classes seen, the background included.
        close([np.mean([row[name] for row in classes]) for name in ("iou", "f")], known["running_miou_f"])
    row = everything.compute()
    final = [row[name] for name in ("miou", "miou_but_last", "f", "f_but_last")]
    close(final, golden["avss/_ALL_CASES_ACCUMULATED/final_miou_miouNoLast_f_fNoLast"])
    assert row["frames"] == 10 * CASES and row["videos"] == CASES


def sums_by_loop(pred, truth, classes):
    """Per class the sums of IoU and F and the frames that count, pixel set by pixel set."""
    iou, f, count = np.zeros(classes), np.zeros(classes), np.zeros(classes, int)
    for p, t in zip(pred, truth, strict=True):
        for c in range(classes):
            predicted, labelled = (p == c) & (t >= 0), t == c
            hits, union = (predicted & labelled).sum(), (predicted | labelled).sum()
            if not union:
                continue
            count[c] += 1
            iou[c] += hits / union
            if hits:
                precision, recall = hits / predicted.sum(), hits / labelled.sum()
                f[c] += 1.3 * precision * recall / (0.3 * precision + recall)
    return iou, f, count


@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("dtype", [np.int64, np.int8])
def test_sums_equal_the_loop_over_classes(ignored, dtype):
    pred, truth = label_maps(3, classes=6)
    drawn = np.random.default_rng(4).random(truth.shape)
    truth = np.where(drawn < ignored, np.where(drawn < 0.2, -1, -100), truth)
    sums = score_labels(pred.astype(dtype), truth.astype(dtype), 6)
    for ours, loop in zip((sums.iou, sums.f, sums.count), sums_by_loop(pred, truth, 6), strict=True):
        np.testing.assert_allclose(ours, loop, rtol=0, atol=1e-12)


def test_small_types_do_not_overflow():
    pred, truth = (maps.astype(np.uint8) + 60 for maps in label_maps(1))
    assert score_labels(pred, truth) == score_labels(pred.astype(np.int64), truth.astype(np.int64))


def test_ignored_pixels_cannot_change_anything_and_counted_ones_can():
    pred, truth = label_maps(5)
    other = pred.copy()
    other[:, :4] = (pred[:, :4] + 1) % 5
    assert score_labels(other, truth, 5) != score_labels(pred, truth, 5)
    truth[:, :4] = -1
    assert score_labels(other, truth, 5) == score_labels(pred, truth, 5)


def test_a_frame_that_is_ignored_everywhere_counts_for_no_class():
    sums = score_labels(np.ones((2, 3, 3), int), np.full((2, 3, 3), -1), 3)
    assert sums == ClassSums(iou=(0.0,) * 3, f=(0.0,) * 3, count=(0, 0, 0), frames=2)


def test_perfect_labels_score_one_for_what_occurs_and_zero_for_what_does_not():
    truth = np.zeros((2, 4, 4), int)
    truth[:, :2] = 1
    row = collected([(truth, truth)], 4).compute()
    assert row["miou_seen"] == row["f_seen"] == pytest.approx(1) and row["classes_seen"] == 1
    assert row["miou"] == row["f"] == pytest.approx(2 / 4) and row["miou_but_last"] == pytest.approx(2 / 3)


def test_without_the_last_class_is_not_without_the_background():
    truth = np.zeros((1, 4, 4), int)
    truth[:, :2] = 3  # the last class, all found; background and the rest all wrong
    row = collected([(np.where(truth == 3, 3, 1), truth)], 4).compute()
    assert row["miou"] == pytest.approx(1 / 4) and row["miou_but_last"] == 0
    assert row["miou_seen"] == pytest.approx(1 / 2)  # the last class, and the false alarm of class 1


def test_background_alone_has_no_objects_to_average():
    nothing = np.zeros((1, 2, 2), int)
    row = collected([(nothing, nothing)], 3).compute()
    assert math.isnan(row["miou_seen"]) and math.isnan(row["f_seen"]) and row["classes_seen"] == 0
    assert row["miou"] == pytest.approx(1 / 3)


def test_per_class_gives_means_of_frames_and_nan_for_what_never_occurs():
    pred, truth = np.zeros((2, 1, 4), int), np.zeros((2, 1, 4), int)
    pred[0, 0, :2], truth[0, 0, 1:3] = 1, 1  # one of two found, one false
    rows = collected([(pred, truth)], 3).per_class()
    assert list(rows) == NAMES[:3] and [row["count"] for row in rows.values()] == [2, 1, 0]
    assert rows["class 1"]["iou"] == pytest.approx(1 / 3) and rows["class 1"]["f"] == pytest.approx(1 / 2)
    assert math.isnan(rows["class 2"]["iou"]) and math.isnan(rows["class 2"]["f"])


def test_padding_is_background_and_moves_the_official_numbers_only():
    pred, truth = label_maps(6)
    padded = pad_frames(truth.astype(np.uint8), 10)
    assert padded.shape == (10, 8, 9) and padded.dtype == np.uint8
    assert np.array_equal(padded[:4], truth) and not padded[4:].any()
    short, long = (collected([item]).compute() for item in ((pred, truth), (pad_frames(pred), pad_frames(truth))))
    assert long["miou"] > short["miou"] and long["f"] > short["f"]
    assert long["miou_seen"] == short["miou_seen"] and long["f_seen"] == short["f_seen"]
    assert (short["frames"], long["frames"]) == (4, 10)
    assert np.array_equal(pad_frames(padded), padded)


def test_shards_merge_into_the_serial_result_to_the_bit():
    items = [label_maps(seed) for seed in range(9)]
    shards = [SemanticScores(NAMES[:5]), SemanticScores(NAMES[:5])]
    for index in reversed(range(9)):
        shards[index % 2].add(score_labels(*items[index], 5), index=index)
    shards[1].merge(shards[0])
    assert shards[1].compute() == collected(items).compute() and len(shards[1]) == 9
    assert shards[1].compute() == collected(items[::-1]).compute() != collected(items[1:]).compute()


def test_many_test_sets_at_once_equal_one_after_the_other():
    videos = [score_labels(*label_maps(seed), 5) for seed in range(6)]
    draws = np.random.default_rng(0).integers(0, 6, (3, 6))
    stacked = (
        np.array([getattr(video, name) for video in videos])[draws].sum(axis=1) for name in ("iou", "f", "count")
    )
    together = semantic_metrics(*stacked)
    for place, draw in enumerate(draws):
        scores = SemanticScores(NAMES[:5])
        for video in draw:
            scores.add(videos[video])
        row = scores.compute()
        for name, values in together.items():
            assert values[place] == pytest.approx(row[name], abs=1e-12), name
    assert len(set(together["miou"])) > 1


def test_sums_survive_json_to_the_bit():
    sums = score_labels(*label_maps(7), 5)
    assert ClassSums.from_json(json.loads(json.dumps(sums.to_json()))) == sums


def test_refusals_change_nothing():
    scores, other, renamed = collected([label_maps(0)]), collected([label_maps(1)]), SemanticScores(NAMES[1:6])
    maps = np.zeros((1, 2, 2), int)
    cases = {
        lambda: scores.add(score_labels(maps, maps, 3)): "a video must be scored with the test set's 5 classes, got 3; "
        "pass classes=5 to score_labels().",
        lambda: scores.add(score_labels(maps, maps, 5), index=0): "every video counts once, video 0 is already scored; "
        "give it its own index.",
        lambda: scores.merge(other): "every video counts once, 1 are in both shards (first: 0); "
        "give videos their index in the whole test set.",
        lambda: scores.merge(renamed): "shards to merge must have the same class names in the same order; "
        "read both anew.",
        lambda: SemanticScores(NAMES).compute(): "at least 1 video must be scored before metrics exist, got 0; "
        "call add() or update() first.",
        lambda: SemanticScores(["a", "b", "a"]): "class names must be at least 2 different ones, the background first, "
        "got 3 (2 different); AVSS has 71.",
        lambda: score_labels(maps, maps, 1): "classes must be at least 2, the background and one more, got 1; "
        "AVSS has 71.",
        lambda: score_labels(maps / 2, maps, 3): "label maps must be whole numbers, got float64 and int64; "
        "pass class indices, not scores or colours.",
        lambda: score_labels(maps[0], maps[0], 3): "predicted and true labels must both be (frames, height, width) "
        "with at least one pixel, got (2, 2) and (2, 2); resize the prediction to the ground truth.",
        lambda: score_labels(maps - 1, maps + 255, 3): "labels must be 0 to 2 for 3 classes (true ones below 0 are "
        "ignored), got -1 to -1 predicted and up to 255 true; use the data set's class indices.",
        lambda: pad_frames(np.zeros((11, 2, 2), int)): "label maps to pad must be (frames, height, width) with 1 to 10 "
        "frames, got (11, 2, 2); pass the frames of one video.",
    }
    before = scores.compute()
    for call, message in cases.items():
        with pytest.raises(InputError) as refusal:
            call()
        assert str(refusal.value) == message
    assert scores.compute() == before and len(scores) == 1


def test_stored_sums_that_do_not_fit_are_refused():
    stored = score_labels(*label_maps(0), 5).to_json()
    with pytest.raises(InputError, match=r"^a video's class sums have the keys \['count', 'f', 'frames', 'iou'\], got"):
        ClassSums.from_json(stored | {"extra": 1})
    with pytest.raises(InputError) as refusal:
        ClassSums.from_json(stored | {"count": [5, 0, 0, 0, 0]})
    assert str(refusal.value) == (
        "a video's class sums need one iou, f and count per class and every count in 0..frames, got 5, 5 and 5 values "
        "for 4 frames; score the video again."
    )
