"""Agreement and features of clips under every control.

Controls, all with the gate open so that they show what the masks depend on:

    own               the clip's own sound
    swapped           another clip's sound everywhere
    adapters swapped  another clip's sound in the adapters alone; the score compares with the own one
    image only        digital silence in the adapters; a cosine read-out compares with the mean sound of training

A fifth, muted, needs no figure: digital silence is below the level at which a step counts as silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from moca.adapters import AdaptedTowers
from moca.foundation.imagebind.model import ImageBind
from moca.segmentation.gate import support
from moca.training.frozen import FrozenReader
from recipes.stage_pairs import Pairs

CONTROLS = ("own", "swapped", "adapters swapped", "image only")
BATCH = 50


@dataclass(frozen=True)
class Maps:
    """Agreement (N, G, G) and patch features (N, G, G, E) of the clips of one kind under one control."""

    agreement: np.ndarray
    patches: np.ndarray


class Looker:
    """Reads clips with one model under every control; frozen parts run once."""

    def __init__(
        self,
        encoder: ImageBind,
        towers: AdaptedTowers,
        mean_sound: np.ndarray,
        *,
        mirror: bool,
    ) -> None:
        self.encoder, self.towers, self.mirror = encoder, towers, mirror
        self.reader = FrozenReader(encoder)
        self.mean_sound = torch.from_numpy(mean_sound)

    @torch.no_grad()
    def look(self, pairs: Pairs, controls: tuple[str, ...]) -> dict[str, Maps]:
        """Maps of all clips under the given controls."""
        maps_of: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {control: [] for control in controls}
        other = np.roll(np.arange(len(pairs.frames)), 1)
        for first in range(0, len(pairs.frames), BATCH):
            rows = np.arange(first, min(first + BATCH, len(pairs.frames)))
            pixels = self.reader.pixels(np.asarray(pairs.frames[rows]))
            waves = {"own": pairs.sound(rows), "other": pairs.sound(other[rows])}
            waves["none"] = np.zeros_like(waves["own"])
            for control, maps in self._controls(pixels, waves, controls).items():
                maps_of[control].append(maps)
        return {name: Maps(*map(np.concatenate, zip(*parts, strict=True))) for name, parts in maps_of.items()}

    @torch.no_grad()
    def supports(self, pairs: Pairs, own: Maps) -> list[np.ndarray]:
        """What the gates read, each (N,): support of the agreement, and with a read-out the frozen presence too."""
        supports = [np.array([support(frame) for frame in own.agreement])]
        if self.towers.readout is not None:
            presence = []
            for first in range(0, len(pairs.frames), BATCH):
                rows = np.arange(first, min(first + BATCH, len(pairs.frames)))
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    context = self.towers.hear(self.reader.mels(pairs.sound(rows)))
                    prefix = self.towers.prefix(self.reader.pixels(np.asarray(pairs.frames[rows])))
                    frozen = self.towers.suffix(prefix, context, adapted=False)
                    presence.append(self.encoder.presence(frozen, context.tokens).float())
            supports.append(torch.cat(presence).numpy())
        return supports

    def _controls(
        self, pixels: Tensor, waves: dict[str, np.ndarray], controls: tuple[str, ...]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        heard_by = {"own": "own", "swapped": "other", "adapters swapped": "other", "image only": "none"}
        with torch.autocast("cpu", dtype=torch.bfloat16), sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            views = [self.towers.prefix(pixels)]
            if self.mirror:
                views.append(self.towers.prefix(pixels.flip(-1)))
            needed = {heard_by[control] for control in controls} | {"own"}
            contexts = {name: self.towers.hear(self.reader.mels(waves[name])) for name in sorted(needed)}
            features = {
                name: self._features(views, contexts[name]) for name in {heard_by[control] for control in controls}
            }
        directions = {name: self.encoder.audio_direction(context.tokens) for name, context in contexts.items()}
        compared = {"own": "own", "swapped": "other", "adapters swapped": "own"}
        result = {}
        for control in controls:
            patches = features[heard_by[control]]
            if self.towers.readout is not None:
                agreement = torch.sigmoid(self.towers.score(patches))
            elif control == "image only":
                agreement = patches @ self.mean_sound
            else:
                agreement = torch.einsum("bhwe,be->bhw", patches, directions[compared[control]].float())
            result[control] = agreement.numpy(), patches.half().numpy()
        return result

    def _features(self, views: list[Tensor], context) -> Tensor:
        side, total = self.reader.side, 0.0
        for flipped, tokens in enumerate(views):
            read = self.towers.suffix(tokens, context, reading=self.encoder.config.reading)
            patches = self.encoder.project_image(read).float().unflatten(1, (side, side))
            total = total + (patches.flip(2) if flipped else patches)
        return torch.nn.functional.normalize(total, dim=-1)
