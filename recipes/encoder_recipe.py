"""What rules the training of the mini ImageBind."""

from __future__ import annotations

from dataclasses import dataclass

from moca.foundation.imagebind.config import Pooling


@dataclass(frozen=True, kw_only=True)
class EncoderRecipe:
    """Everything the result depends on.

    frames: pairs drawn. steps, batch: optimiser steps and pairs per step. muon_lr, muon_decay: Muon for the
    trunks' matrices; lr, weight_decay: AdamW for the rest, or for all where muon_lr is 0. warmup: steps until full
    rates, then a cosine. keep: share of patch tokens kept while training; from full_from (share of steps) on, all.
    singles_until: share of steps that only see one large object, which is learnt three times faster from
    scratch. start_scale: first value of the learned logit scale. pooling: what is compared with the sound.
    mean_until: share of steps in which the patches' mean is compared beside the class token. seed: of weights,
    order and world.
    """

    frames: int = 16_000
    steps: int = 1_000
    batch: int = 64
    muon_lr: float = 3e-3
    muon_decay: float = 0.02
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 100
    keep: float = 0.3
    full_from: float = 0.92
    singles_until: float = 0.4
    start_scale: float = 14.0
    pooling: Pooling = "class"
    mean_until: float = 0.4
    seed: int = 0

    @classmethod
    def of(cls, pooling: Pooling, **changes: object) -> EncoderRecipe:
        """The recipe of a pooling; the dense encoder learns by AdamW alone, as the studies' one did."""
        dense = {"frames": 40_000, "steps": 3_600, "muon_lr": 0.0, "lr": 1e-3, "warmup": 200}
        dense |= {"keep": 0.5, "full_from": 0.9}
        return cls(pooling=pooling, **(dense if pooling == "dense" else {}) | changes)
