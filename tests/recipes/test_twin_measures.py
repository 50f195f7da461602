"""Figures of the supervised models against naive loops and scikit-learn, on scenes whose answers are known."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from moca.core.maps import mask_boxes
from moca.foundation.boxes import iou_matrix
from moca.foundation.roles import Boxes, Masks
from moca.stage import CLASSES
from recipes import twins_measured
from recipes.stage_scenes import Scenes
from recipes.twins_measured import (
    average_precision,
    hits,
    inner_point,
    iou,
    measure_grounding,
    measure_objects,
    measure_sam,
    measure_tagger,
)

SIDE, COUNT = 24, 14
CORNERS = ((1, 1), (13, 2), (3, 13))  # x, y of an object's first pixel


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(twins_measured, "BATCH", 5)


@pytest.fixture
def scenes():
    """Scene n has n % 3 + 1 rectangles, all but the second heard, and its number in its first pixel and its sound."""
    owners, classes = np.zeros((COUNT, SIDE, SIDE), np.uint8), np.full((COUNT, 3), -1, np.int8)
    heard = np.zeros((COUNT, len(CLASSES)), bool)
    for row in range(COUNT):
        for number in range(row % 3 + 1):
            x, y = CORNERS[number]
            owners[row, y : y + 6 + number, x : x + 8 - number] = number + 1
            classes[row, number] = (row + 5 * number) % len(CLASSES)
            heard[row, classes[row, number]] |= number != 1
    frames = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(COUNT)
    waves = np.repeat(np.arange(COUNT, dtype=np.int16)[:, None], 16_000, axis=1)
    return Scenes(frames, owners, classes, waves, heard)


class FakeSam:
    """Knows the masks of boxes, or only of those that are heard; of a point, the third mask is right."""

    def __init__(self, scenes, surest=2, *, deaf=True):
        self.scenes, self.surest, self.deaf, self.points = scenes, surest, deaf, []

    def encode(self, frames):
        return [int(frame[0, 0, 0]) for frame in frames]

    def from_boxes(self, encoded, boxes):
        masks, truth, classes = self.scenes.objects(encoded)
        np.testing.assert_array_equal(boxes, truth)
        masks &= self.deaf | self.scenes.heard[encoded, classes][:, None, None]
        return Masks(masks=masks, scores=np.full(len(masks), 0.9, np.float32), stability=np.ones(len(masks)))

    def from_points(self, encoded, points):
        owners = self.scenes.owners[encoded]
        under = [owners[int(y), int(x)] for x, y in points]
        assert under == list(range(1, len(points) + 1))
        self.points += list(points)
        blank = np.zeros_like(owners, bool)
        masks = np.stack([mask for number in under for mask in (blank, ~blank, owners == number)])
        scores = np.tile(np.eye(3, dtype=np.float32)[self.surest], len(points))
        return Masks(masks=masks, scores=scores, stability=scores)


def test_a_sam_that_knows_it_all_is_measured_so(scenes):
    fake = FakeSam(scenes)
    found = measure_sam(fake, scenes)
    assert found["objects"] == (scenes.classes >= 0).sum() == len(fake.points)
    assert found["box-prompt mIoU"] == found["point-prompt mIoU (best of 3 by its own word)"] == 1
    assert found["error of the expected IoU"] == pytest.approx(0.1)


def test_sounding_objects_are_told_apart(scenes):
    found = measure_sam(FakeSam(scenes, deaf=False), scenes)
    assert found["box-prompt mIoU of sounding objects"] == 1
    assert found["box-prompt mIoU"] == pytest.approx(1 - (scenes.classes[:, 1] >= 0).sum() / found["objects"])


def test_of_three_masks_the_one_the_model_believes_in_counts(scenes):
    whole = measure_sam(FakeSam(scenes, surest=1), scenes)
    areas = [mask.mean() for row in range(COUNT) for mask in scenes.objects(row)[0]]
    assert whole["point-prompt mIoU (best of 3 by its own word)"] == pytest.approx(np.mean(areas))
    assert whole["box-prompt mIoU"] == 1
    assert measure_sam(FakeSam(scenes, surest=0), scenes)["point-prompt mIoU (best of 3 by its own word)"] == 0


class FakeBoxes:
    """Both kinds of detectors: boxes_of_row(row) -> Boxes."""

    def __init__(self, boxes_of_row):
        self.boxes_of_row, self.asked = boxes_of_row, []

    def detect(self, frames, words=None, **settings):
        self.asked.append((words, settings))
        limit = settings.get("limit", 1000)
        found = [self.boxes_of_row(int(frame[0, 0, 0])) for frame in frames]
        if words is not None and settings["nms_iou"] is not None:
            found = [suppressed(boxes, settings["nms_iou"]) for boxes in found]
        return [Boxes(xyxy=b.xyxy[:limit], scores=b.scores[:limit], labels=b.labels) for b in found]


def suppressed(boxes, most):
    """Without those that overlap a better one by more, box by box."""
    kept = []
    for at in range(len(boxes)):
        if all(naive_iou(boxes.xyxy[at], boxes.xyxy[other]) <= most for other in kept):
            kept.append(at)
    return Boxes(xyxy=boxes.xyxy[kept], scores=boxes.scores[kept], labels=tuple(boxes.labels[at] for at in kept))


def naive_iou(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, wide) * max(0, high)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def random_boxes(scenes, row, *, labels=False):
    """The truth's boxes, moved and some of them twice, and some boxes of nothing; best first."""
    rng = np.random.default_rng(row)
    _, truth, classes = scenes.objects(row)
    some = rng.integers(0, len(truth), 5)
    xyxy = np.concatenate([truth[some] + rng.normal(0, 1.0, (5, 4)), [[0, 0, 5, 20], [9, 9, 23, 23]]])
    names = [CLASSES[number] for number in classes[some]] + [CLASSES[row % 7], CLASSES[row % 3]]
    scores = np.sort(rng.random(7))[::-1].astype(np.float32)
    order = rng.permutation(7)
    told = tuple(names[i] for i in order) if labels else None
    return Boxes(xyxy=xyxy[order].astype(np.float32), scores=scores, labels=told)


def naive_precision(found, truths):
    """AP at IoU 0.5 of found [(score, frame, box)] against truths {frame: boxes}, box by box and recall by recall."""
    taken, right = set(), []
    for _, frame, box in sorted(found, key=lambda item: -item[0]):
        overlaps = [iou_matrix(box[None], other[None])[0, 0] for other in truths[frame]]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
        good = best is not None and overlaps[best] >= 0.5 and (frame, best) not in taken
        taken |= {(frame, best)} if good else set()
        right.append(good)
    objects, total = sum(len(boxes) for boxes in truths.values()), 0.0
    for number in range(1, sum(right) + 1):
        at = [k for k in range(1, len(right) + 1) if sum(right[:k]) >= number]
        total += max(sum(right[:k]) / k for k in at) / objects
    return total


def test_objects_are_measured_as_a_naive_loop_does(scenes):
    fake = FakeBoxes(lambda row: random_boxes(scenes, row))
    found = measure_objects(fake, scenes)
    truths = {row: scenes.objects(row)[1] for row in range(COUNT)}
    given = {row: random_boxes(scenes, row) for row in range(COUNT)}
    pairs = [(s, row, box) for row, b in given.items() for s, box in zip(b.scores, b.xyxy, strict=True)]
    assert found["AP50"] == pytest.approx(naive_precision(pairs, truths)) and 0.1 < found["AP50"] < 0.9
    for limit in (1, 3, 10):
        seen = [iou_matrix(given[row].xyxy[:limit], truths[row]).max(0) >= 0.5 for row in range(COUNT)]
        assert found[f"recall@{limit} at IoU 0.5"] == pytest.approx(np.concatenate(seen).mean())
    assert found["objects"] == sum(map(len, truths.values()))
    assert all(settings == {"threshold": 0.0, "limit": 10} for _, settings in fake.asked)


def test_all_and_nothing(scenes):
    def truth(row):
        _, boxes, classes = scenes.objects(row)
        return Boxes(xyxy=boxes, scores=np.linspace(1, 0.5, len(boxes)), labels=tuple(CLASSES[i] for i in classes))

    def nothing(row):
        return Boxes(xyxy=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), labels=())

    def misnamed(row):
        found = truth(row)
        wrong = tuple(CLASSES[(CLASSES.index(name) + 1) % len(CLASSES)] for name in found.labels)
        return Boxes(xyxy=found.xyxy, scores=found.scores, labels=wrong)

    best, worst = (measure_objects(FakeBoxes(some), scenes) for some in (truth, nothing))
    assert best["AP50"] == best["recall@3 at IoU 0.5"] == 1 and best["recall@1 at IoU 0.5"] == COUNT / best["objects"]
    assert worst["AP50"] == worst["recall@10 at IoU 0.5"] == 0 and worst["objects"] == best["objects"]
    best, worst, wrong = (measure_grounding(FakeBoxes(some), scenes) for some in (truth, nothing, misnamed))
    assert best["AP50 after suppression at IoU 0.5"] == best["AP50 after suppression of the worst class"] == 1
    assert (
        worst["AP50 after suppression at IoU 0.5"] == 0
        and wrong["AP50 after suppression at IoU 0.5"] < 0.2
        and best["objects"] == (scenes.classes >= 0).sum()
    )


def test_words_are_measured_class_by_class(scenes):
    fake = FakeBoxes(lambda row: random_boxes(scenes, row, labels=True))
    found = measure_grounding(fake, scenes)

    def naive(choose):
        each = []
        for number, name in enumerate(CLASSES):
            truths, pairs = {}, []
            for row in range(COUNT):
                _, boxes, classes = scenes.objects(row)
                truths[row], given = boxes[classes == number], choose(random_boxes(scenes, row, labels=True))
                parts = zip(given.scores, given.xyxy, given.labels, strict=True)
                pairs += [(score, row, box) for score, box, label in parts if label == name]
            each.append(naive_precision(pairs, truths))
        return each

    whole, fewer = naive(lambda boxes: boxes), naive(lambda boxes: suppressed(boxes, 0.5))
    assert found["AP50 of all boxes"] == pytest.approx(np.mean(whole)) and 0.1 < np.mean(whole) < 0.95
    assert (
        found["AP50 after suppression at IoU 0.5"] == pytest.approx(np.mean(fewer))
        and abs(np.mean(fewer) - np.mean(whole)) > 0.01
    )
    assert found["AP50 after suppression of the worst class"] == pytest.approx(min(fewer)) and min(fewer) < np.mean(
        fewer
    )
    assert [len(words) for words, _ in fake.asked] == [5, 5, 4] * 2
    assert all(asked == list(CLASSES) for words, _ in fake.asked for asked in words)


class FakeTagger:
    labels = CLASSES

    def __init__(self, table):
        self.table = table

    def tag(self, waves, *, sample_rate_hz):
        assert sample_rate_hz == 16_000 and waves.dtype == np.float32 and np.abs(waves).max() <= 1
        return self.table[np.round(waves[:, 0] * 32767).astype(int)]


def test_tags_are_measured_as_scikit_learn_does(scenes):
    table = np.random.default_rng(0).random((COUNT, len(CLASSES))).astype(np.float32)
    found = measure_tagger(FakeTagger(table), scenes)
    assert found["mAP"] == pytest.approx(average_precision_score(scenes.heard, table, average="macro"))
    assert found["AP of the worst class"] < found["mAP"] < 0.9 and found["sounds"] == COUNT
    assert measure_tagger(FakeTagger(scenes.heard.astype(np.float32)), scenes)["mAP"] == 1


def test_a_box_finds_the_object_it_overlaps_most_and_only_once():
    assert hits(np.array([[0.9], [0.8]])) == [True, False]  # twice the same
    assert hits(np.array([[0.9, 0.1], [0.8, 0.7]])) == [True, False]  # its best is taken: no second choice
    assert hits(np.array([[0.9, 0.1], [0.6, 0.7]])) == [True, True]
    assert hits(np.array([[0.5], [0.6]])) == [True, False] and hits(np.array([[0.4999], [0.6]])) == [False, True]
    assert hits(np.zeros((2, 0))) == [False, False] and hits(np.zeros((0, 2))) == []


def test_average_precision_is_scikit_learns_where_precision_never_rises():
    scores = np.linspace(0.9, 0.1, 9)
    falling, rising = [1, 1, 0, 1, 0, 0, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0, 1, 0]
    shuffled = np.random.default_rng(0).permutation(9)
    for right, same in ((falling, True), (rising, False)):
        mixed = average_precision(scores[shuffled].tolist(), [bool(right[i]) for i in shuffled], sum(right))
        official = average_precision_score(right, scores)
        assert (mixed == pytest.approx(official)) == same and mixed >= official - 1e-9
    assert average_precision([0.9, 0.8, 0.7], [False, True, True], 4) == pytest.approx(2 / 3 * 2 / 4)
    assert average_precision([], [], 3) == average_precision([0.5], [False], 0) == 0
    assert average_precision([0.5, 0.4], [True, True], 2) == 1


def test_overlap_and_middle_of_masks():
    a, b = np.zeros((2, 6, 6), bool)
    a[:4, :3], b[2:5, :3] = True, True
    assert iou(a, b) == iou(b, a) == pytest.approx(6 / 15) and iou(a, a) == 1 and iou(a & ~a, b & ~b) == 0
    ring = np.ones((7, 9), bool)
    ring[1:-1, 1:-1] = False
    x, y = inner_point(ring)
    assert ring[int(y), int(x)] and inner_point(a) in ((1.5, 1.5), (1.5, 2.5))
    assert mask_boxes(a[None])[0].tolist() == [0, 0, 3, 4]
