"""The end of an image tower, run as a reading asks: values, self-self attention, or another model's affinity.

Shape legend: B images, N patch tokens (G x G), L = 1 + N tokens (class token first), M patches of the guide, D width.
"""

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import AdapterError
from .frozen import Tower
from .readings import LAST_BLOCKS, Reading, SelfSelf

NEIGHBOURHOOD = 3  # patches along a side


def affinity(features: Tensor, *, beta: float, gamma: float) -> Tensor:
    """How much each patch takes from every other one, by another model's features: the guide of reading "proxy".

        S_ij = x_i . x_j                  x: features of unit length
        A_ij = gamma (S_ij - beta mean S)     the mean over i and j of the image; entries below 0 are left out
        result = softmax of A over j

    features: (B, M, C), any length. Returns (B, M, M) float32, every row sums to 1. A patch always sees itself, so a
    row of which nothing else is left (a plain picture has S near 1 everywhere, below beta mean S) keeps itself alone.
    Source: ProxyCLIP (arXiv 2408.04883), beta 1.2 and gamma 3; good for beta 1.0 to 1.6, gamma 2 to 5.
    """
    with torch.autocast(features.device.type, enabled=False):
        x = F.normalize(features.float(), dim=-1)
        likeness = x @ x.transpose(1, 2)
        raised = gamma * (likeness - beta * likeness.mean((1, 2), keepdim=True))
        itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        return raised.masked_fill((raised < 0) & ~itself, -math.inf).softmax(-1)


def read_last_blocks(
    tower: Tower,
    x: Tensor,
    *,
    reading: Reading,
    guide: Tensor | None = None,
    self_self: SelfSelf = "query",
    added: Callable[[int, Tensor], Tensor | None] = lambda block, x: None,
) -> Tensor:
    """Run the last blocks as a reading other than "token" asks, LAST_BLOCKS of them.

    x: (B, L, D) tokens entering the first of them. guide, self_self: as in `AdaptedTowers.suffix`. added: what an
    adapter adds to the values of a block, from its number and the tokens that enter it; None for nothing. Under "proxy"
    it is averaged with the values. Returns (B, L, D), under "proxy" (B, 1 + M, D).
    """
    for block in range(tower.depth - LAST_BLOCKS[reading], tower.depth):
        own = tower.self_self_attend(block, x, self_self) if reading == "clear" else tower.values(block, x)
        more = added(block, x)
        x = own if more is None else own + more
    return averaged(x, guide) if reading == "proxy" else x


def averaged(values: Tensor, guide: Tensor) -> Tensor:
    """Values resized to the guide's grid and averaged by it; the class token keeps its own.

    values: (B, L, D), after the output projection: it is affine and rows of the guide sum to 1, so the projection of
    the average is the average of the projections, for all heads at once. guide: (B, M, M). Returns (B, 1 + M, D).
    """
    patches = _resized(values[:, 1:], guide.shape[-1])
    return torch.cat([values[:, :1], guide.to(patches.dtype) @ patches], dim=1)


def without_high_norms(x: Tensor, limit: float) -> Tensor:
    """Tokens of which outliers are replaced by the mean of their neighbours.

    An outlier is a patch token whose norm is above `limit` times the median norm of its image's patch tokens; it
    becomes the mean of those among its eight neighbours that are none, and stays where all of them are.
    x: (B, 1 + G * G, D). limit: above 1. The class token stays. Returns (B, 1 + G * G, D), x itself where nothing is an
    outlier.

    Source: SC-CLIP (arXiv 2411.15869), which replaces anomalous tokens by their neighbours before the last block. It
    finds them by the local outlier factor; by norm is how Darcet et al. (arXiv 2309.16588) tell them, and needs no
    count of them.
    """
    side = _side(x.shape[1] - 1, "high-norm tokens are replaced by their neighbours on a grid, which")
    norms = x[:, 1:].float().norm(dim=-1)
    high = norms > limit * norms.median(dim=1, keepdim=True).values
    if not high.any():
        return x
    good = (~high).to(x.dtype).unflatten(1, (side, side))[:, None]
    kept = x[:, 1:].masked_fill(high[..., None], 0).transpose(1, 2).unflatten(2, (side, side))
    total, count = (F.avg_pool2d(each, NEIGHBOURHOOD, stride=1, padding=1) for each in (kept, good))
    mean = (total / count.clamp(min=torch.finfo(x.dtype).tiny)).flatten(2).transpose(1, 2)
    replaced = high & (count.flatten(1) > 0)
    return torch.cat([x[:, :1], torch.where(replaced[..., None], mean, x[:, 1:])], dim=1)


def check_reading(reading: Reading, guide: Tensor | None, tokens: Tensor) -> None:
    """AdapterError for a reading that is not known, and for a guide that it lacks, does not use, or does not fit."""
    if reading not in get_args(Reading):
        raise AdapterError(f"reading must be one of {', '.join(get_args(Reading))}, got {reading!r}; choose one.")
    if (guide is not None) != (reading == "proxy"):
        received = "none" if guide is None else "one"
        raise AdapterError(
            f"a guide is for reading proxy, which needs one, got {received} for reading {reading}; make one with "
            "affinity."
        )
    if guide is None:
        return
    images, patches = len(tokens), tokens.shape[1] - 1
    if guide.ndim != 3 or len(guide) != images or guide.shape[1] != guide.shape[2]:
        raise AdapterError(
            f"a guide must have shape ({images}, M, M) for {images} images, got {tuple(guide.shape)}; make one with "
            "affinity."
        )
    if guide.shape[1] != patches:
        for count in (guide.shape[1], patches):
            _side(count, f"a guide of {guide.shape[1]} patches for {patches} needs grids, which")


def _resized(patches: Tensor, count: int) -> Tensor:
    """Patches (B, N, D) of a grid on a grid of `count`, bilinear; those of the same number as they are."""
    if patches.shape[1] == count:
        return patches
    side, wanted = math.isqrt(patches.shape[1]), math.isqrt(count)
    grid = patches.transpose(1, 2).unflatten(2, (side, side))
    grid = F.interpolate(grid, size=(wanted, wanted), mode="bilinear", align_corners=False, antialias=wanted < side)
    return grid.flatten(2).transpose(1, 2)


def _side(count: int, what: str) -> int:
    side = math.isqrt(count)
    if side * side != count:
        raise AdapterError(f"{what} must be square, got {count} patches; give all patches of the picture.")
    return side
