"""Muon for the trunks' matrices, AdamW for all the rest of the mini ImageBind; one schedule for both."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moca.foundation.imagebind.model import ImageBind
from recipes.encoder_recipe import EncoderRecipe
from recipes.muon import Muon


class Optimisers:
    """The optimisers of an encoder and of its logit scale, stepped and saved as one.

    With muon_lr 0 AdamW does everything.
    """

    def __init__(self, model: ImageBind, log_scale: Tensor, recipe: EncoderRecipe) -> None:
        learnt = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        trunks = [p for name, p in learnt if "trunks" in name and p.ndim == 2 and recipe.muon_lr > 0]
        taken = {id(p) for p in trunks}
        rest = [p for _, p in learnt if id(p) not in taken]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [*(p for p in rest if p.ndim <= 1), log_scale], "weight_decay": 0.0},
        ]
        self.each: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98))]
        if trunks:
            self.each.append(Muon(trunks, recipe.muon_lr, weight_decay=recipe.muon_decay))
        self.schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: rate(step, recipe)) for one in self.each]

    def zero_grad(self) -> None:
        for one in self.each:
            one.zero_grad(set_to_none=True)

    def step(self) -> None:
        """One step of every optimiser, then of its rate."""
        for one in (*self.each, *self.schedules):
            one.step()

    def state_dict(self) -> dict:
        """Tensors, numbers and lists only, so that it loads with weights_only=True."""
        return {"each": [one.state_dict() for one in self.each], "step": self.schedules[0].last_epoch}

    def load_state_dict(self, state: dict) -> None:
        for one, saved in zip(self.each, state["each"], strict=True):
            one.load_state_dict(saved)
        for schedule in self.schedules:
            schedule.last_epoch = state["step"]


def rate(step: int, recipe: EncoderRecipe) -> float:
    """Share of the full rates: linear warm-up, then a cosine down to 0."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
