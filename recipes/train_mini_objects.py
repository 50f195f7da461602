"""Train the mini OWLv2 on Soundstage: boxes of whatever is an object, and how sure that is.

    python -m recipes.train_mini_objects -o weights/mini/objects

The patches in the middle of an object learn its box, and the objectness of a patch learns the IoU that its box has, so
that it can be read as a probability. The text tower is not trained: nothing is asked by words.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2TextConfig, Owlv2VisionConfig

from moca.foundation.owlv2 import Owlv2Objects, preprocess_frames, save_objects
from recipes.stage_scenes import Scenes
from recipes.starts import seeded, waves_of_places, widened
from recipes.twin_cards import finish_twin
from recipes.twins import TwinRecipe, scenes_of, train_twin, twin_parser
from recipes.twins_measured import measure_objects

STEPS = 5_000
UNLIKELY = -3.0  # objectness of a patch before anything is learnt, as a logit
INNER = 0.6  # share of a box whose patches learn it
OBJECTNESS, DISTANCE, OVERLAP = 1.0, 5.0, 2.0  # weights of the parts of the loss


def mini_config() -> Owlv2Config:
    """An OWLv2 of 1.3 million parameters that reads 96-pixel pictures in 12 x 12 patches."""
    vision = Owlv2VisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=96,
        patch_size=8,
    )
    text = Owlv2TextConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        bos_token_id=6,
        eos_token_id=7,
    )
    return Owlv2Config(vision_config=vision, text_config=text, projection_dim=8)


def mirrored_batch(
    scenes: Scenes, rows: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[Tensor, Tensor]]]:
    """Frames (B, S, S, 3), half of them mirrored, and (boxes (K, 4) cx, cy, w, h in [0, 1], classes (K,)) of each."""
    side = scenes.frames.shape[1]
    frames, truths = scenes.frames[rows], []
    for position, row in enumerate(rows):
        _, boxes, classes = scenes.objects(row)
        boxes = boxes / side
        if rng.random() < 0.5:
            frames[position] = frames[position, :, ::-1].copy()
            boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
        centred = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        truths.append((torch.from_numpy(centred).float(), torch.from_numpy(classes)))
    return frames, truths


class ObjectsLoss:
    """The loss of a batch of scenes."""

    def __init__(self, scenes: Scenes):
        self.scenes = scenes

    def __call__(self, model: nn.Module, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, dict]:
        frames, truths = mirrored_batch(self.scenes, rows, rng)
        grid, _ = model.image_embedder(preprocess_frames(frames, model.config.vision_config.image_size))
        features = grid.flatten(1, 2)
        boxes = model.box_predictor(features, grid).float()
        # Not model.objectness_predictor, which keeps its gradient from the trunk: OWLv2's trunk learns what is
        # an object from words, and here are none.
        logits = model.objectness_head(features)[..., 0].float()
        wanted, pairs = torch.zeros_like(logits), []
        for row, (truth, _) in enumerate(truths):
            patches, objects = taught(grid.shape[1], truth)
            wanted[row, patches] = iou_of(boxes[row, patches].detach(), truth[objects])
            pairs.append((boxes[row, patches], truth[objects]))
        taught_boxes, truth = (torch.cat(part) for part in zip(*pairs, strict=True))
        distance, overlap = (taught_boxes - truth).abs().sum(-1).mean(), (1 - giou_of(taught_boxes, truth)).mean()
        cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        objectness = cross.sum() / len(truth)
        loss = OBJECTNESS * objectness + DISTANCE * distance + OVERLAP * overlap
        return loss, {"objectness": objectness.item(), "overlap": overlap.item()}


def taught(side: int, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (M,) of a side x side grid and the objects (M,) that teach them; truth (K, 4) cx, cy, w, h in [0, 1].

    A patch whose middle lies in the inner part of a box learns that box, the smallest of several; so does the patch
    nearest to the middle of a box. Source: FCOS's centre sampling (Tian et al., ICCV 2019).
    """
    places = (torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy"), -1) + 0.5) / side
    places = places.flatten(0, 1)
    away = (places[:, None] - truth[None, :, :2]).abs()
    inside = (away < INNER / 2 * truth[None, :, 2:]).all(-1)
    nearest = away.sum(-1).argmin(0)
    inside[nearest, torch.arange(len(truth))] = True
    area = torch.where(inside, truth[:, 2:].prod(-1)[None], torch.inf)
    area[nearest, torch.arange(len(truth))] = -1.0
    least, owner = area.min(1)
    patches = least.isfinite().nonzero()[:, 0]
    return patches, owner[patches]


def corners_of(boxes: Tensor) -> Tensor:
    """cx, cy, w, h to x0, y0, x1, y1."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas of the intersection, the union and the hull of boxes cx, cy, w, h that broadcast."""
    a, b = corners_of(a), corners_of(b)
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp_min(0).prod(-1)
    either = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return both, either, hull


def iou_of(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes cx, cy, w, h."""
    both, either, _ = _areas(a, b)
    return both / either.clamp_min(1e-9)


def giou_of(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes cx, cy, w, h, in (-1, 1]. Source: Rezatofighi et al., CVPR 2019."""
    both, either, hull = _areas(a, b)
    return both / either.clamp_min(1e-9) - (hull - either) / hull.clamp_min(1e-9)


def new_model(seed: int) -> Owlv2ForObjectDetection:
    """An untrained mini OWLv2, whose text tower stays as it is."""
    with seeded(seed):
        model = widened(Owlv2ForObjectDetection(mini_config()))
        for head, start in ((model.box_head, 0.0), (model.objectness_head, UNLIKELY)):
            nn.init.zeros_(head.dense2.weight)
            nn.init.constant_(head.dense2.bias, start)
    with torch.no_grad():
        # Drowned in a patch's colours, positions of the published spread take a thousand steps to be noticed.
        side = model.num_patches_height
        model.owlv2.vision_model.embeddings.position_embedding.weight.copy_(waves_of_places(128, side, side)[0])
    for part in (model.owlv2.text_model, model.class_head, model.owlv2.text_projection, model.owlv2.visual_projection):
        part.requires_grad_(False)
    return model


def main() -> None:
    """Draw, train, save with a card."""
    options = twin_parser(__doc__.splitlines()[0], "objects", STEPS).parse_args()
    recipe = TwinRecipe(steps=options.steps, scenes=options.scenes, seed=options.seed)
    scenes = scenes_of("train", options)
    model, loss_of = new_model(recipe.seed), ObjectsLoss(scenes)
    training = train_twin(model, loss_of, recipe, len(scenes), options.work, name="objects")
    trained = Owlv2Objects(training.averaged())
    measured = {split: measure_objects(trained, scenes_of(split, options)) for split in ("val", "test")}
    finish_twin(options.out, "objects", save_objects, training, training.averaged(), measured)


if __name__ == "__main__":
    main()
