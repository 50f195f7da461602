"""Train the mini ImageBind on Soundstage: InfoNCE between frames and their sound, no masks, no labels.

    python -m recipes.train_mini_imagebind -o weights/mini/imagebind --pooling dense --work .cache/dense
    python -m recipes.train_mini_imagebind -o weights/mini-class/imagebind --still weights/mini/imagebind

Class pooling is ImageBind's own: the class token alone is compared with the sound. It hardly starts from
scratch, so the mean of the patches helps it through the first part of the run. With dense pooling, which only
the studies use, a frame and a sound are as similar as the soft maximum over patches of their cosine, so that
the patches, not the class token, have to agree with the sound. With --still, audio tower and image stem are those
of an encoder already trained, and only the image trunk, its class token, positions and head learn, from scratch.
Silent seconds are nobody's positive but stay in every frame's negatives. Steps already done are not done again:
the run goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.folding import fold_batchnorm
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.weights import load_imagebind, save_imagebind
from recipes.cards import sha256, write_encoder_card
from recipes.encoder_batches import Batches
from recipes.encoder_loss import contrast, similarities
from recipes.encoder_optimisers import Optimisers
from recipes.encoder_recipe import EncoderRecipe
from recipes.encoder_retrieval import CANDIDATES, retrieval
from recipes.stage_pairs import ENCODER_MIX, Pairs, PairsConfig, draw_pairs
from recipes.states import read_state, write_state
from recipes.still_parts import sounds_of, take_over

HALF = "AVX512" in torch.backends.cpu.get_cpu_capability()
"""Whether steps compute in bfloat16, which other CPUs emulate, ten times slower than float32."""


def train(
    recipe: EncoderRecipe,
    pairs: Pairs,
    out: Path,
    model: ImageBind,
    *,
    sounds: Tensor | None = None,
    save_every: int = 100,
) -> tuple[ImageBind, list[float], float]:
    """Run the recipe on a new model; returns it, the losses and the seconds of training, over all runs.

    sounds: every pair's sound as the model's still audio tower embeds it, (N, E) L2-normed; without, the model
    embeds them at every step. The state after every `save_every` steps, and at the end, lies in out/checkpoint.pt.
    """
    model.train()
    log_scale = torch.nn.Parameter(torch.tensor(math.log(recipe.start_scale)))
    optimisers = Optimisers(model, log_scale, recipe)
    batches, losses, seconds, checkpoint = Batches(pairs, model.config, recipe, sounds), [], 0.0, out / "checkpoint.pt"
    if checkpoint.is_file():
        state = read_state(checkpoint, recipe)
        for part, name in ((model, "model"), (optimisers, "optimisers")):
            part.load_state_dict(state[name])
        log_scale.data.copy_(state["log_scale"])
        losses, seconds = state["losses"], state["seconds"]
        for step in range(len(losses)):
            batches.draw(step)
    began = time.monotonic() - seconds
    columns = (*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]:.3f}"))
    with Progress(*columns) as progress:
        task = progress.add_task("mini ImageBind", total=recipe.steps, completed=len(losses), loss=math.nan)
        for step in range(len(losses), recipe.steps):
            losses.append(_step(model, log_scale, optimisers, batches.load(step), step, recipe))
            progress.update(task, advance=1, loss=float(np.mean(losses[-50:])))
            if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
                states = {"model": model.state_dict(), "optimisers": optimisers.state_dict()}
                told = {"log_scale": log_scale.detach(), "losses": losses, "seconds": time.monotonic() - began}
                write_state(checkpoint, recipe, states | told)
    return model.eval(), losses, time.monotonic() - began


def _step(model, log_scale, optimisers, batch, step: int, recipe: EncoderRecipe) -> float:
    pixels, sounds, sounding = batch
    full = step >= recipe.full_from * recipe.steps
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    # On CPUs the fused attention's backward pass takes longer than all the rest of the step together.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", dtype=torch.bfloat16, enabled=HALF):
        tokens = model.read_image(pixels, keep=None if full else recipe.keep, generator=generator)
        audio = sounds if sounds.ndim == 2 else model.audio_direction(model.embed_audio(sounds)).float()
        helped = step < recipe.mean_until * recipe.steps
        found = similarities(model, tokens, audio, helped)
    loss = torch.stack([contrast(similarity.float(), sounding, log_scale) for similarity in found]).mean()
    optimisers.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimisers.step()
    return loss.item()


def main() -> None:
    """Draw, train, fold, save as float16 safetensors with what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini/imagebind"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/mini-imagebind"))
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--frames", type=int, help="instead of the recipe's")
    parser.add_argument("--held-out", type=int, default=1_000, help="validation frames, of all kinds")
    parser.add_argument("--tested", type=int, default=600, help="test frames, of one object each")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--pooling", choices=("class", "dense"), default="class")
    parser.add_argument("--still", type=Path, help="encoder whose stem and audio tower are kept; without, all is new")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    given = {name: value for name in ("steps", "frames") if (value := getattr(options, name)) is not None}
    recipe = EncoderRecipe.of(options.pooling, seed=options.seed, **given)
    options.work.mkdir(parents=True, exist_ok=True)
    mix = tuple(ENCODER_MIX.items())
    config = replace(ImageBindConfig.mini(), pooling=recipe.pooling)
    learnt = PairsConfig(count=recipe.frames, split="encoder-train", seed=recipe.seed, mix=mix)
    pairs = draw_pairs(learnt, options.cache, workers=options.workers)
    if options.still:
        model = take_over(options.still, config, recipe.seed)
        sounds = sounds_of(options.still, model, pairs, learnt, options.work)
    else:
        model, sounds = random_imagebind(config, recipe.seed).requires_grad_(True), None
    model, losses, seconds = train(recipe, pairs, options.work, model, sounds=sounds)
    folded = model if model.config.folded else fold_batchnorm(model)
    save_imagebind(options.out, folded, dtype=torch.float16)
    held_out = PairsConfig(count=options.held_out, split="encoder-val", seed=recipe.seed, mix=mix)
    test = PairsConfig(count=options.tested, split="encoder-test", seed=recipe.seed, mix=(("single", 1.0),))
    pairs_of = {one: draw_pairs(one, options.cache, workers=options.workers) for one in (held_out, test)}
    shipped = load_imagebind(options.out)
    card = {
        "recipe": asdict(recipe),
        "still": sha256(options.still / "model.safetensors") if options.still else None,
        "precision": "bfloat16" if HALF else "float32",
        "mix": dict(mix),
        "parameters": sum(p.numel() for p in folded.parameters()),
        "learnt": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "minutes": round(seconds / 60, 1),
        "last_loss": float(np.mean(losses[-100:])),
        "retrieval": retrieval(shipped, pairs_of[held_out], held_out)[0],
        "test": retrieval(shipped, pairs_of[test], test, groups=max(1, options.tested // CANDIDATES)),
    }
    (options.out / "training.json").write_text(json.dumps(card, indent=1) + "\n")
    write_encoder_card(options.out)
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
