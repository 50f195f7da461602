"""What a step of training minimises: pixel matching, distillation of pseudo-labels, or both."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from moca.adapters import AdaptedTowers
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.training.config import TrainConfig
from moca.training.loop import ParameterGroup
from moca.training.losses.adapted import AdaptedReader
from moca.training.losses.distillation import Distillation
from moca.training.losses.preparing import Prepared
from moca.training.losses.triplets import PixelMatching


class Objective:
    """The loss of a step as a pure function of (config.seed, step) and the trainable values; see `loop.Objective`.

    Batches, negatives and dropped patches come from generators made anew for every step, so a run that goes on
    after step n repeats what an uninterrupted run does, and nothing about the sampler needs saving.
    """

    def __init__(
        self,
        encoder: ImageBind,
        towers: AdaptedTowers,
        corpus: Corpus,
        config: TrainConfig,
        prepared: Prepared,
        *,
        reader: PatchReader | None = None,
    ) -> None:
        """towers: around the encoder's own, with the adapters to train. prepared: what `prepare` made of the same
        encoder, corpus, configuration and reader. reader: how patches are read; None is the encoder's own way. Raises
        InputError for one that replaces tokens by their neighbours where only some patches are looked at.
        """
        if reader is not None and reader.config.high_norm is not None and config.distillation and config.keep < 1:
            raise InputError(
                f"keep must be 1 with high_norm, which needs all patches of a picture, got {config.keep:g}; set it, or "
                "leave high_norm out."
            )
        self.encoder, self.towers, self.config, self.batch = encoder, towers, config, config.batch
        adapted = AdaptedReader(encoder, towers, corpus, reader=reader)
        self.matching = self.distillation = None
        if prepared.mined is not None:
            self.matching = PixelMatching(adapted, prepared.rows, prepared.mined, config)
        if prepared.labels is not None:
            self.distillation = Distillation(adapted, prepared.labels, config)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The adapters, and the read-out where there is one, each with its learning rate."""
        groups: dict[str, list[nn.Parameter]] = {"adapters": [], "readout": []}
        for name, parameter in self.towers.named_parameters():
            if parameter.requires_grad:
                groups["readout" if name == "readout" else "adapters"].append(parameter)
        rates = {"adapters": self.config.lr, "readout": self.config.readout_lr}
        return [ParameterGroup(name=name, parameters=groups[name], lr=lr) for name, lr in rates.items() if groups[name]]

    def loss(self, step: int, *, part: int = 0, parts: int = 1) -> tuple[Tensor, dict[str, float]]:
        """Loss of a step and its parts to log.

        part, parts: this process takes every `parts`-th anchor of the batch, from `part` on.
        """
        total: Tensor | float = 0.0
        logged: dict[str, float] = {}
        if self.matching is not None:
            matching, active = self.matching.loss(step, part=part, parts=parts)
            total = total + self.config.matching * matching
            logged |= {"matching": float(matching.detach()), "active": float(active)}
        if self.distillation is not None:
            distilled = self.distillation.loss(step, part=part, parts=parts)
            total = total + self.config.distillation * distilled
            logged["distillation"] = float(distilled.detach())
        return total, logged

    def state_dict(self) -> dict[str, Tensor]:
        """The trained values by name."""
        return self.towers.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up trained values that `state_dict` gave."""
        self.towers.load_state_dict(state)

    def to(self, device: torch.device) -> None:
        """Compute on a device from now on; the encoder goes along."""
        self.encoder.to(device)
        self.towers.to(device)
