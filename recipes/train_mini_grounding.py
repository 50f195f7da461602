"""Train the mini Grounding DINO on Soundstage: boxes of what some words name.

    python -m recipes.train_mini_grounding -o weights/mini/grounding

As Grounding DINO starts from a Swin that knows ImageNet, this one's Swin first learns the class at every place of its
feature maps. Then all of it learns from prompts that hold all the classes, or some of them, in any order. The loss is
Grounding DINO's own, in which each object teaches one query a layer, plus one in which it teaches every token of the
image encoder in its middle, and tells the words apart by cross-entropy: from so few pictures, one to one alone learns
too slowly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig
from transformers.utils import ModelOutput

from moca.foundation.grounding_dino.detector import GroundingDino, save_grounding
from moca.foundation.grounding_dino.fitting import preprocess_frames
from moca.stage import CLASSES
from recipes.stage_scenes import Scenes, at_size, classes_shown
from recipes.starts import seeded, widened
from recipes.train_mini_objects import giou_of, mirrored_batch, taught
from recipes.twin_cards import finish_twin
from recipes.twins import TwinRecipe, scenes_of, train_twin, twin_parser
from recipes.twins_measured import measure_grounding
from recipes.vocabulary import prompt_ids, small_tokenizer, vocabulary

STEPS, SWIN_STEPS = 3_000, 3_000
MUON, SWIN_MUON = 3e-3, 3e-3
SIDES = (128, 128)
WHOLE_PROMPT = 0.5  # share of steps whose prompt holds every class


def mini_config() -> GroundingDinoConfig:
    """A Grounding DINO of about a million parameters for 128-pixel pictures and prompts of 64 word pieces."""
    width = 64
    return GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=128,
            patch_size=4,
            embed_dim=32,
            depths=[2, 2, 2],
            num_heads=[2, 4, 8],
            window_size=4,
            drop_path_rate=0.0,
            out_features=["stage2", "stage3"],
        ),
        text_config=BertConfig(
            vocab_size=len(vocabulary()),
            hidden_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        d_model=width,
        num_queries=20,
        num_feature_levels=3,
        encoder_layers=2,
        decoder_layers=2,
        encoder_n_points=2,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_text_len=64,
        dropout=0.0,
        fusion_droppath=0.0,
        auxiliary_loss=True,
    )


class TaughtSwin(nn.Module):
    """A Swin backbone, and a head for each of its feature maps that teaches it the class at every place."""

    def __init__(self, swin: nn.Module):
        super().__init__()
        self.swin = swin
        self.heads = nn.ModuleList(nn.Linear(width, 1 + len(CLASSES)) for width in swin.channels)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Logits (B, 1 + classes, G, G) of the ground and the classes, for every feature map."""
        maps = self.swin(pixels).feature_maps
        return [
            head(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for head, features in zip(self.heads, maps, strict=True)
        ]


class SwinLoss:
    """The loss of the first round: cross-entropy of the classes in the middle of every place; half are mirrored."""

    def __init__(self, scenes: Scenes):
        self.scenes = scenes

    def __call__(self, model: TaughtSwin, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, dict]:
        frames, owners = self.scenes.frames[rows], self.scenes.owners[rows]
        turned = rng.random(len(rows)) < 0.5
        frames[turned], owners[turned] = frames[turned, :, ::-1], owners[turned, :, ::-1]
        shown = torch.from_numpy(classes_shown(owners, self.scenes.classes[rows]))
        losses, figures = [], {}
        for logits in model(preprocess_frames(frames, SIDES)):
            truth = at_size(shown, logits.shape[-1])
            losses.append(functional.cross_entropy(logits, truth))
            right = (logits[:, 1:].argmax(1) + 1 == truth)[truth > 0]
            figures[f"right of {logits.shape[-1]}"] = right.float().mean().item()
        return sum(losses), figures


class GroundingLoss:
    """The loss of a batch of scenes with one prompt."""

    def __init__(self, scenes: Scenes):
        self.scenes = scenes

    def __call__(self, model: nn.Module, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, dict]:
        frames, truths = mirrored_batch(self.scenes, rows, rng)
        count = len(CLASSES) if rng.random() < WHOLE_PROMPT else int(rng.integers(1, len(CLASSES)))
        words = rng.permutation(len(CLASSES))[:count]
        position = np.full(len(CLASSES), -1)
        position[words] = np.arange(count)
        labels = []
        for boxes, classes in truths:
            places = torch.from_numpy(position)[classes]
            labels.append({"class_labels": places[places >= 0], "boxes": boxes[places >= 0]})
        ids = torch.tensor([prompt_ids([CLASSES[number] for number in words])]).expand(len(frames), -1)
        answers = model(pixel_values=preprocess_frames(frames, SIDES), input_ids=ids, labels=labels)
        dense, overlap = dense_loss(answers, labels, count)
        parts = {"class": answers.loss_dict["loss_ce"].item(), "overlap": answers.loss_dict["loss_giou"].item()}
        return answers.loss + dense, {**parts, "dense": dense.item(), "dense overlap": overlap.item()}


def dense_loss(answers: ModelOutput, labels: list[dict[str, Tensor]], words: int) -> tuple[Tensor, Tensor]:
    """Loss of the image encoder's own words and boxes, and 1 - generalised IoU of the latter.

    The tokens of every level that lie in the middle of an object learn its box and its word; all others learn that no
    word is there. The former also learn which of the words is theirs by cross-entropy between the words, which the
    focal loss teaches slowly. Word k of a prompt of so many words is its token 1 + 2 k.
    """
    logits = answers.enc_outputs_class[..., 1 : 1 + 2 * words : 2]
    coordinates, wanted = answers.enc_outputs_coord_logits, torch.zeros_like(logits)
    pairs, names = [], []
    for row, label in enumerate(labels):
        if not len(label["boxes"]):
            continue
        start = 0
        for side in levels_of(coordinates.shape[1]):
            tokens, objects = taught(side, label["boxes"])
            tokens = tokens + start
            start += side * side
            usable = coordinates[row, tokens].isfinite().all(-1)  # a token at the very edge has no box of its own
            tokens, objects = tokens[usable], objects[usable]
            wanted[row, tokens, label["class_labels"][objects]] = 1
            pairs.append((coordinates[row, tokens].sigmoid(), label["boxes"][objects]))
            names.append((logits[row, tokens], label["class_labels"][objects]))
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    sure = torch.where(wanted > 0, 0.25 * (1 - logits.sigmoid()) ** 2, 0.75 * logits.sigmoid() ** 2)
    taught_tokens = max(1, sum(len(boxes) for boxes, _ in pairs))
    loss = (sure * cross).sum() / taught_tokens
    if not pairs:
        return loss, loss.detach() * 0
    boxes, truth = (torch.cat(part) for part in zip(*pairs, strict=True))
    overlap = (1 - giou_of(boxes, truth)).mean()
    loss = loss + functional.cross_entropy(*(torch.cat(part) for part in zip(*names, strict=True)))
    return 2 * loss + 5 * (boxes - truth).abs().sum(-1).mean() + 2 * overlap, overlap.detach()


def levels_of(tokens: int) -> list[int]:
    """Sides of the square feature levels that make so many tokens: each is half of the one before."""
    side = SIDES[0] // 8
    sides = [side >> level for level in range(3)]
    if sum(level_side * level_side for level_side in sides) != tokens:
        raise ValueError(f"levels of {sides} must have {tokens} tokens; match SIDES and the configuration.")
    return sides


def new_model(seed: int) -> GroundingDinoForObjectDetection:
    """An untrained mini Grounding DINO."""
    with seeded(seed):
        return widened(GroundingDinoForObjectDetection(mini_config()))


def new_swin(swin: nn.Module, seed: int) -> TaughtSwin:
    """A backbone with untrained heads."""
    with seeded(seed):
        return TaughtSwin(swin)


def main() -> None:
    """Draw, train, save with a card."""
    options = twin_parser(__doc__.splitlines()[0], "grounding", STEPS).parse_args()
    scenes = scenes_of("train", options)
    first = TwinRecipe(steps=min(SWIN_STEPS, options.steps), scenes=options.scenes, muon=SWIN_MUON, seed=options.seed)
    model = new_model(first.seed)
    swin = model.model.backbone.conv_encoder.model
    taught = train_twin(new_swin(swin, first.seed), SwinLoss(scenes), first, len(scenes), options.work, name="swin")
    swin.load_state_dict(taught.averaged().swin.state_dict())
    second = replace(first, steps=options.steps, muon=MUON, seed=first.seed + 1)
    loss_of = GroundingLoss(scenes)
    training = train_twin(model, loss_of, second, len(scenes), options.work, name="grounding").after(taught)
    trained = GroundingDino(training.averaged(), small_tokenizer())
    measured = {split: measure_grounding(trained, scenes_of(split, options)) for split in ("val", "test")}

    def save(folder, model, **how) -> None:
        save_grounding(folder, model, small_tokenizer(), **how)

    finish_twin(options.out, "grounding", save, training, training.averaged(), measured)


if __name__ == "__main__":
    main()
