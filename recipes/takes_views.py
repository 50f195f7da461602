"""Views of the takes of an object, cut and recoloured at random, and the loss that finds the two of one object.

Letters: N objects, B pictures (2 N of them: first takes, then second takes), S pixels, P numbers of a projection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional as F

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD
from moca.foundation.preprocessing import normalised

ORDERS = tuple(permutations(range(3)))
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """How a take is cut and recoloured.

    pixels: side of a view. area: share of the take that it shows, from and to. flip: chance of mirroring. brightness,
    contrast: furthest factors are 1 -+ this. permuted: chance that the colour channels change places. grey: chance of
    losing all colour.
    """

    pixels: int = 64
    area: tuple[float, float] = (0.5, 1.0)
    flip: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    permuted: float = 0.5
    grey: float = 0.3


def draw_views(takes: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """One random view of every take, normalised as DINO reads pictures.

    takes (N, 2, H, W, 3) uint8; returns (2 N, 3, S, S) float32, the first takes of all objects, then the second ones.
    """
    pixels = takes.transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    cut = crop(pixels, config.pixels, config.area, config.flip, generator)
    return normalised(_recoloured(cut, config, generator), IMAGENET_MEAN, IMAGENET_STD)


def crop(pixels: Tensor, side: int, area: tuple[float, float], flip: float, generator: torch.Generator) -> Tensor:
    """A random box of every picture (B, 3, H, W), resized to (B, 3, side, side), mirrored with chance `flip`.

    area: from and to, as shares of the picture; the sides' ratio is between 3:4 and 4:3. Bilinear.
    """
    count = len(pixels)
    share = _uniform(count, *area, generator)
    ratio = _uniform(count, math.log(3 / 4), math.log(4 / 3), generator).exp()
    width, height = (share * ratio).sqrt().clamp(max=1), (share / ratio).sqrt().clamp(max=1)
    centre_x = _uniform(count, -1, 1, generator) * (1 - width)
    centre_y = _uniform(count, -1, 1, generator) * (1 - height)
    sign = torch.where(_chance(count, flip, generator), -1.0, 1.0)
    zero = torch.zeros(count)
    box = torch.stack([width * sign, zero, centre_x, zero, height, centre_y], dim=1).reshape(count, 2, 3)
    grid = F.affine_grid(box, [count, 3, side, side], align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _recoloured(pixels: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S) in [0, 1] with their light and colours changed, clipped to [0, 1]."""
    count = len(pixels)
    brightness = _uniform(count, 1 - config.brightness, 1 + config.brightness, generator)[:, None, None, None]
    contrast = _uniform(count, 1 - config.contrast, 1 + config.contrast, generator)[:, None, None, None]
    numbers = torch.randint(len(ORDERS), (count,), generator=generator)
    numbers = torch.where(_chance(count, config.permuted, generator), numbers, 0)  # order 0 leaves them in place
    order = torch.tensor(ORDERS)[numbers][:, :, None, None].expand(pixels.shape)
    pixels = pixels.gather(1, order)
    grey = _chance(count, config.grey, generator)[:, None, None, None]
    luma = torch.einsum("c,bchw->bhw", torch.tensor(LUMA), pixels)[:, None]
    pixels = torch.where(grey, luma, pixels) * brightness
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return (mean + contrast * (pixels - mean)).clamp(0, 1)


def takes_loss(projected: Tensor, scale: Tensor | float) -> tuple[Tensor, Tensor]:
    """InfoNCE between takes: each has to find the other one of its object among those of the batch.

    projected (2 N, P), in the order of `draw_views`; scale: what cosines are multiplied by. Both ways are averaged.
    Returns the loss and the share of takes that find theirs first, both 0-dimensional. Source: van den Oord et al.,
    Representation Learning with Contrastive Predictive Coding, 2018, eq. 4, by cosine as in SimCLR (Chen et al., ICML
    2020).
    """
    first, second = F.normalize(projected, dim=1).chunk(2)
    logits = scale * first @ second.T
    own = torch.arange(len(logits))
    loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    found = ((logits.argmax(1) == own).float().mean() + (logits.argmax(0) == own).float().mean()) / 2
    return loss, found


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _chance(count: int, chance: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) < chance
