import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import auc as sklearn_auc
from sklearn.metrics import average_precision_score

from moca.errors import InputError
from moca.metrics.localisation import (
    LocalisationScores,
    LocalisedClip,
    average_precision,
    box_map,
    cap,
    ciou,
    consensus_map,
    detection_ap,
    detection_f1,
    highest_ciou,
    piap,
    resize_heat,
    score_map,
    success_area,
    top_half,
)


@pytest.fixture(scope="module")
def golden(reference):
    with np.load(reference / "ssl_metric_golden.npz") as stored:
        return {key: stored[key] for key in stored.files}


def close(ours, official):
    np.testing.assert_allclose(ours, official, rtol=0, atol=1e-6)


def collected(clips):
    scores = LocalisationScores()
    for clip in clips:
        scores.add(clip)
    return scores


def example(seed=0, *, size=12, empty=False):
    """A heat map in [0, 1] that is warmer where the truth is."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((size, size))
    if not empty:
        truth[2 : 2 + size // 3, 3 : 3 + size // 2] = 1
    return np.clip(rng.random((size, size)) * 0.8 + 0.3 * truth, 0, 1), truth


def clip(at, confidence=0.5, *, sounding=True):
    return LocalisedClip(ciou=at, ciou_any=at, confidence=confidence, ap_pixel=at, piap_reversed=at, sounding=sounding)


@pytest.mark.parametrize(("rows", "weight", "highest"), [(4, 1, 0.8), (5, 1, 1), (7, 1, 1), (4, 0.5, 2 / 3), (0, 1, 0)])
def test_no_heat_map_is_above_the_highest_ciou(rows, weight, highest):
    truth = np.zeros((10, 10))
    truth[:rows] = weight
    rng = np.random.default_rng(0)
    tried = [ciou(rng.random((10, 10)) + truth * rng.choice([0, 0.3, 9]), truth) for _ in range(50)]
    assert highest_ciou(truth) == pytest.approx(highest) == pytest.approx(max(*tried, ciou(truth, truth)), abs=1e-12)


def test_all_official_golden_values(golden):
    heats = [resize_heat(low) for low in golden["low7x7"]]
    heats = [(heat - heat.min()) / (heat.max() - heat.min()) for heat in heats]
    clips = [score_map(heat, truth) for heat, truth in zip(heats, golden["gt_map"], strict=True)]
    close([heat[top_half(heat)].min() for heat in heats], golden["pred_thr"])
    close([clip.ciou for clip in clips], golden["ezvsl_ciou"])
    close([clip.ciou_any for clip in clips], golden["avgn_ciou"])
    close([clip.piap_reversed for clip in clips], golden["avgn_piap_per_sample"])
    close([clip.ap_pixel for clip in clips], golden["pixel_AP_proper_order_continuous"])
    # The golden confidences were drawn, not taken from the maps.
    drawn = [replace(clip, confidence=float(c)) for clip, c in zip(clips, golden["avgn_conf"], strict=True)]
    row = collected(drawn).compute()
    official = {
        "ciou_at_50": "ezvsl_AP50_cIoU",
        "mean_ciou": "ezvsl_avg_ciou",
        "auc": "ezvsl_AUC",
        "auc_avgn": "avgn_auc",
        "iou_at_10": "avgn_prec10",
        "iou_at_30": "avgn_prec30",
        "iou_at_50": "avgn_prec50",
        "ap_at_30": "avgn_ap30",
        "ap_at_50": "avgn_ap50",
        "f1_at_30": "avgn_f1_30",
        "piap_reversed": "avgn_piap_average",
    }
    for ours, theirs in official.items():
        close(row[ours], golden[theirs])
    assert row["videos"] == row["sounding"] == 20
    assert row["ap_at_30"] != collected(clips).compute()["ap_at_30"]  # confidence does count


def test_boxes_are_cut_to_whole_pixels_and_united():
    covered = box_map(np.array([[0.0, 0.25, 0.5, 0.5], [0.49, 0.25, 1.0, 0.5]]), size=8)
    assert covered.dtype == bool and covered[2:4].all() and covered.sum() == 16
    assert np.array_equal(np.argwhere(box_map([[0.26, 0.13, 0.51, 0.37]], size=8)), [[1, 2], [1, 3]])
    assert box_map([[-1, -1, 2, 2]]).all() and box_map([[-1, -1, 2, 2]]).shape == (224, 224)


@pytest.mark.parametrize("box", [[-2.88e16] * 4, [0.5, 0.5, 0.5, 0.9], [0.8, 0.2, 0.3, 0.7], [2.88e16, 0, 2.88e16, 1]])
def test_degenerate_boxes_cover_nothing_and_spoil_no_other(box):
    assert not box_map([box]).any() and not box_map(np.zeros((0, 4))).any() and not box_map([]).any()
    good = [0.1, 0.1, 0.3, 0.3]
    assert np.array_equal(box_map([box, good]), box_map([good])) and box_map([good]).any()


def test_consensus_is_half_for_one_annotator_and_whole_for_two():
    left, right = [[0, 0, 0.75, 1]], [[0.25, 0, 1, 1]]
    assert np.array_equal(consensus_map([left, right], size=4)[0], [0.5, 1, 1, 0.5])
    assert np.array_equal(consensus_map([left, right, left], size=4)[0], [1, 1, 1, 0.5])
    assert consensus_map([left, right], size=4).dtype == np.float32
    assert not consensus_map([], size=4).any() and consensus_map([[], left], size=4).max() == 0.5


def test_resizing_puts_corners_on_corners():
    heat = np.array([[0.0, 1.0], [2.0, 3.0]])
    large = resize_heat(heat, 4)
    assert np.allclose(large[0], [0, 1 / 3, 2 / 3, 1]) and large[3, 3] == 3 and large.dtype == np.float32
    assert np.array_equal(resize_heat(large, 4), large)
    wide = np.asarray(np.random.default_rng(0).random((5, 9)), dtype=np.float32)[:, ::-1]
    assert np.allclose(resize_heat(wide, 12)[[0, 0, -1, -1], [0, -1, 0, -1]], wide[[0, 0, -1, -1], [0, -1, 0, -1]])


def test_the_top_half_is_half_of_a_ranking_and_everything_when_half_of_it_is_equal():
    ranking = np.random.default_rng(2).permutation(30).reshape(5, 6) / 30
    assert top_half(ranking).sum() == 15 and ranking[top_half(ranking)].min() > ranking[~top_half(ranking)].max()
    assert np.array_equal(top_half(ranking), top_half(7 * ranking - 3))
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    assert top_half(mask).all() and top_half(np.zeros((4, 4))).all()
    mask[1] = True
    assert np.array_equal(top_half(mask), mask)  # half of the picture: the threshold is the mask itself


def test_ciou_weighs_the_truth_and_counts_only_what_is_outside_of_it_against_it():
    heat = np.array([[4.0, 3.0, 2.0, 1.0]])  # the top half: the first two
    assert ciou(heat, np.array([[1, 1, 0, 0]])) == 1
    assert ciou(heat, np.array([[1, 0, 1, 0]])) == pytest.approx(1 / 3)
    assert ciou(heat, np.array([[0.5, 0, 1, 0]])) == pytest.approx(0.5 / 2.5)
    assert ciou(heat, np.zeros((1, 4))) == 0
    assert ciou(np.ones((1, 1)), np.ones((1, 1))) == 1


@pytest.mark.parametrize("levels", [2, 5, 0])
def test_average_precision_is_that_of_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    scores, truth = rng.random((9, 11)), rng.random((9, 11)) < 0.3
    scores = np.floor(scores * levels) / levels if levels else scores
    ours = average_precision(truth, scores)
    assert ours == pytest.approx(average_precision_score(truth.ravel(), scores.ravel()), abs=1e-12)
    assert average_precision(truth, truth) == 1 and average_precision(truth, scores > 2) == pytest.approx(truth.mean())
    assert average_precision(np.zeros((2, 2)), np.eye(2)) == 0


def test_one_clip_by_hand():
    heat, truth = np.array([[0.8, 0.6], [0.4, 0.0]]), np.array([[1.0, 0.5], [0.5, 0.0]])
    scored = score_map(heat, truth)
    assert scored.ciou == pytest.approx(1.5 / 2) and scored.ciou_any == pytest.approx(2 / 3)
    assert scored.confidence == 0.8 and scored.ap_pixel == 1 and scored.sounding
    # AVGN's closed form: a b + (1 - a) q with a = I / |P|, b = I / |G| and q = |P| / HW
    assert scored.piap_reversed == pytest.approx(2 / 2 * 2 / 3 + (1 - 2 / 2) * 2 / 4)


def test_confidence_is_the_mean_of_the_highest_quarter_rounded_up():
    heat = np.random.default_rng(0).permutation(9).reshape(3, 3)
    assert score_map(heat, np.ones((3, 3))).confidence == (8 + 7 + 6) / 3
    assert score_map(heat[:2, :2], np.ones((2, 2))).confidence == heat[:2, :2].max()


def test_a_map_without_information():
    _, truth = example()
    scored = score_map(np.zeros_like(truth), truth)
    assert scored.ciou == scored.ciou_any == scored.ap_pixel == pytest.approx(truth.mean())
    assert scored.piap_reversed == 1 and scored.confidence == 0  # the flaw of the reversed one
    better = score_map(*example())
    assert better.ap_pixel > scored.ap_pixel and better.piap_reversed < 1


def test_a_clip_with_nothing_marked_counts_for_ez_vsl_and_not_for_avgn():
    heat, truth = example(empty=True)
    silent, degenerate = score_map(heat, truth), score_map(heat, truth, sounding=True)
    assert not silent.sounding and degenerate == replace(silent, sounding=True) and silent.ap_pixel == 0
    with_silent = collected([clip(0.9), silent]).compute()
    assert with_silent["ciou_at_50"] == 0.5 and with_silent["iou_at_50"] == 1 and with_silent["sounding"] == 1
    assert collected([clip(0.9), degenerate]).compute()["iou_at_50"] == 0.5
    alone = collected([silent]).compute()
    assert alone["ciou_at_50"] == 0
    assert all(math.isnan(alone[name]) for name in ("iou_at_10", "iou_at_30", "iou_at_50", "auc_avgn", "ap_pixel"))


def test_reaching_a_limit_counts_for_ez_vsl_and_not_for_avgn():
    row = collected([clip(0.5), clip(0.1)]).compute()
    assert row["ciou_at_50"] == 0.5 and row["iou_at_50"] == 0
    assert row["iou_at_10"] == row["iou_at_30"] == 0.5 and row["mean_ciou"] == pytest.approx(0.3)


def test_the_area_under_success_is_between_its_bounds_and_as_scikit_learn_has_it():
    cious = np.random.default_rng(3).random(17)
    limits = [0.05 * i for i in range(21)]
    shares = [np.sum(cious >= limit) / 17 for limit in limits]
    assert success_area(cious) == pytest.approx(sklearn_auc(limits, shares), abs=1e-12)
    assert success_area(np.ones(3)) == pytest.approx(1) and success_area(np.zeros(3)) == pytest.approx(0.025)


def detections_by_loop(cious, confidence, sounding, threshold, at):
    """Precision and recall, clip by clip, as AVGN counts them."""
    right = wrong = missed = 0
    for value, sure, there in zip(cious, confidence, sounding, strict=True):
        if sure >= threshold:
            right, wrong = right + (there and value >= at), wrong + (not there or value < at)
        else:
            missed += there
    return (right / (right + wrong) if right + wrong else 1.0, right / (right + missed) if right + missed else 1.0)


@pytest.mark.parametrize(("count", "ties"), [(2, False), (30, False), (30, True), (450, False)])
def test_detections_equal_the_loop_over_clips(count, ties):
    rng = np.random.default_rng(count)
    cious, confidence, sounding = rng.random(count), rng.random(count), rng.random(count) < 0.8
    confidence = confidence.round(1) if ties else confidence
    thresholds = np.sort(confidence)[:-1][:: -max(1, count // 200)]
    curve = [detections_by_loop(cious, confidence, sounding, threshold, 0.3) for threshold in thresholds]
    best = [max(precision for precision, _ in curve[place:]) for place in range(len(curve))]
    area = sum(best[i] * (curve[i + 1][1] - curve[i][1]) for i in range(len(curve) - 1))
    assert detection_ap(cious, confidence, sounding, least_ciou=0.3) == pytest.approx(area, abs=1e-12)
    precision, recall = detections_by_loop(cious, confidence, sounding, 0.5, 0.3)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert detection_f1(cious, confidence, sounding, least_ciou=0.3) == pytest.approx(f1, abs=1e-12)


def test_ends_of_the_detections():
    sure, place = np.linspace(0.6, 0.9, 10), np.ones(10, bool)
    assert detection_ap(np.ones(10), sure, place, least_ciou=0.5) == pytest.approx(1 - 2 / 10)
    assert detection_f1(np.ones(10), sure, place, least_ciou=0.5) == 1
    assert (
        detection_ap(np.zeros(10), sure, place, least_ciou=0.5)
        == detection_f1(np.zeros(10), sure, place, least_ciou=0.5)
        == 0
    )
    assert detection_f1(np.ones(10), sure - 0.5, place, least_ciou=0.5) == 0  # nothing claimed: precision 1, recall 0
    assert detection_ap(np.ones(1), sure[:1], place[:1], least_ciou=0.5) == 0  # a single clip has no threshold


def test_shards_merge_into_the_serial_result():
    clips = [score_map(*example(seed, empty=seed == 4)) for seed in range(9)]
    shards = [LocalisationScores(), LocalisationScores()]
    for index in reversed(range(9)):
        shards[index % 2].add(clips[index], index=index)
    shards[0].merge(shards[1])
    assert shards[0].compute() == collected(clips).compute() and len(shards[0]) == 9
    assert shards[0].in_order() == clips
    assert shards[0].compute() != collected(clips[1:]).compute()


def test_a_clip_survives_json_to_the_bit():
    scored = score_map(*example(1))
    assert LocalisedClip.from_json(json.loads(json.dumps(scored.to_json()))) == scored


def places(seed=0):
    """Two places with a source each, and the perfect map of each source."""
    truths = np.zeros((2, 6, 6), bool)
    truths[0, :2, :4], truths[1, 3:, 2:] = True, True
    maps = np.random.default_rng(seed).random((2, 2, 6, 6)) * 0.5
    for source in range(2):
        maps[source, source] += truths[source]
    return truths, maps


def multi_source_by_loop(truths, maps):
    """CAP and PIAP as the published code computes them, with scikit-learn."""

    def binary(part):
        part = (part - part.min()) / (part.max() - part.min())
        middle = np.sort(part.ravel())[part.size // 2]
        part[part > middle] = 1
        part[part < 1] = 0
        return part

    def precision(truth, part):
        return average_precision_score(truth.ravel(), part.ravel()) if truth.any() else 0.0

    left, values = truths.copy(), []
    for parts in maps:
        cious, precisions = [], []
        for part, truth in zip(map(binary, parts), left, strict=True):
            cious.append((part * truth).sum() / (truth.sum() + (part * (truth == 0)).sum()))
            precisions.append(precision(truth, part))
        place = int(np.argmax(cious))
        values.append(precisions[place])
        left[place] = 0
    values += [0.0] * (len(truths) - len(maps))
    return np.mean(values), precision(truths, np.stack([binary(part) for part in sum(maps)]))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("levels", [3, 0])
def test_several_sources_equal_the_published_loop(count, levels):
    truths, maps = places(count)
    maps = np.concatenate([maps, maps[::-1]])[:count]
    maps = np.floor(maps * levels) / levels if levels else maps
    expected_cap, expected_piap = multi_source_by_loop(truths, maps)
    assert cap(truths, maps) == pytest.approx(expected_cap, abs=1e-12)
    assert piap(truths, maps) == pytest.approx(expected_piap, abs=1e-12)


def test_which_map_is_whose_does_not_matter_and_a_missing_one_does():
    truths, maps = places()
    assert cap(truths, maps[::-1]) == cap(truths, maps) and piap(truths, maps[::-1]) == piap(truths, maps)
    upper = maps[0, 0] > np.sort(maps[0, 0].ravel())[18]
    assert cap(truths, maps[:1]) == pytest.approx(average_precision(truths[0], upper) / 2)
    assert cap(truths, maps[[0, 0]]) < cap(truths, maps)  # the second copy finds its source used up


def test_several_sources_without_a_map_or_with_flat_ones():
    truths, maps = places()
    assert math.isnan(cap(truths, [])) and math.isnan(piap(truths, maps[:0]))
    # A flat map fits no source, so both take the first place, which is used up for the second one.
    assert cap(truths, np.ones_like(maps)) == pytest.approx(truths[0].mean() / 2)
    assert piap(truths, np.ones_like(maps)) == pytest.approx(truths.mean())
    broad = np.array([[[1.0, 1.0, 1.0, 0.0]]])  # the middle value is the highest: all that have it
    assert cap(broad, broad[None]) == piap(broad, broad[None]) == 1
    alone = truths[:1].astype(float)
    assert cap(alone, alone[None]) == piap(alone, alone[None]) == 1


def test_refusals_change_nothing():
    heat, truth = example()
    scores, other = collected([clip(0.1)]), collected([clip(0.2)])
    broken = heat.copy()
    broken[0, :2] = math.nan
    cases = {
        lambda: scores.add(clip(0.3), index=0): "every video counts once, video 0 is already scored; "
        "give it its own index.",
        lambda: scores.merge(other): "every video counts once, 1 are in both shards (first: 0); "
        "give videos their index in the whole test set.",
        lambda: LocalisationScores().compute(): "at least 1 video must be scored before metrics exist, got 0; "
        "call add() or update() first.",
        lambda: score_map(heat, truth[1:]): "a heat map must be as large as its ground truth, got (12, 12) and "
        "(11, 12); bring it there with resize_heat().",
        lambda: score_map(heat, 255 * truth): "a ground-truth map must be in [0, 1], got 0 to 255; "
        "use box_map() or divide.",
        lambda: ciou(broken, truth): "a heat map must be (height, width) finite numbers with at least one pixel, got "
        "shape (12, 12) with 2 others; pass one frame's map.",
        lambda: resize_heat(heat[None]): "a heat map must be (height, width) finite numbers with at least one pixel, "
        "got shape (1, 12, 12) with 0 others; pass one frame's map.",
        lambda: box_map([[0.0, 0.0, math.nan, 1.0]]): "boxes must be (K, 4) finite numbers, xmin, ymin, xmax, ymax in "
        "0..1, got shape (1, 4); divide pixels by the frame's width and height.",
        lambda: box_map([0.0, 0.0, 1.0, 1.0]): "boxes must be (K, 4) finite numbers, xmin, ymin, xmax, ymax in 0..1, "
        "got shape (4,); divide pixels by the frame's width and height.",
        lambda: cap(np.ones((2, 4, 4)), np.ones((1, 3, 4, 4))): "ground truth must be (places, height, width) and "
        "predicted maps (maps, places, height, width), finite, got (2, 4, 4) and (1, 3, 4, 4); cut every map into the "
        "frames that were put together.",
    }
    before = scores.compute()
    for call, message in cases.items():
        with pytest.raises(InputError) as refusal:
            call()
        assert str(refusal.value) == message
    np.testing.assert_equal(scores.compute(), before)


def test_stored_clips_that_do_not_fit_are_refused():
    stored = clip(0.5).to_json()
    with pytest.raises(InputError, match=r"^a clip's localisation has the keys \[.*\], got .*; score it again\.$"):
        LocalisedClip.from_json(stored | {"extra": 1})
    with pytest.raises(InputError) as refusal:
        LocalisedClip.from_json(stored | {"ciou": 1.5, "confidence": math.inf})
    assert str(refusal.value) == (
        "a clip's localisation needs shares in 0..1 and a finite confidence, got (1.5, 0.5, 0.5, 0.5) and inf; "
        "score the clip again."
    )
