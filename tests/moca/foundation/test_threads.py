"""One model asked by several threads at once answers as it does to one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from transformers import ViTModel

from moca.foundation import load_dino, load_grounding, load_imagebind, load_objects, load_sam, load_tagger
from moca.foundation.preprocessing import preprocess_frames
from moca.stage import CLASSES, SAMPLE_RATE_HZ, sample_frame

THREADS, SCENES = 4, 8
PHRASES = (CLASSES[:2], CLASSES, CLASSES[3:], CLASSES[::-1])


@pytest.fixture(scope="module")
def scenes():
    """Frames of several sizes, so that threads work on other shapes at the same time."""
    return [sample_frame(seed, "single", size=(112, 96, 160, 128)[seed % 4]) for seed in range(SCENES)]


def encoder():
    model = load_imagebind("mini")
    return lambda scene: [model.embed_image(preprocess_frames([scene.frame], 112)).numpy()]


def images():
    model = load_dino("mini")
    return lambda scene: [model.features([scene.frame]), model.patches([scene.frame])]


def masks():
    model = load_sam("mini")

    def ask(scene):
        (encoded,) = model.encode([scene.frame])
        side = len(scene.frame)
        answers = (
            model.from_boxes(encoded, np.float32([[5, 5, side / 2, side / 2]])),
            model.from_points(encoded, np.float32([[side / 2, side / 2], [9, 9]])),
        )
        return [part for answer in answers for part in (answer.masks, answer.scores, answer.stability)]

    return ask


def objects():
    model = load_objects("mini")

    def ask(scene):
        (boxes,) = model.detect([scene.frame], threshold=0.0)
        return [boxes.xyxy, boxes.scores]

    return ask


def words():
    model = load_grounding("mini")

    def ask(scene):
        phrases = PHRASES[len(scene.frame) // 16 % len(PHRASES)]
        (boxes,) = model.detect([scene.frame], [phrases], box_threshold=0.05, text_threshold=0.0)
        return [boxes.xyxy, boxes.scores, np.array(boxes.labels)]

    return ask


def tags():
    model = load_tagger("mini")
    return lambda scene: [model.tag([scene.audio], sample_rate_hz=SAMPLE_RATE_HZ)]


@pytest.mark.parametrize("prepare", [encoder, images, masks, objects, words, tags])
def test_answers_do_not_depend_on_other_threads(prepare, scenes):
    ask = prepare()
    with torch.inference_mode():
        alone = [ask(scene) for scene in scenes]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(ask, scenes))
    assert any(not np.array_equal(a, b) for a, b in zip(alone[0], alone[4], strict=True))  # same size, other picture
    for one_by_one, at_once in zip(alone, together, strict=True):
        for a, b in zip(one_by_one, at_once, strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_that_load_at_once_get_the_types_they_asked_for():
    types = [torch.float32, torch.bfloat16] * 3
    with ThreadPoolExecutor(THREADS) as pool:
        loaded = list(pool.map(lambda dtype: load_dino("mini", dtype=dtype), types))
    for dtype, dino in zip(types, loaded, strict=True):
        assert {parameter.dtype for parameter in dino.model.parameters()} == {dtype}
    frames = np.zeros((1, 112, 112, 3), np.uint8)
    np.testing.assert_array_equal(loaded[0].features(frames), loaded[2].features(frames))


def test_loading_in_half_precision_does_not_change_what_other_threads_compute(monkeypatch):
    """The default type of the process is what tensors made of Python's numbers have."""
    types, build = [], ViTModel.__init__

    def noticing(self, *arguments, **options):
        types.append(torch.tensor(0.5).dtype)
        build(self, *arguments, **options)

    monkeypatch.setattr(ViTModel, "__init__", noticing)
    assert load_dino("mini", dtype=torch.bfloat16).model.dtype == torch.bfloat16
    assert types == [torch.float32]
