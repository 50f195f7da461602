"""Train the mini SAM on Soundstage: masks from boxes and from points, with the IoU it expects of each.

    python -m recipes.train_mini_sam -o weights/mini/sam

As in SAM, a box is jittered and answered by one mask; a point is answered by three, of which the best is learnt, and
the expected IoU is learnt beside it. A point on the ground should expect nothing. SAM's image encoder comes from MAE;
this one starts from nothing, so a head that is thrown away afterwards teaches it the class of every pixel meanwhile,
and the loss of masks is plain cross-entropy plus Dice: the focal loss leaves a small model unsure along every edge.
Source: Kirillov et al., Segment Anything, ICCV 2023, appendix A.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from moca.core.maps import mask_boxes
from moca.foundation.preprocessing import normalised
from moca.foundation.sam.prompted import PIXEL_MEAN, PIXEL_STD
from moca.foundation.sam.sam import Sam, save_sam
from moca.stage import CLASSES
from recipes.stage_scenes import Scenes, at_size, classes_shown
from recipes.starts import seeded, widened
from recipes.twin_cards import finish_twin
from recipes.twins import TwinRecipe, scenes_of, train_twin, twin_parser
from recipes.twins_measured import measure_sam

STEPS, MUON = 3_600, 4e-3
JITTER = 0.1  # of a box's sides, as a standard deviation
MOST_JITTER_PX = 4.0
PIXEL_WEIGHT, DICE_WEIGHT, CLASS_WEIGHT = 5.0, 1.0, 0.5
CELLS = 4  # the decoder's masks have so many pixels along each side of a patch


def mini_config() -> SamConfig:
    """A SAM of 1.2 million parameters that reads 160-pixel pictures in 20 x 20 patches."""
    width = 96
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=96,
            output_channels=width,
            num_hidden_layers=6,
            num_attention_heads=3,
            image_size=160,
            patch_size=8,
            window_size=5,
            global_attn_indexes=(2, 5),
            num_pos_feats=width // 2,
            initializer_range=0.02,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=width, image_size=160, patch_size=8),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=width, mlp_dim=256, num_attention_heads=4, iou_head_hidden_dim=64
        ),
    )


def pixels_of(frames: np.ndarray) -> Tensor:
    """Square frames (B, S, S, 3) uint8 of the model's own size as it reads them, (B, 3, S, S) float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    return normalised(pixels, PIXEL_MEAN, PIXEL_STD)


class TaughtSam(nn.Module):
    """A SAM, and the head that teaches its image encoder: classes of the pixels of every patch, from its last block."""

    def __init__(self, sam: SamModel):
        super().__init__()
        self.sam = sam
        self.head = nn.Linear(sam.config.vision_config.hidden_size, (1 + len(CLASSES)) * CELLS * CELLS)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What masks are made from (B, D, G, G), and logits (B, 1 + C, 4 G, 4 G) of ground and classes."""
        encoded = self.sam.vision_encoder(pixels, output_hidden_states=True)
        logits = self.head(encoded.hidden_states[-1]).permute(0, 3, 1, 2)
        return encoded.last_hidden_state, functional.pixel_shuffle(logits, CELLS).float()


class SamLoss:
    """The loss of a batch of scenes; half of them are mirrored."""

    def __init__(self, scenes: Scenes):
        self.scenes = scenes

    def __call__(self, model: TaughtSam, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, dict]:
        frames, shown, masks, boxes, points, real = self.prompts(rows, rng)
        embedding, classes = model.encode(pixels_of(frames))
        truth, real = torch.from_numpy(masks), torch.from_numpy(real)
        prompts = {"image_embeddings": embedding, "multimask_output": False, "input_boxes": torch.from_numpy(boxes)}
        by_box, box_iou = self._losses(model.sam, prompts, truth)
        prompts = {"image_embeddings": embedding, "input_points": torch.from_numpy(points)[:, :, None]}
        # Nothing is asked of the masks of the point on the ground but to expect no IoU.
        by_point, point_iou = self._losses(
            model.sam, prompts, torch.cat([truth[:, :1], torch.zeros_like(truth[:, :1])], 1)
        )
        by_box, by_point = by_box[..., 0][real].mean(), by_point[:, 0].min(-1).values.mean()
        by_class = functional.cross_entropy(classes, at_size(torch.from_numpy(shown), classes.shape[-1]))
        loss = by_box + by_point + box_iou[..., 0][real].mean() + point_iou.mean() + CLASS_WEIGHT * by_class
        return loss, {"box": by_box.item(), "point": by_point.item(), "class": by_class.item()}

    def prompts(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Frames (B, S, S, 3); what every pixel shows, (B, S, S) int64: 0 the ground, else 1 + class; masks
        (B, 2, S, S) float32 of two of the objects, or of one twice; their jittered boxes (B, 2, 4) float32; a point
        (B, 2, 2) float32 in the first of them and one on the ground; and which of the two count, (B, 2) bool.
        """
        side = self.scenes.frames.shape[1]
        frames, owners = self.scenes.frames[rows], self.scenes.owners[rows]
        count = len(rows)
        masks, boxes = np.zeros((count, 2, side, side), np.float32), np.zeros((count, 2, 4), np.float32)
        points, real = np.zeros((count, 2, 2), np.float32), np.ones((count, 2), bool)
        for row, classes in enumerate(self.scenes.classes[rows]):
            if rng.random() < 0.5:
                frames[row], owners[row] = frames[row, :, ::-1].copy(), owners[row, :, ::-1].copy()
            numbers = rng.permutation(np.flatnonzero(classes >= 0))
            real[row, 1] = len(numbers) > 1
            for position, number in enumerate((numbers[0], numbers[-1])):
                masks[row, position] = owners[row] == number + 1
                boxes[row, position] = jittered(mask_boxes(masks[row, position : position + 1] > 0)[0], side, rng)
            points[row] = point_in(masks[row, 0] > 0, rng), point_in(owners[row] == 0, rng)
        shown = classes_shown(owners, self.scenes.classes[rows])
        return frames, shown, masks, boxes, points, real

    def _losses(self, sam: nn.Module, prompts: dict, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of every mask, and squared error of the IoU it was expected to have: (B, P, M) each."""
        answers = sam(**prompts)
        logits = answers.pred_masks.float()
        # At the decoder's own size: four times cheaper than at the frame's, with soft edges as targets.
        small = functional.interpolate(truth, logits.shape[-2:], mode="area")
        target = small[:, :, None].expand_as(logits)
        cross = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
        loss = PIXEL_WEIGHT * cross + DICE_WEIGHT * dice_loss(logits, target)
        iou = mask_iou(logits.detach() > 0, target > 0.5)
        return loss, (answers.iou_scores.float() - iou).square()


def point_in(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The middle x, y of a random pixel of a mask."""
    ys, xs = np.nonzero(mask)
    pixel = rng.integers(len(xs))
    return xs[pixel] + 0.5, ys[pixel] + 0.5


def jittered(box: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A box with every side moved by a tenth of its length, at most 4 pixels, as a loose detector would."""
    lengths = np.array([box[2] - box[0], box[3] - box[1]] * 2, np.float32)
    moves = np.clip(rng.normal(0, JITTER, 4) * lengths, -MOST_JITTER_PX, MOST_JITTER_PX)
    moved = np.clip(box + moves, 0, side).astype(np.float32)
    return moved if (moved[2:] > moved[:2] + 1).all() else box


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice over the last two axes."""
    chances = logits.sigmoid()
    return 1 - (2 * (chances * target).sum((-2, -1)) + 1) / (chances.sum((-2, -1)) + target.sum((-2, -1)) + 1)


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of bool masks over the last two axes; 0 for two empty ones."""
    both, either = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return both / either.clamp_min(1)


def new_model(seed: int) -> TaughtSam:
    """An untrained mini SAM and its teaching head."""
    with seeded(seed):
        sam = widened(SamModel(mini_config()))
        # As published: places and kinds of prompts have a spread of 1, and the matrix of places is not learnt. A new
        # model of this class has half its width there, with which neighbouring pixels are as different as any, and
        # 0.02 here, with which the corners of a box are all one.
        sam.shared_image_embedding.positional_embedding.requires_grad_(False).normal_()
        for module in sam.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
        return TaughtSam(sam)


def main() -> None:
    """Draw, train, save with a card."""
    options = twin_parser(__doc__.splitlines()[0], "sam", STEPS).parse_args()
    scenes = scenes_of("train", options)
    recipe = TwinRecipe(steps=options.steps, scenes=options.scenes, muon=MUON, bf16=True, seed=options.seed)
    training = train_twin(new_model(recipe.seed), SamLoss(scenes), recipe, len(scenes), options.work, name="sam")
    sam = training.averaged().sam
    measured = {split: measure_sam(Sam(sam), scenes_of(split, options)) for split in ("val", "test")}
    finish_twin(options.out, "sam", save_sam, training, sam, measured)


if __name__ == "__main__":
    main()
