"""What the small SAM learns: its prompts, its losses, and that they ask for what they should."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from moca.core.maps import mask_boxes
from moca.foundation.sam.prompted import pixels_of as pixels_as_used
from moca.stage import CLASSES
from recipes import train_mini_sam
from recipes.stage_scenes import at_size, draw_scenes, scenes_config
from recipes.train_mini_sam import CLASS_WEIGHT, SamLoss, dice_loss, jittered, mask_iou, point_in

SIDE = 64
ROWS = np.arange(8)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(scenes_config(32, "t", size=SIDE), tmp_path_factory.getbasetemp() / "scenes", workers=1)


def test_prompts_lie_on_what_they_ask_for(scenes):
    frames, shown, masks, boxes, points, real = SamLoss(scenes).prompts(np.arange(32), np.random.default_rng(0))
    turned = 0
    for row in range(32):
        mirrored = not np.array_equal(frames[row], scenes.frames[row])
        turned += mirrored
        flip = slice(None, None, -1 if mirrored else 1)
        np.testing.assert_array_equal(frames[row], scenes.frames[row][:, flip])
        owned, _, classes = scenes.objects(row)
        owned = [mask[:, flip] for mask in owned]
        expected = sum((1 + number) * mask for number, mask in zip(classes, owned, strict=True))
        np.testing.assert_array_equal(shown[row], expected)
        assert all(any(np.array_equal(mask > 0, one) for one in owned) for mask in masks[row])
        assert real[row].tolist() == [True, len(owned) > 1]
        assert np.array_equal(masks[row, 0], masks[row, 1]) == (len(owned) == 1)
        (x, y), (ground_x, ground_y) = points[row]
        assert masks[row, 0, int(y), int(x)] == 1
        assert scenes.owners[row][:, flip][int(ground_y), int(ground_x)] == 0
        assert np.abs(boxes[row] - mask_boxes(masks[row] > 0)).max() <= 4
    assert 8 < turned < 24 and 0 < real[:, 1].sum() < 32


def test_a_point_is_the_middle_of_any_pixel_of_its_mask():
    mask, rng = np.zeros((5, 7), bool), np.random.default_rng(0)
    mask[1, 2], mask[4, 6] = True, True
    assert {point_in(mask, rng) for _ in range(20)} == {(2.5, 1.5), (6.5, 4.5)}


def test_jittered_boxes_stay_near_and_inside():
    rng, moved = np.random.default_rng(0), []
    for box in (np.array([0, 0, 64, 64], np.float32), np.array([3, 40, 23, 64], np.float32)):
        drawn = np.stack([jittered(box, 64, rng) for _ in range(300)])
        assert drawn.min() >= 0 and drawn.max() <= 64 and (drawn[:, 2:] > drawn[:, :2] + 1).all()
        assert np.abs(drawn - box).max() <= 4 and drawn.dtype == np.float32
        moved.append((drawn - box).std(0))
    assert moved[1][0] == pytest.approx(2.0, rel=0.15) and moved[1][1] == pytest.approx(2.2, rel=0.15)
    small = np.array([10, 10, 11, 11], np.float32)
    assert np.array_equal(jittered(small, 64, rng), small)  # nothing would be left of it


def test_losses_of_masks_are_the_naive_ones():
    draw = np.random.default_rng(0)
    logits, target = draw.normal(0, 2, (2, 4, 5)), draw.random((2, 4, 5))
    target[0] = target[0].round()
    for found, truth in zip(logits, target, strict=True):
        p = 1 / (1 + np.exp(-found))
        dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
        assert dice_loss(torch.from_numpy(found), torch.from_numpy(truth)).item() == pytest.approx(dice)
    a, b = (torch.from_numpy(draw.random((3, 4, 5)) < 0.5) for _ in range(2))
    expected = [(one & two).sum() / (one | two).sum() for one, two in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(mask_iou(a, b), expected, rtol=1e-6)
    assert not mask_iou(a & ~a, b & ~b).any() and (mask_iou(a, a) == 1).all()


class Oracle:
    """A SAM that answers the prompts of one batch with their masks; of a point, with its third mask. It knows what
    every pixel shows, too, or takes the ground for the first class."""

    def __init__(self, shown, masks, ground, *, confused=False):
        self.masks, self.ground, self.size = torch.from_numpy(masks), ground, shown.shape[-1] // 2
        shown = at_size(torch.from_numpy(shown), self.size)
        self.shown = shown.clamp_min(1) if confused else shown

    def encode(self, pixels):
        return pixels, 40 * functional.one_hot(self.shown, 1 + len(CLASSES)).permute(0, 3, 1, 2).float()

    def sam(self, *, image_embeddings, input_boxes=None, input_points=None, multimask_output=True):
        logits = 40 * self.masks[:, :, None] - 20
        if input_boxes is not None:
            return SimpleNamespace(pred_masks=logits, iou_scores=torch.ones(logits.shape[:3]))
        assert multimask_output and input_points.shape[1:] == (2, 1, 2)
        logits = torch.cat([-logits, -logits, logits], 2)
        expected = torch.tensor([0.0, 0, 1]).expand(logits.shape[:3]).clone()
        expected[:, 1] = self.ground
        return SimpleNamespace(pred_masks=logits, iou_scores=expected)


def test_a_sam_that_knows_it_all_has_no_loss_if_it_expects_nothing_of_the_ground(scenes):
    loss_of = SamLoss(scenes)

    def loss(seed, ground, **how):
        _, shown, masks, *_ = loss_of.prompts(ROWS, np.random.default_rng(seed))
        return loss_of(Oracle(shown, masks, ground, **how), ROWS, np.random.default_rng(5))

    assert loss(5, 0.0)[0].item() == pytest.approx(0, abs=1e-3) and loss(5, 1.0)[0].item() == pytest.approx(
        0.5, abs=1e-3
    )
    confused, figures = loss(5, 0.0, confused=True)
    assert confused.item() == pytest.approx(CLASS_WEIGHT * figures["class"], abs=1e-3) and figures["class"] > 5
    assert loss(6, 0.0)[0] > 1


def test_sam_is_trained_on_the_pixels_it_will_read(scenes):
    mine, used = train_mini_sam.pixels_of(scenes.frames[ROWS]), pixels_as_used(scenes.frames[0], (SIDE, SIDE), SIDE)
    torch.testing.assert_close(mine[0], used)
    assert not torch.allclose(mine[1], used, atol=0.1)
