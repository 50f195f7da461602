"""OWLv2 without words against transformers' own path, its file format, and everything that can be wrong with it."""

import json
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Owlv2Config, Owlv2ForObjectDetection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from moca.errors import InputError
from moca.foundation.boxes import iou_matrix
from moca.foundation.owlv2 import Owlv2Objects, load_objects, preprocess_frames, save_objects
from moca.foundation.preprocessing import preprocess_frames as stretched

VISION = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8
)
TEXT = dict(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    intermediate_size=8,
    vocab_size=8,
    bos_token_id=6,
    eos_token_id=7,
)
ALL = dict(threshold=0.0, limit=1000, nms_iou=None)


def random_owl(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Owlv2ForObjectDetection(Owlv2Config(vision_config=VISION, text_config=TEXT, projection_dim=8))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no bias is zero and no gain is one
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
        for parameter in (*model.box_head.parameters(), *model.objectness_head.parameters()):
            parameter.mul_(0.4)  # so that nothing is as good as 0 or 1
    return model.eval()


@pytest.fixture(scope="module")
def owl():
    return random_owl()


@pytest.fixture
def folder(owl, tmp_path):
    save_objects(tmp_path / "objects", owl)
    return tmp_path / "objects"


@pytest.fixture(scope="module")
def frames():
    draw = np.random.default_rng(1)
    sizes = ((50, 41), (20, 60), (32, 32), (9, 9), (70, 30))
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@torch.no_grad()
def published_path(model, processor, frame, **options):
    """Objectness and boxes as transformers computes them, most likely first: its processor, model, post-processing."""
    pixels = processor([frame], return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    answer = model(input_ids=torch.tensor([[6, 1, 7]]), pixel_values=pixels, **options)
    outputs = SimpleNamespace(logits=answer.objectness_logits[..., None], pred_boxes=answer.pred_boxes)
    published = processor.post_process_object_detection(outputs, threshold=0, target_sizes=[frame.shape[:2]])[0]
    order = published["scores"].argsort(descending=True)
    return published["scores"][order].numpy(), published["boxes"][order].numpy()


def cut(boxes, frame):
    height, width = frame.shape[:2]
    boxes = boxes.clip(0, (width, height, width, height))
    return boxes, (boxes[:, 2:] > boxes[:, :2]).all(1)


def assert_same(answers, expected, atol=1e-4):
    assert len(answers) == len(expected) > 0
    for boxes, other in zip(answers, expected, strict=True):
        assert len(boxes) == len(other)
        np.testing.assert_allclose(boxes.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(boxes.xyxy, other.xyxy, atol=atol)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Agreement with transformers


def test_boxes_are_those_of_the_published_path(owl, folder, frames):
    answers = load_objects(folder).detect(frames, **ALL)
    processor = Owlv2ImageProcessorPil.from_pretrained(folder)
    for frame, ours in zip(frames, answers, strict=True):
        scores, boxes = published_path(owl, processor, frame)
        boxes, inside = cut(boxes, frame)
        assert len(scores) == 16  # one a patch
        np.testing.assert_allclose(ours.scores, scores[inside], atol=1e-5)
        np.testing.assert_allclose(ours.xyxy, boxes[inside], atol=1e-3)
        assert ours.labels is None and ours.xyxy.dtype == ours.scores.dtype == np.float32
    assert {len(answer) for answer in answers} != {16}  # some lay in the padding


@pytest.mark.parametrize("shape", [(50, 41), (20, 30), (100, 300), (1, 5), (1, 1), (64, 64), (240, 427)])
@pytest.mark.parametrize("size", [32, 64])
def test_frames_are_padded_and_resized_as_transformers_does(shape, size):
    frame = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    processor = Owlv2ImageProcessorPil(size={"height": size, "width": size})
    expected = processor([frame], return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    ours = preprocess_frames([frame], size)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert shape == (1, 1) or shape == (size, size) or (ours - stretched([frame], size)).abs().max() > 0.1


def test_another_size_has_its_positions_interpolated(owl, frames):
    processor = Owlv2ImageProcessorPil(size={"height": 48, "width": 48})
    scores, boxes = published_path(owl, processor, frames[2], interpolate_pos_encoding=True)
    boxes, inside = cut(boxes, frames[2])
    ours = Owlv2Objects(owl, image_size=48).detect(frames[2:3], **ALL)[0]
    np.testing.assert_allclose(ours.scores, scores[inside], atol=1e-5)
    np.testing.assert_allclose(ours.xyxy, boxes[inside], atol=1e-3)
    assert len(scores) == 36


# Laws


def test_black_to_the_right_and_below_changes_nothing(owl, frames):
    wide = frames[1]
    square = np.pad(wide, ((0, 40), (0, 0), (0, 0)))
    ours, padded = Owlv2Objects(owl).detect([wide, square], **ALL)
    boxes, inside = cut(padded.xyxy, wide)
    np.testing.assert_allclose(ours.xyxy, boxes[inside], atol=1e-3)
    assert not inside.all()
    grey = np.pad(wide, ((0, 40), (0, 0), (0, 0)), constant_values=128)
    black, other = Owlv2Objects(owl)._answers([square, grey])[0]
    assert np.abs(other - black).max() > 1e-3


def test_boxes_are_in_the_frame_best_first_and_few(owl, frames):
    detector = Owlv2Objects(owl)
    whole = detector.detect(frames, **ALL)
    middle = float(np.median(np.concatenate([boxes.scores for boxes in whole])))
    few = detector.detect(frames, threshold=middle, limit=3, nms_iou=None)
    for frame, boxes, all_of in zip(frames, few, whole, strict=True):
        assert (np.diff(boxes.scores) <= 0).all() and (boxes.scores >= middle).all()
        assert len(boxes) == min(3, (all_of.scores >= middle).sum())
        np.testing.assert_allclose(boxes.xyxy, all_of.xyxy[: len(boxes)], atol=1e-4)
        height, width = frame.shape[:2]
        assert (boxes.xyxy[:, :2] >= 0).all() and (boxes.xyxy[:, 2:] <= (width, height)).all()
        assert (boxes.xyxy[:, 2:] > boxes.xyxy[:, :2]).all()
    assert any(len(boxes) < len(all_of) for boxes, all_of in zip(few, whole, strict=True))


def test_a_score_of_exactly_the_threshold_is_kept(owl, frames):
    detector = Owlv2Objects(owl)
    (whole,) = detector.detect(frames[:1], **ALL)
    middle = float(whole.scores[4])
    (boxes,) = detector.detect(frames[:1], threshold=middle, nms_iou=None)
    assert len(boxes) == (whole.scores >= np.float32(middle)).sum() == 5


def test_boxes_that_overlap_much_are_left_out(owl, frames):
    detector = Owlv2Objects(owl)
    whole, apart = (detector.detect(frames, threshold=0.0, nms_iou=iou) for iou in (None, 0.05))
    assert sum(map(len, apart)) < sum(map(len, whole))
    for boxes in apart:
        assert np.triu(iou_matrix(boxes.xyxy, boxes.xyxy), 1).max() <= 0.05 + 1e-6


def test_the_batch_changes_nothing_and_the_frame_does(owl, frames):
    detector = Owlv2Objects(owl)
    whole = detector.detect(frames, **ALL)
    assert_same(detector.detect(frames, **ALL, batch=2), whole)
    assert_same(detector.detect(frames[::-1], **ALL, batch=3), whole[::-1])
    other, same = (detector._answers([frame])[0] for frame in (255 - frames[2], frames[2]))
    assert np.abs(other - same).max() > 1e-3


def test_object_frames_may_be_memory_mapped_or_absent(owl, tmp_path):
    stack = np.random.default_rng(3).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", stack)
    detector = Owlv2Objects(owl)
    assert_same(detector.detect(np.load(tmp_path / "frames.npy", mmap_mode="r"), **ALL), detector.detect(stack, **ALL))
    assert detector.detect([]) == [] and detector.detect(stack[:0]) == []


def test_a_frame_without_objects_has_no_boxes(owl, frames):
    (none,) = Owlv2Objects(owl).detect(frames[:1], threshold=1.0)
    assert len(none) == 0 and none.xyxy.shape == (0, 4) and none.scores.shape == (0,)


def test_the_detector_is_frozen(folder):
    model = load_objects(folder).model
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_objects_in_bfloat16_are_close_and_not_the_same(folder, frames):
    exact, rough = load_objects(folder), load_objects(folder, dtype=torch.bfloat16)
    assert rough.model.dtype == torch.bfloat16
    scores, boxes = rough._answers(frames)
    expected, wanted = exact._answers(frames)
    assert scores.dtype == boxes.dtype == np.float32
    assert 0 < np.abs(scores - expected).max() < 0.1
    assert 0 < np.abs(boxes - wanted).max() < 0.05
    assert len(rough.detect(frames)) == 5


# Files


def test_the_folder_is_what_transformers_reads(owl, folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "model.safetensors", "preprocessor_config.json"]
    loaded = Owlv2ForObjectDetection.from_pretrained(folder)
    for (name, ours), (_, theirs) in zip(owl.state_dict().items(), loaded.state_dict().items(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)
    reading = Owlv2ImageProcessorPil.from_pretrained(folder)
    assert reading.size == {"height": 32, "width": 32} and list(reading.image_mean) == [
        0.48145466,
        0.4578275,
        0.40821073,
    ]


def test_objects_stored_in_half_precision_are_computed_in_float32(owl, tmp_path, frames):
    save_objects(tmp_path / "half", owl, dtype=torch.float16)
    half = load_objects(tmp_path / "half")
    assert half.model.dtype == torch.float32 and owl.dtype == torch.float32
    np.testing.assert_allclose(half._answers(frames)[0], Owlv2Objects(owl)._answers(frames)[0], atol=2e-2)


def test_the_text_tower_may_be_missing(folder, frames):
    expected = load_objects(folder).detect(frames, **ALL)
    path = folder / "model.safetensors"
    unused = ("owlv2.text_", "class_head.", "owlv2.visual_projection", "owlv2.logit_scale")
    used = {name: tensor for name, tensor in load_file(path).items() if not name.startswith(unused)}
    save_file(used, path, metadata={"format": "pt"})
    assert_same(load_objects(folder).detect(frames, **ALL), expected)
    del used["objectness_head.dense2.bias"]
    save_file(used, path, metadata={"format": "pt"})
    assert refusal(load_objects, folder) == (
        f"{RULE.format(folder)}, got missing ones: objectness_head.dense2.bias; restore it."
    )


# Refusals


RULE = "{} must hold exactly the weights of its config.json in model.safetensors"


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_damaged_object_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    before = contents(folder)
    assert refusal(load_objects, folder) == (
        f"{RULE.format(folder)}, got a damaged file, or one that does not fit it; restore it."
    )
    assert contents(folder) == before


def test_pickled_object_weights_are_refused(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    before = contents(folder)
    assert refusal(load_objects, folder) == (
        f"{RULE.format(folder)}, which is not there (no other format is read); restore or convert it."
    )
    assert not (tmp_path / "exploded").exists() and contents(folder) == before


def test_what_is_not_an_owlv2_is_refused(folder, tmp_path):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "owlvit"}))
    assert refusal(load_objects, folder) == (
        f"{folder} must be a model of type 'owlv2', got 'owlvit'; use one such as google/owlv2-base-patch16-ensemble."
    )
    path.unlink()
    assert "must hold a config.json, which is not there" in refusal(load_objects, folder)
    assert refusal(load_objects, tmp_path / "none").startswith("objects must be mini, a name of moca weights list")


def test_an_owlv2_that_reads_pictures_otherwise_is_refused(folder, frames):
    path = folder / "preprocessor_config.json"
    reading = json.loads(path.read_text())
    path.write_text(json.dumps({**reading, "image_std": [1, 1, 1]}))
    assert refusal(load_objects, folder) == (
        f"{folder} must read pictures with image_std [0.26862954, 0.26130258, 0.27577711], got [1, 1, 1]; use a "
        "model such as google/owlv2-base-patch16-ensemble."
    )
    path.unlink()  # a folder without the file is read as OWLv2's
    load_objects(folder)


def test_object_settings_out_of_range_are_refused(owl, folder, frames):
    assert refusal(load_objects, folder, dtype=torch.float16) == (
        "dtype must be float32 or bfloat16, got torch.float16; choose one of them."
    )
    for size in (0, 30, -8):
        assert refusal(load_objects, folder, image_size=size) == (
            f"image_size must be a multiple of the patch (8 pixels), got {size}; change it."
        )
    detector = Owlv2Objects(owl)
    assert refusal(detector.detect, frames, threshold=1.5) == "threshold must be from 0 to 1, got 1.5; change it."
    assert refusal(detector.detect, frames, limit=0) == "limit must be at least 1 box, got 0; raise it."
    assert refusal(detector.detect, frames, batch=0) == "batch must be at least 1 frame, got 0; raise it."
    assert refusal(detector.detect, frames, nms_iou=-0.1) == "nms_iou must be from 0 to 1, got -0.1; change it."
    assert refusal(detector.detect, [frames[0], frames[1][..., 0]]) == (
        "a frame must be a uint8 array of shape (height, width, 3), got uint8 (20, 60) for frame 1; convert it to RGB."
    )
