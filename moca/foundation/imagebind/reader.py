"""Patch features as a model's settings say, with the other model that reading "proxy" needs.

Shape legend: B frames, N patches of the encoder's grid, M of the guide's, C its width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from moca.adapters import Reading, affinity
from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.roles import Frames, ImageFeatures


@dataclass(frozen=True, kw_only=True)
class PatchReader:
    """Settings of a reading, and what it needs besides the tower.

    A frozen or an adapted tower is run with `**reader.keywords(likeness)`, where `likeness = reader.likeness(frames)`
    are features of the frames' patches by another model, None where the reading needs none.
    """

    config: PatchReading
    """How patches are read."""
    images: ImageFeatures | None = None
    """Patch features for "proxy", such as a DINO's; None where the reading needs none."""
    fingerprint: str | None = None
    """Of the weights of `images`."""

    def __post_init__(self) -> None:
        if self.config.reading == "proxy" and self.images is None:
            raise InputError(
                "reading proxy needs a DINO, got none; use a model that has one, or choose another reading."
            )

    @classmethod
    def of(cls, config: ImageBindConfig) -> PatchReader:
        """The encoder's own way, from its configuration."""
        return cls(config=PatchReading(reading=config.reading))

    def as_reading(self, reading: Reading | None) -> PatchReader:
        """The same settings with another reading; None is this one. Raises InputError for proxy without a DINO."""
        return self if reading is None else replace(self, config=replace(self.config, reading=reading))

    @property
    def made_of(self) -> dict[str, Any]:
        """All that features depend on besides the encoder, as JSON values."""
        return {**self.config.to_json(), "images": self.fingerprint if self.config.reading == "proxy" else None}

    def likeness(self, frames: Frames, *, side: int | None = None) -> Tensor | None:
        """Unit features (B, M, C) float32 on the CPU, on the other model's own grid; None without "proxy".

        side: of a square grid to resize them to, for who needs the encoder's own grid: training learns from some of its
        patches, and has targets for each.
        """
        if self.config.reading != "proxy":
            return None
        grid = torch.from_numpy(np.ascontiguousarray(self.images.patches(frames))).float()
        if side is not None and grid.shape[1] != side:
            pictures = F.normalize(grid, dim=-1).movedim(-1, 1)
            down = side < grid.shape[1]
            grid = F.interpolate(pictures, (side, side), mode="bilinear", align_corners=False, antialias=down)
            grid = grid.movedim(1, -1)
        return F.normalize(grid.flatten(1, 2), dim=-1)

    def keywords(self, likeness: Tensor | None = None, *, device: Any = None) -> dict[str, Any]:
        """Keywords for `AdaptedTowers.suffix` and `ImageBindTower.forward`.

        likeness: (B, M, C) for the images that go through the tower, all patches or those that are looked at.
        device: where the affinity is computed and handed on; None is where likeness is.
        """
        config, guide = self.config, None
        if likeness is not None:
            features = likeness if device is None else likeness.to(device)
            guide = affinity(features, beta=config.proxy_beta, gamma=config.proxy_gamma)
        return {
            "reading": config.reading,
            "guide": guide,
            "self_self": config.clear_by,
            "high_norm": config.high_norm,
        }
