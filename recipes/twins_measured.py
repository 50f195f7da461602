"""How good the supervised models of mini are, on scenes that were not learnt from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import average_precision_score

from moca.foundation.boxes import iou_matrix
from moca.foundation.roles import AudioTagger, Boxes, MaskPredictor, ObjectDetector, WordDetector
from moca.stage import CLASSES, SAMPLE_RATE_HZ
from recipes.stage_scenes import Scenes

BATCH = 64
RECALLS = (1, 3, 10)


def measure_sam(sam: MaskPredictor, scenes: Scenes) -> dict[str, float]:
    """IoU of the masks of the objects' own boxes and of their middle-most pixels, and of what was expected of them.

    Silent objects may be hidden but for a corner; those that sound are promised to be 60% visible.
    """
    by_box, expected, by_point, sounding = [], [], [], []
    for rows, encoded in _batches(scenes, sam.encode):
        for row, frame in zip(rows, encoded, strict=True):
            masks, boxes, classes = scenes.objects(row)
            sounding += scenes.heard[row][classes].tolist()
            by_boxes = sam.from_boxes(frame, boxes)
            by_box += [iou(a, b) for a, b in zip(by_boxes.masks, masks, strict=True)]
            expected += by_boxes.scores.tolist()
            three = sam.from_points(frame, np.stack([inner_point(mask) for mask in masks]))
            best = three.scores.reshape(-1, 3).argmax(1)
            chosen = three.masks.reshape(-1, 3, *masks.shape[1:])[np.arange(len(masks)), best]
            by_point += [iou(a, b) for a, b in zip(chosen, masks, strict=True)]
    error = np.abs(np.array(by_box) - expected).mean()
    return {
        "objects": len(by_box),
        "box-prompt mIoU": float(np.mean(by_box)),
        "box-prompt mIoU of sounding objects": float(np.mean(np.array(by_box)[sounding])),
        "point-prompt mIoU (best of 3 by its own word)": float(np.mean(by_point)),
        "error of the expected IoU": float(error),
    }


def measure_objects(detector: ObjectDetector, scenes: Scenes) -> dict[str, float]:
    """Recall of the objects by the first boxes, and class-agnostic AP, at IoU 0.5."""
    recalled: dict[int, int] = dict.fromkeys(RECALLS, 0)
    objects, scores, right = 0, [], []
    for rows, boxes in _batches(scenes, lambda frames: detector.detect(frames, threshold=0.0, limit=max(RECALLS))):
        for row, frame_boxes in zip(rows, boxes, strict=True):
            _, truth, _ = scenes.objects(row)
            overlap = iou_matrix(frame_boxes.xyxy, truth)
            for limit in RECALLS:
                recalled[limit] += int((overlap[:limit] >= 0.5).any(0).sum())
            objects += len(truth)
            scores += frame_boxes.scores.tolist()
            right += hits(overlap)
    recall = {f"recall@{limit} at IoU 0.5": count / objects for limit, count in recalled.items()}
    return {"objects": objects, **recall, "AP50": average_precision(scores, right, objects)}


def measure_grounding(detector: WordDetector, scenes: Scenes) -> dict[str, float]:
    """Mean over the classes of AP at IoU 0.5, when all the classes are asked for in every frame.

    Of all the boxes, as published; and of those that are left when of two with IoU above 0.5 the better is kept.
    """
    figures: dict[str, float] = {}
    for words, nms_iou in (("AP50 after suppression at IoU 0.5", 0.5), ("AP50 of all boxes", None)):
        objects, precisions = _average_precisions(detector, scenes, nms_iou)
        figures |= {"objects": objects, words: float(np.mean(precisions))}
        if nms_iou is not None:
            figures["AP50 after suppression of the worst class"] = float(min(precisions))
    return figures


def _average_precisions(detector: WordDetector, scenes: Scenes, nms_iou: float | None) -> tuple[int, list[float]]:
    """How many objects there are, and AP at IoU 0.5 of every class."""
    objects = np.zeros(len(CLASSES), int)
    scores, right = [[] for _ in CLASSES], [[] for _ in CLASSES]

    def ask(frames: np.ndarray) -> list[Boxes]:
        words = [list(CLASSES)] * len(frames)
        return detector.detect(frames, words, box_threshold=0.01, text_threshold=0.0, nms_iou=nms_iou)

    for rows, boxes in _batches(scenes, ask):
        for row, frame_boxes in zip(rows, boxes, strict=True):
            _, truth, classes = scenes.objects(row)
            for number, name in enumerate(CLASSES):
                mine = np.flatnonzero([label == name for label in frame_boxes.labels])
                objects[number] += (classes == number).sum()
                scores[number] += frame_boxes.scores[mine].tolist()
                right[number] += hits(iou_matrix(frame_boxes.xyxy[mine], truth[classes == number]))
    return int(objects.sum()), [average_precision(*parts) for parts in zip(scores, right, objects, strict=True)]


def measure_tagger(tagger: AudioTagger, scenes: Scenes) -> dict[str, float]:
    """Mean over the classes of the average precision of what is heard."""
    parts = _batches(scenes, lambda waves: tagger.tag(waves, sample_rate_hz=SAMPLE_RATE_HZ), sounds=True)
    chances = np.concatenate([tags for _, tags in parts])
    heard = np.asarray(scenes.heard)
    precisions = [average_precision_score(heard[:, number], chances[:, number]) for number in range(len(CLASSES))]
    return {"sounds": len(heard), "mAP": float(np.mean(precisions)), "AP of the worst class": float(min(precisions))}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two bool masks; 0 for two empty ones."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def inner_point(mask: np.ndarray) -> tuple[float, float]:
    """The middle x, y of the pixel of a mask that is nearest to its centre."""
    ys, xs = np.nonzero(mask)
    pixel = np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2)
    return xs[pixel] + 0.5, ys[pixel] + 0.5


def hits(overlap: np.ndarray) -> list[bool]:
    """Whether each box, best first, is the first to find an object: overlap (boxes, objects), IoU 0.5 or more.

    As in PASCAL VOC: a box is held against the object it overlaps most; a second box for it is wrong.
    """
    taken, right = set(), []
    for row in overlap:
        best = int(row.argmax()) if row.size else -1
        right.append(best >= 0 and row[best] >= 0.5 and best not in taken)
        if right[-1]:
            taken.add(best)
    return right


def average_precision(scores: list[float], right: list[bool], objects: int) -> float:
    """Area under precision over recall, precision being the highest at that recall or more; 0 without objects.

    scores: of all boxes of all frames; right: which of them found an object. Source: PASCAL VOC 2010 and later.
    """
    if not objects or not scores:
        return 0.0
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits_so_far = np.cumsum(np.asarray(right, float)[order])
    precision = np.maximum.accumulate((hits_so_far / np.arange(1, len(order) + 1))[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], hits_so_far / objects]))
    return float((steps * precision).sum())


def _batches(scenes: Scenes, ask, *, sounds: bool = False) -> Iterator[tuple[range, list]]:
    """Rows, and what is answered to their frames or sounds."""
    for start in range(0, len(scenes), BATCH):
        rows = range(start, min(start + BATCH, len(scenes)))
        part = slice(rows.start, rows.stop)
        given = scenes.sound(part) if sounds else np.asarray(scenes.frames[part])
        yield rows, ask(given)
