"""What the small detectors and the small tagger are told of a scene, and what of it their losses ask for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from moca.core.maps import mask_boxes
from moca.foundation.boxes import corners, iou_matrix
from moca.foundation.grounding_dino.fitting import preprocess_frames
from moca.stage import CLASSES
from recipes import train_mini_grounding, train_mini_tagger
from recipes.stage_scenes import at_size, classes_shown, draw_scenes, scenes_config
from recipes.train_mini_grounding import GroundingLoss, SwinLoss, dense_loss, levels_of
from recipes.train_mini_objects import corners_of, giou_of, iou_of, mirrored_batch, taught
from recipes.train_mini_tagger import TaggerLoss
from recipes.vocabulary import small_tokenizer

SIDE = 64
ROWS = np.arange(6)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(train_mini_grounding, "SIDES", (SIDE, SIDE))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(scenes_config(32, "t", size=SIDE), tmp_path_factory.getbasetemp() / "scenes", workers=1)


class Coin:
    """A generator whose every number in [0, 1) is the same: below a half, everything is mirrored."""

    def __init__(self, value):
        self.value, self.rng = value, np.random.default_rng(0)

    def random(self, *shape):
        return np.full(*shape, self.value) if shape else self.value

    def __getattr__(self, name):
        return getattr(self.rng, name)


# Boxes


def naive_giou(a, b):
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    left, right = (ax - aw / 2, bx - bw / 2), (ax + aw / 2, bx + bw / 2)
    top, bottom = (ay - ah / 2, by - bh / 2), (ay + ah / 2, by + bh / 2)
    both = max(0, min(right) - max(left)) * max(0, min(bottom) - max(top))
    either = aw * ah + bw * bh - both
    hull = (max(right) - min(left)) * (max(bottom) - min(top))
    return both / either - (hull - either) / hull


def test_overlaps_of_boxes_are_the_naive_ones():
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.rand(40, 4, generator=draw, dtype=torch.float64) * 0.5 + 0.05 for _ in range(2))
    expected = [naive_giou(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_allclose(giou_of(a, b), expected, rtol=1e-9)
    overlap = iou_matrix(corners(a.numpy()), corners(b.numpy()))
    np.testing.assert_allclose(iou_of(a, b), overlap.diagonal(), rtol=1e-9)
    assert 0 < np.count_nonzero(overlap.diagonal()) < 40 and (giou_of(a, b) <= iou_of(a, b) + 1e-12).all()
    torch.testing.assert_close(giou_of(a, a), torch.ones(40, dtype=torch.float64))
    far = giou_of(torch.tensor([0.001, 0.001, 0.001, 0.001]), torch.tensor([0.999, 0.999, 0.001, 0.001]))
    assert -1 < far < -0.99 and not iou_of(a[:1], a[:1] * torch.tensor([1, 1, 0.0, 0])).any()
    np.testing.assert_allclose(corners_of(a), corners(a.numpy()), rtol=1e-12)


def test_patches_in_the_middle_of_a_box_learn_it_and_of_several_the_smallest():
    side, draw, shared = 8, np.random.default_rng(0), 0
    for _ in range(30):
        truth = np.concatenate([draw.uniform(0.1, 0.9, (3, 2)), draw.uniform(0.02, 0.9, (3, 2))], 1)
        nearest = [int(y * side) * side + int(x * side) for x, y, _, _ in truth]
        if len(set(nearest)) < 3:
            continue
        expected = {}
        for patch in range(side * side):
            x, y = (patch % side + 0.5) / side, (patch // side + 0.5) / side
            inner = [abs(x - box[0]) < 0.3 * box[2] and abs(y - box[1]) < 0.3 * box[3] for box in truth]
            around = [k for k in range(3) if inner[k]]
            shared += len(around) > 1
            if patch in nearest:
                expected[patch] = nearest.index(patch)
            elif around:
                expected[patch] = min(around, key=lambda k: truth[k][2] * truth[k][3])
        patches, objects = taught(side, torch.from_numpy(truth).float())
        assert dict(zip(patches.tolist(), objects.tolist(), strict=True)) == expected
        assert set(objects.tolist()) == {0, 1, 2}
    assert shared > 20


def test_of_two_objects_in_the_middle_of_one_patch_one_is_learnt():
    patches, objects = taught(4, torch.tensor([[0.6, 0.6, 0.02, 0.02], [0.62, 0.62, 0.02, 0.02]]))
    assert patches.tolist() == [10] and objects.tolist() in ([0], [1])


def test_frames_and_boxes_are_mirrored_alike(scenes):
    rows = np.array([2, 5, 7])
    (plain, truths), (frames, mirrored) = (mirrored_batch(scenes, rows, Coin(value)) for value in (0.9, 0.1))
    np.testing.assert_array_equal(plain, scenes.frames[rows])
    np.testing.assert_array_equal(frames, scenes.frames[rows][:, :, ::-1])
    for row, (boxes, classes), (turned, same) in zip(rows, truths, mirrored, strict=True):
        masks, xyxy, names = scenes.objects(row)
        np.testing.assert_allclose(corners_of(boxes) * SIDE, xyxy, atol=1e-4)
        np.testing.assert_allclose(corners_of(turned) * SIDE, mask_boxes(masks[:, :, ::-1]), atol=1e-4)
        assert classes.tolist() == same.tolist() == names.tolist() and not torch.allclose(boxes, turned, atol=1e-3)


# Words and sounds


class Answers:
    """A backbone with heads that knows what is shown in the middle of every place, or everything shifted by a class."""

    def __init__(self, scenes, shift=0):
        self.scenes, self.shift = scenes, shift

    def __call__(self, pixels):
        shown = torch.from_numpy(classes_shown(self.scenes.owners[ROWS], self.scenes.classes[ROWS]))
        # Mirrored or not: the pixels say so.
        plain = preprocess_frames(self.scenes.frames[ROWS], (SIDE, SIDE))
        turned = [not torch.equal(one, other) for one, other in zip(pixels, plain, strict=True)]
        self.turned = sum(turned)
        shown[turned] = shown[turned].flip(-1)
        shown = torch.where(shown > 0, (shown - 1 + self.shift) % len(CLASSES) + 1, 0)
        return [
            40 * functional.one_hot(at_size(shown, side), 1 + len(CLASSES)).permute(0, 3, 1, 2).float()
            for side in (8, 4)
        ]


def test_a_backbone_learns_the_class_at_every_place(scenes):
    knows, confused = Answers(scenes), Answers(scenes, shift=1)
    loss, figures = SwinLoss(scenes)(knows, ROWS, np.random.default_rng(0))
    assert loss.item() == pytest.approx(0, abs=1e-4) and figures == {"right of 8": 1, "right of 4": 1}
    assert 0 < knows.turned < len(ROWS)
    loss, figures = SwinLoss(scenes)(confused, ROWS, np.random.default_rng(0))
    assert loss > 1 and figures == {"right of 8": 0, "right of 4": 0}


def encoder_answers(count):
    """Of an encoder that sees nothing: three levels of tokens, prompts of 64."""
    tokens = 8 * 8 + 4 * 4 + 2 * 2
    classes, boxes = torch.full((count, tokens, 64), -20.0), torch.zeros(count, tokens, 4)
    return {"enc_outputs_class": classes, "enc_outputs_coord_logits": boxes}


def test_tokens_in_the_middle_of_an_object_learn_its_box_and_word():
    truth = torch.tensor([[0.3, 0.3, 0.4, 0.4], [0.8, 0.7, 0.2, 0.3]])
    labels = [
        {"class_labels": torch.tensor([2, 0]), "boxes": truth},
        {"class_labels": truth[:0, 0], "boxes": truth[:0]},
    ]
    answers = encoder_answers(2)
    classes, boxes = answers["enc_outputs_class"], answers["enc_outputs_coord_logits"]
    start = 0
    for side in levels_of(boxes.shape[1]):
        patches, objects = taught(side, truth)
        classes[0, start + patches, 1 + 2 * labels[0]["class_labels"][objects]] = 20
        boxes[0, start + patches] = truth[objects].logit()
        start += side * side
    known, overlap = dense_loss(SimpleNamespace(**answers), labels, 3)
    assert known.item() == pytest.approx(0, abs=1e-4) and overlap.item() == pytest.approx(0, abs=1e-5)
    wrong = {**answers, "enc_outputs_class": classes.roll(2, dims=2)}  # every word is the next one
    assert dense_loss(SimpleNamespace(**wrong), labels, 4)[0] > 20  # surely told apart, and wrongly
    other_row = dense_loss(SimpleNamespace(**answers), labels[::-1], 3)
    assert other_row[0] > 1 and other_row[1] > 0.2
    marks = classes.clone()
    marks[..., ::2] = 20  # what is between the words is not asked
    assert dense_loss(SimpleNamespace(**{**answers, "enc_outputs_class": marks}), labels, 3)[0] == known


def test_tokens_without_a_box_and_frames_without_an_object_are_left_out():
    answers, truth = encoder_answers(1), torch.tensor([[0.5, 0.5, 0.9, 0.9]])
    labels = [{"class_labels": torch.tensor([0]), "boxes": truth}]
    answers["enc_outputs_coord_logits"][:, ::3] = torch.inf
    assert all(part.isfinite() for part in dense_loss(SimpleNamespace(**answers), labels, 2))
    nothing = [{"class_labels": torch.zeros(0, dtype=torch.long), "boxes": truth[:0]}]
    loss, overlap = dense_loss(SimpleNamespace(**answers), nothing, 2)
    assert loss.item() == pytest.approx(0, abs=1e-4) and overlap == 0
    answers["enc_outputs_class"] += 40
    assert dense_loss(SimpleNamespace(**answers), nothing, 2)[0] > 100
    with pytest.raises(ValueError, match=r"levels of \[8, 4, 2\] must have 83 tokens"):
        levels_of(83)


def test_words_that_are_not_asked_for_have_no_truth(scenes):
    asked, tokenizer, loss_of = [], small_tokenizer(), GroundingLoss(scenes)

    def model(**given):
        asked.append(given)
        none = dict.fromkeys(("loss_ce", "loss_giou"), torch.zeros(()))
        return SimpleNamespace(loss=torch.zeros(()), loss_dict=none, **encoder_answers(len(ROWS)))

    for seed in range(6):
        loss_of(model, ROWS, np.random.default_rng(seed))
    for given in asked:
        assert (given["input_ids"] == given["input_ids"][0]).all() and given["input_ids"].shape[0] == len(ROWS)
        words = tokenizer.decode(given["input_ids"][0], skip_special_tokens=True).replace(".", " ").split()
        for row, label in zip(ROWS, given["labels"], strict=True):
            _, boxes, classes = scenes.objects(row)
            wanted = [(CLASSES[n], box) for n, box in zip(classes, boxes, strict=True) if CLASSES[n] in words]
            assert [words[place] for place in label["class_labels"]] == [name for name, _ in wanted]
            sides = np.array([box[2:] - box[:2] for _, box in wanted]).reshape(-1, 2)
            np.testing.assert_allclose(label["boxes"][:, 2:] * SIDE, sides, atol=1e-4)
    counts = [given["input_ids"].shape[1] // 2 - 1 for given in asked]
    assert max(counts) == len(CLASSES) and min(counts) < len(CLASSES)
    assert len({tuple(given["input_ids"][0].tolist()) for given in asked}) == 6


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_mixed_sounds_have_the_classes_of_both(scenes, share, monkeypatch):
    monkeypatch.setattr(train_mini_tagger, "MIXED", share)
    logits, seen = torch.zeros(len(ROWS), len(CLASSES), requires_grad=True), []

    def model(input_values):
        seen.append(input_values)
        return SimpleNamespace(logits=logits)

    TaggerLoss(scenes)(model, ROWS, np.random.default_rng(1))[0].backward()
    target = (0.5 - logits.grad * logits.numel() / 10).round().bool().numpy()
    own = scenes.heard[ROWS]
    assert not (own & ~target).any() and seen[0].shape == (len(ROWS), 100, 64)
    for row, mine in zip(target, own, strict=True):
        assert any(np.array_equal(row, mine | other) for other in scenes.heard)
    assert (target.sum() > own.sum()) if share else np.array_equal(target, own)
