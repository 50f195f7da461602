import json
import math

import numpy as np
import pytest

from moca.errors import InputError
from moca.metrics import AVSBenchScores, VideoScores, f_measure, frame_f, mean_iou, score_video


def videos(count, *, frames=5, silent=0.3, seed=0):
    """(masks, heats, truth) of random videos, some of whose frames are empty."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        truth = rng.random((frames, 8, 9)) < 0.3
        truth[rng.random(frames) < silent] = False
        heats = np.clip(rng.random(truth.shape) * 0.7 + 0.3 * truth, 0, 1).astype(np.float32)
        yield heats > 0.5, heats, truth


def collected(items, batch_videos=(1, 4)):
    scores = AVSBenchScores(batch_videos)
    for item in items:
        scores.update(*item)
    return scores


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_official_numbers_are_the_mean_over_batches_of_the_batch_functions(batch):
    items = list(videos(10))
    measured = collected(items, batch).compute()
    groups = [[np.concatenate(part) for part in zip(*items[i : i + batch], strict=True)] for i in range(0, 10, batch)]
    assert measured[f"f_batch{batch}"] == pytest.approx(np.mean([f_measure(h, t) for _, h, t in groups]), abs=1e-12)
    assert measured[f"miou_batch{batch}"] == pytest.approx(np.mean([mean_iou(m, t) for m, _, t in groups]), abs=1e-12)


def test_the_official_f_depends_on_order_and_batching_and_the_batch_free_one_does_not():
    items = list(videos(9))
    forward, backward = collected(items).compute(), collected(items[::-1]).compute()
    assert forward["f_batch4"] != backward["f_batch4"] and forward["f_batch1"] != forward["f_batch4"]
    assert forward["f_batch_free"] == backward["f_batch_free"]
    assert forward["f_mask"] == backward["f_mask"] and forward["miou_plain"] == backward["miou_plain"]


def test_batch_free_f_is_the_official_f_of_one_batch_with_everything():
    items = list(videos(6))
    everything = [np.concatenate(part) for part in zip(*items, strict=True)]
    measured = collected(items, 6).compute()
    assert measured["f_batch_free"] == pytest.approx(f_measure(everything[1], everything[2]), abs=1e-12)
    assert measured["f_batch_free"] == pytest.approx(measured["f_batch6"], abs=1e-15)
    assert measured["f_mask"] == pytest.approx(np.nanmean(frame_f(everything[0], everything[2])))


def varied(items):
    """The same videos with heats of very different scale, so that their best thresholds differ."""
    for place, (masks, heats, truth) in enumerate(items):
        yield masks, heats ** np.float32(1 + place), truth


def test_a_threshold_per_batch_can_only_help():
    one, four, free = (
        collected(varied(videos(8, silent=0))).compute()[name] for name in ("f_batch1", "f_batch4", "f_batch_free")
    )  # equally many sounding frames everywhere
    assert one > four > free


def test_perfect_masks_score_one_everywhere():
    measured = collected((truth, truth.astype(np.float32), truth) for _, _, truth in videos(5, silent=0)).compute()
    for name in (
        "miou_batch1",
        "miou_batch4",
        "f_batch1",
        "f_batch4",
        "f_batch_free",
        "f_mask",
        "miou_plain",
    ):
        assert measured[name] == pytest.approx(1, abs=1e-7), name


def test_silent_videos_have_no_f_but_a_false_positive_area():
    truth = np.zeros((5, 4, 4), bool)
    mask = truth.copy()
    mask[0] = True
    measured = collected([(mask, mask.astype(np.float32), truth)]).compute()
    assert measured["f_batch1"] == 0 and math.isnan(measured["f_batch_free"]) and math.isnan(measured["f_mask"])
    assert measured["false_positive_area"] == measured["mask_area"] == pytest.approx(0.2)
    assert measured["miou_plain"] == 0.8
    assert (measured["videos"], measured["frames"], measured["sounding_frames"]) == (1, 5, 0)


def test_without_silent_frames_there_is_no_false_positive_area():
    assert math.isnan(collected(videos(2, silent=0)).compute()["false_positive_area"])


def test_shards_merge_into_the_serial_result_to_the_bit():
    items = list(videos(11))
    shards = [AVSBenchScores(), AVSBenchScores()]
    for index in reversed(range(11)):
        shards[index % 2].update(*items[index], index=index)
    shards[1].merge(shards[0])
    assert shards[1].compute() == collected(items).compute() and len(shards[1]) == 11


def test_frames_may_differ_in_size_and_number_between_videos():
    small = (np.ones((1, 2, 3), bool), np.ones((1, 2, 3)), np.ones((1, 2, 3), bool))
    large = (np.zeros((5, 8, 8), bool), np.zeros((5, 8, 8)), np.ones((5, 8, 8), bool))
    measured = collected([small, large]).compute()
    assert measured["miou_batch1"] == pytest.approx(0.5) and measured["miou_batch4"] == pytest.approx(1 / 6)


def test_a_video_survives_json_to_the_bit():
    video = score_video(*next(videos(1)))
    assert VideoScores.from_json(json.loads(json.dumps(video.to_json()))) == video


def test_refusals_change_nothing():
    items = list(videos(2))
    scores, other = collected(items[:1]), collected(items[1:])
    cases = {
        lambda: scores.merge(other): "every video counts once, 1 are in both shards (first: 0); "
        "give videos their index in the whole test set.",
        lambda: scores.update(*items[1], index=0): "every video counts once, video 0 is already scored; "
        "give it its own index.",
        lambda: AVSBenchScores(0): "batch_videos must be at least 1, got 0; AVSBench uses 1 and 4.",
        lambda: AVSBenchScores().compute(): "at least 1 video must be scored before metrics exist, got 0; "
        "call add() or update() first.",
    }
    before = scores.compute()
    for call, message in cases.items():
        with pytest.raises(InputError) as refusal:
            call()
        assert str(refusal.value) == message
    assert scores.compute() == before


def test_stored_scores_with_unknown_keys_are_refused():
    stored = score_video(*next(videos(1))).to_json()
    with pytest.raises(InputError, match=r"^a video's scores have the keys .* score it again\.$"):
        VideoScores.from_json(stored | {"extra": 1})
    with pytest.raises(InputError, match=r"^a video's scores need 0 <= sounding <= frames and 255 curve values, got"):
        VideoScores.from_json(stored | {"f_curve": [0.0]})
