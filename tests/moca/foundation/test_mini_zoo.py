"""The trained weights that ship: every model loads, does its work on a drawn scene, and all stay small."""

import numpy as np
import pytest

from moca.foundation.ast_tagger import load_tagger
from moca.foundation.grounding_dino.detector import load_grounding
from moca.foundation.manifest import bundled_weights
from moca.foundation.owlv2 import load_objects
from moca.foundation.sam.sam import load_sam
from moca.stage import CLASSES, SAMPLE_RATE_HZ, sample_frame

SCENES = 6


@pytest.fixture(scope="module")
def scenes():
    return [sample_frame(seed, "single", size=224) for seed in range(900, 900 + SCENES)]


def boxes_of(scene):
    ys, xs = np.nonzero(scene.mask)
    return np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_all_shipped_weights_are_below_25_mb():
    size = sum(path.stat().st_size for path in (bundled_weights() / "mini").rglob("*") if path.is_file())
    assert 1e6 < size < 25e6


def test_sam_finds_the_object_in_its_box_and_another_one_elsewhere(scenes):
    sam = load_sam("mini")
    in_box, elsewhere = [], []
    for scene, encoded in zip(scenes, sam.encode([scene.frame for scene in scenes]), strict=True):
        truth = scene.mask > 0
        in_box.append(iou(sam.from_boxes(encoded, boxes_of(scene)).masks[0], truth))
        elsewhere.append(iou(sam.from_boxes(encoded, np.float32([[0, 0, 30, 30]])).masks[0], truth))
    assert np.mean(in_box) > 0.6 > 0.3 > np.mean(elsewhere)


def test_the_detector_finds_objects_without_words(scenes):
    answers = load_objects("mini").detect([scene.frame for scene in scenes], threshold=0.05, limit=10)
    best = []
    for boxes, scene in zip(answers, scenes, strict=True):
        x0, y0, x1, y1 = boxes_of(scene)[0]
        wide = np.clip(np.minimum(boxes.xyxy[:, 2], x1) - np.maximum(boxes.xyxy[:, 0], x0), 0, None)
        high = np.clip(np.minimum(boxes.xyxy[:, 3], y1) - np.maximum(boxes.xyxy[:, 1], y0), 0, None)
        area = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).prod(1) + (x1 - x0) * (y1 - y0) - wide * high
        best.append((wide * high / area).max())
    assert np.mean(np.array(best) >= 0.5) >= 0.6


def test_words_find_the_object_they_name_and_not_another(scenes):
    detector, named, others = load_grounding("mini"), [], []
    names = [scene.objects[0].name for scene in scenes]
    answers = detector.detect(
        [scene.frame for scene in scenes], [list(CLASSES)] * SCENES, box_threshold=0.05, text_threshold=0.0
    )
    for name, boxes, scene in zip(names, answers, scenes, strict=True):
        box, (truth,) = boxes.xyxy[0], boxes_of(scene)
        wide, high = np.clip(np.minimum(box[2:], truth[2:]) - np.maximum(box[:2], truth[:2]), 0, None)
        area = (box[2:] - box[:2]).prod() + (truth[2:] - truth[:2]).prod() - wide * high
        named.append(boxes.labels[0] == name and wide * high / area >= 0.5)
        others.append(boxes.labels[0] == CLASSES[(CLASSES.index(name) + 1) % len(CLASSES)])
    assert np.mean(named) > 0.6 > 0.2 > np.mean(others)


def test_the_tagger_names_what_is_heard(scenes):
    tagger = load_tagger("mini")
    assert tagger.labels == CLASSES
    chances = tagger.tag(np.stack([scene.audio for scene in scenes]), sample_rate_hz=SAMPLE_RATE_HZ)
    named = [CLASSES[number] for number in chances.argmax(1)]
    assert np.mean([name in scene.heard for name, scene in zip(named, scenes, strict=True)]) >= 0.8
