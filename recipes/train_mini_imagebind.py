"""Train the mini ImageBind on Soundstage: InfoNCE between frames and their sound, no masks, no labels.

    python -m recipes.train_mini_imagebind -o weights/mini/imagebind
    python -m recipes.train_mini_imagebind -o .cache/learning/class-token --pooling class

Dense pooling: a frame and a sound are as similar as the soft maximum over patches of their cosine, so that
the patches, not the class token, have to agree with the sound. Class pooling is ImageBind's own: the class
token alone is compared with the sound. It hardly starts from scratch, so the mean of the patches helps it
through the first part of the run. Silent seconds are nobody's positive but stay
in every frame's negatives. Steps already done are not done again: the run goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.folding import fold_batchnorm
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.weights import save_imagebind
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from recipes.cards import write_encoder_card
from recipes.stage_pairs import ENCODER_MIX, SILENCE_RMS, Pairs, PairsConfig, draw_pairs, heard_classes


@dataclass(frozen=True, kw_only=True)
class EncoderRecipe:
    """Everything the result depends on.

    frames: pairs drawn. steps, batch: optimiser steps and pairs per step. lr, weight_decay: AdamW with warm-up
    and cosine decay. keep: share of patch tokens kept while training; from full_from (share of steps) on, all.
    singles_until: share of steps that only see one large object, which is learnt three times faster from
    scratch. start_scale: first value of the learned logit scale. seed: of weights, order and world.
    """

    frames: int = 40_000
    steps: int = 3_600
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    keep: float = 0.5
    full_from: float = 0.9
    singles_until: float = 0.4
    start_scale: float = 14.0
    pooling: str = "dense"
    mean_until: float = 0.5
    seed: int = 0


def contrast(similarity: Tensor, sounding: Tensor, log_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE over a batch, similarity (B images, B sounds); silent rows only serve as negatives."""
    logits = log_scale.exp().clamp(max=100) * similarity
    target = torch.arange(len(logits))
    to_audio = F.cross_entropy(logits, target, reduction="none")
    to_image = F.cross_entropy(logits.T, target, reduction="none")
    return ((to_audio + to_image) / 2)[sounding].mean()


class Batches:
    """Shuffled batches of (pixels, mels, sounding), in an order ruled by the seed alone.

    Frames are mirrored and sounds rotated in time at random.
    """

    def __init__(self, pairs: Pairs, config: ImageBindConfig, recipe: EncoderRecipe) -> None:
        self.pairs, self.config, self.recipe = pairs, config, recipe
        self.generator = np.random.default_rng([recipe.seed, 1])
        self.single = np.flatnonzero(pairs.kinds == "single")
        self.order = np.empty(0, np.int64)

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of a step's batch, sorted, since they are read from a file; which to mirror; by how much to rotate."""
        batch = self.recipe.batch
        singles = step < self.recipe.singles_until * self.recipe.steps
        if len(self.order) < batch or step == math.ceil(self.recipe.singles_until * self.recipe.steps):
            self.order = self.generator.permutation(self.single if singles else len(self.pairs.frames))
        rows, self.order = self.order[:batch], self.order[batch:]
        return np.sort(rows), self.generator.random(len(rows)) < 0.5, self.generator.integers(0, 16_000, len(rows))

    def load(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rows, mirrored, shifts = self.draw(step)
        frames = np.where(mirrored[:, None, None, None], self.pairs.frames[rows][:, :, ::-1], self.pairs.frames[rows])
        waves = [np.roll(wave, shift) for wave, shift in zip(self.pairs.sound(rows), shifts, strict=True)]
        waves = torch.from_numpy(np.stack(waves))
        sounding = waves.std(-1) > SILENCE_RMS
        pixels = preprocess_frames(frames, self.config.image_size)
        return pixels, log_mel(waves, self.config.log_mel), sounding


def train(
    recipe: EncoderRecipe, pairs: Pairs, out: Path, config: ImageBindConfig, *, save_every: int = 100
) -> tuple[ImageBind, list[float], float]:
    """Run the recipe; returns the model, the losses and the seconds of training, over all runs.

    The state after every `save_every` steps, and at the end, lies in out/checkpoint.pt.
    """
    model = random_imagebind(config, seed=recipe.seed).train().requires_grad_(True)
    log_scale = torch.nn.Parameter(torch.tensor(math.log(recipe.start_scale)))
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": [*plain, log_scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    batches, losses, seconds, checkpoint = Batches(pairs, config, recipe), [], 0.0, out / "checkpoint.pt"
    if checkpoint.is_file():
        losses, seconds = _resume(checkpoint, model, log_scale, optimiser, schedule)
        for step in range(len(losses)):
            batches.draw(step)
    began = time.monotonic() - seconds
    columns = (*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]:.3f}"))
    with Progress(*columns) as progress:
        task = progress.add_task("mini ImageBind", total=recipe.steps, completed=len(losses), loss=math.nan)
        for step in range(len(losses), recipe.steps):
            losses.append(_step(model, log_scale, optimiser, schedule, batches.load(step), step, recipe))
            progress.update(task, advance=1, loss=float(np.mean(losses[-50:])))
            if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
                _save(checkpoint, model, log_scale, optimiser, schedule, losses, time.monotonic() - began)
    return model.eval(), losses, time.monotonic() - began


def _step(model, log_scale, optimiser, schedule, batch, step: int, recipe: EncoderRecipe) -> float:
    pixels, mels, sounding = batch
    full = step >= recipe.full_from * recipe.steps
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    # On CPUs the fused attention's backward pass takes longer than all the rest of the step together.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = model.read_image(pixels, keep=None if full else recipe.keep, generator=generator)
        audio = model.audio_direction(model.embed_audio(mels)).float()
        helped = step < recipe.mean_until * recipe.steps
        similarities = _similarities(model, tokens, audio, helped)
    loss = torch.stack([contrast(similarity.float(), sounding, log_scale) for similarity in similarities]).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    schedule.step()
    return loss.item()


def _similarities(model: ImageBind, tokens: Tensor, audio: Tensor, helped: bool) -> list[Tensor]:
    """What is contrasted, each (B images, B sounds): by patches, or by class token and at first their mean."""
    if model.config.pooling == "dense":
        return [model.pooled_similarity(model.project_image(tokens).float(), audio)]
    similarities = [model.class_direction(tokens) @ audio.T]
    if helped:
        similarities.append(F.normalize(model.project_image(tokens).mean(1), dim=-1) @ audio.T)
    return similarities


def _rate(step: int, recipe: EncoderRecipe) -> float:
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _save(path: Path, model, log_scale, optimiser, schedule, losses, seconds: float) -> None:
    state = {
        "model": model.state_dict(),
        "log_scale": log_scale.detach(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.last_epoch,
        "losses": losses,
        "seconds": seconds,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path, model, log_scale, optimiser, schedule) -> tuple[list[float], float]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    log_scale.data.copy_(state["log_scale"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.last_epoch = state["schedule"]
    return state["losses"], state["seconds"]


@torch.no_grad()
def retrieval(model: ImageBind, pairs: Pairs, config: PairsConfig, *, count: int = 200) -> dict[str, float]:
    """Recall@1 and @5 of a frame's own sound among `count` single-object frames, and whether the class is right."""
    rows = np.flatnonzero(pairs.kinds == "single")[:count]
    waves = torch.from_numpy(pairs.sound(rows))
    parts = preprocess_frames(pairs.frames[rows], model.config.image_size).split(64)
    audio = model.audio_direction(model.embed_audio(log_mel(waves, model.config.log_mel)))
    similarity = torch.cat([_similarities(model, model.read_image(part), audio, False)[0] for part in parts])
    rank = (similarity > similarity.diagonal()[:, None]).sum(1)
    heard = np.array([classes[0] for classes in heard_classes(config, rows)])
    return {
        "candidates": len(rows),
        "classes": len(set(heard)),
        "recall@1": (rank < 1).float().mean().item(),
        "recall@5": (rank < 5).float().mean().item(),
        "class@1": float(np.mean(heard[similarity.argmax(1).numpy()] == heard)),
    }


def main() -> None:
    """Draw, train, fold, save as float16 safetensors with what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini/imagebind"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/mini-imagebind"))
    parser.add_argument("--steps", type=int, default=EncoderRecipe.steps)
    parser.add_argument("--frames", type=int, default=EncoderRecipe.frames)
    parser.add_argument("--held-out", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--pooling", choices=("dense", "class"), default="dense")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = EncoderRecipe(steps=options.steps, frames=options.frames, pooling=options.pooling, seed=options.seed)
    options.work.mkdir(parents=True, exist_ok=True)
    mix = tuple(ENCODER_MIX.items())
    pairs = draw_pairs(
        PairsConfig(count=recipe.frames, split="encoder-train", seed=recipe.seed, mix=mix), options.cache
    )
    config = replace(ImageBindConfig.mini(), pooling=recipe.pooling)
    model, losses, seconds = train(recipe, pairs, options.work, config)
    held_out = PairsConfig(count=options.held_out, split="encoder-val", seed=recipe.seed, mix=mix)
    folded = fold_batchnorm(model)
    save_imagebind(options.out, folded, dtype=torch.float16)
    card = {
        "recipe": asdict(recipe),
        "mix": dict(mix),
        "parameters": sum(p.numel() for p in folded.parameters()),
        "minutes": round(seconds / 60, 1),
        "last_loss": float(np.mean(losses[-100:])),
        "retrieval": retrieval(folded, draw_pairs(held_out, options.cache, workers=options.workers), held_out),
    }
    (options.out / "training.json").write_text(json.dumps(card, indent=1) + "\n")
    write_encoder_card(options.out)
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
