"""Grounding DINO's original, with a stand-in for the package that answers as its documentation says."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from moca.foundation.grounding_dino.detector import load_grounding
from moca.foundation.upstream.grounding_dino import WORDS, compare_grounding, matched

ANSWERS = {"far": 0.0, "lost": 0}


@pytest.fixture
def package(monkeypatch, tmp_path):
    """load_model, load_image and predict of groundingdino.util.inference, answered by the model here."""
    names = ("groundingdino", "groundingdino.util", "groundingdino.util.inference")
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    inference, asked = modules[names[-1]], {}
    inference.__file__ = str(tmp_path / "groundingdino" / "util" / "inference.py")
    inference.answers = dict(ANSWERS)

    def load_model(config, checkpoint, device):
        asked["loaded"] = (config, checkpoint, device)
        return load_grounding("mini")

    def load_image(path):
        frame = np.asarray(Image.open(path))
        return frame, torch.from_numpy(frame.copy())

    def predict(*, model, image, caption, box_threshold, text_threshold, device):
        asked["caption"] = caption
        frame = image.numpy()
        (found,) = model.detect([frame], [list(WORDS)], box_threshold=box_threshold, text_threshold=text_threshold)
        corners = torch.from_numpy(found.xyxy / np.array([frame.shape[1], frame.shape[0]] * 2))
        centres, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        boxes = torch.cat([centres + inference.answers["far"], sides], 1)[inference.answers["lost"] :]
        return boxes, torch.from_numpy(found.scores)[inference.answers["lost"] :], ["ball"] * len(boxes)

    inference.load_model, inference.load_image, inference.predict = load_model, load_image, predict
    return inference, asked


def test_the_same_boxes_are_not_apart(package, tmp_path):
    found = compare_grounding("mini", tmp_path / "original.pth", "Swin.py")
    assert all(each.good for each in found) and len(found) > 1
    config = str(tmp_path / "groundingdino" / "config" / "Swin.py")
    assert package[1] == {"loaded": (config, str(tmp_path / "original.pth"), "cpu"), "caption": "ball . egg ."}


def test_boxes_elsewhere_or_missing_are_seen():
    boxes, scores = np.array([[0, 0, 10, 10], [20, 20, 50, 60]], float), np.array([0.9, 0.5])
    assert [each.good for each in matched(boxes, scores, boxes[::-1], scores[::-1])] == [True, True, True]
    assert [each.good for each in matched(boxes, scores, boxes + 5, scores)] == [True, False, True]
    assert [each.good for each in matched(boxes, scores, boxes, scores - 0.1)] == [True, True, False]
    none = np.zeros((0, 4)), np.zeros(0)
    assert [each.good for each in matched(boxes, scores, *none)] == [False, False]
    assert [each.good for each in matched(*none, *none)] == [True, True]
