"""Pixel matching aggregation: the cost of matching two feature maps, and the triplet loss on it.

Shape legend: B batch, C channels, H rows, W columns, P pixels of f, Q pixels of g.

For every pixel of f the cheapest pixel of g is sought on the same row (MoCA, arXiv 2403.14203, eqs. 1-4). One
batched matrix product f.g gives both terms for every pair of pixels on every row:

    SSD = ||f||^2 + ||g||^2 - 2 f.g        NCC = f.g / (||f|| ||g||)        cost = ssd * SSD + ncc * (1 - NCC)

The paper prints + NCC, which is a similarity, inside a cost that falls for the positive; here it is 1 -
NCC, and `literal_sign` gives the printed form for ablation.

Everything is computed in float32 (float64 stays float64), also under autocast: SSD is a small difference of
large numbers, and bfloat16 gets it wrong by 10% for near-duplicates.
"""

import math
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from moca.errors import InputError
from moca.training.config import MatchingConfig, Normalise, SsdScale


def scanline_cost(
    f: Tensor,
    g: Tensor,
    *,
    ssd: float = 1.0,
    ncc: float = 1.0,
    literal_sign: bool = False,
    normalise: Normalise = "raw",
    ssd_scale: SsdScale = "sum",
) -> Tensor:
    """Cost of matching each pixel of f with every pixel on the same row of g.

    f, g: (B, C, H, W) feature maps. Returns (B, H, W, W): entry [b, i, j, k] is the cost of matching
    f[b, :, i, j] with g[b, :, i, k]; lower is better, 0 for identical features, at least 0 unless
    `literal_sign`. A zero vector has NCC 0. Options as in `MatchingConfig`. Raises InputError.
    Source: MoCA (arXiv 2403.14203) eqs. 1-3, with 1 - NCC as the cost.

    >>> f = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 1, 2)   # two orthogonal unit pixels
    >>> scanline_cost(f, f)[0, 0]
    tensor([[0., 3.],
            [3., 0.]])
    """
    _check_maps(f, g)
    rows_f, rows_g = f.permute(0, 2, 3, 1), g.permute(0, 2, 3, 1)
    return _pair_cost(
        rows_f, rows_g, ssd=ssd, ncc=ncc, literal_sign=literal_sign, normalise=normalise, ssd_scale=ssd_scale
    )


def plane_cost(
    f: Tensor,
    g: Tensor,
    *,
    ssd: float = 1.0,
    ncc: float = 1.0,
    literal_sign: bool = False,
    normalise: Normalise = "raw",
    ssd_scale: SsdScale = "sum",
) -> Tensor:
    """Cost of matching each pixel of f with every pixel of g, whatever its row.

    f, g: (B, C, H, W). Returns (B, H*W, H*W), pixels in row-major order; otherwise as `scanline_cost`.
    """
    _check_maps(f, g)
    flat_f, flat_g = f.flatten(2).transpose(1, 2), g.flatten(2).transpose(1, 2)
    return _pair_cost(
        flat_f, flat_g, ssd=ssd, ncc=ncc, literal_sign=literal_sign, normalise=normalise, ssd_scale=ssd_scale
    )


def matching_cost(f: Tensor, g: Tensor, config: MatchingConfig | None = None) -> Tensor:
    """Cost of f against g: for every pixel of f its cheapest match in g, averaged over the pixels of f.

    f, g: (B, C, H, W). Returns (B,), at least 0 unless `literal_sign`; 0 when every pixel of f has its equal
    within reach. Not symmetric in f and g. Raises InputError.
    """
    config = config or MatchingConfig()
    search = scanline_cost if config.search == "scanline" else plane_cost
    cost = search(
        f,
        g,
        ssd=config.ssd,
        ncc=config.ncc,
        literal_sign=config.literal_sign,
        normalise=config.normalise,
        ssd_scale=config.ssd_scale,
    )
    if config.disparity_range is not None:
        height, width = f.shape[2:]
        reach = _reach(width, config.disparity_range, f.device)
        if config.search == "plane":
            rows = _reach(height, config.disparity_range, f.device)
            reach = torch.kron(rows.byte(), reach.byte()).bool()
        cost = cost.masked_fill(~reach, math.inf)
    return cost.amin(-1).flatten(1).mean(1)


def triplet_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, config: MatchingConfig | None = None
) -> tuple[Tensor, Tensor]:
    """max(0, C(anchor, positive) - C(anchor, negative) + margin), averaged over the batch (eq. 4).

    anchor, positive, negative: (B, C, H, W) features, all enhanced with the anchor's audio. Returns the loss
    and, without a graph, the fraction of triplets in [0, 1] whose loss is above 0. At 0 nothing is learnt, so
    the fraction is worth watching.
    """
    config = config or MatchingConfig()
    gap = matching_cost(anchor, positive, config) - matching_cost(anchor, negative, config) + config.margin
    return F.relu(gap).mean(), (gap > 0).float().mean()


def _pair_cost(
    f: Tensor,
    g: Tensor,
    *,
    ssd: float,
    ncc: float,
    literal_sign: bool,
    normalise: Normalise,
    ssd_scale: SsdScale,
) -> Tensor:
    """Cost of every pixel of f (..., P, C) against every pixel of g (..., Q, C): (..., P, Q)."""
    _check_choice("normalise", normalise, Normalise)
    _check_choice("ssd_scale", ssd_scale, SsdScale)
    with torch.autocast(f.device.type, enabled=False):
        f, g = _at_least_float32(f), _at_least_float32(g)
        if normalise == "l2":
            f, g = (x * _inverse_length(_squared(x)) for x in (f, g))
        f_squared, g_squared = _squared(f), _squared(g)
        dot = f @ g.transpose(-1, -2)
        # Rounding can leave either term just below zero where the pixels are equal; a cost must not be.
        distance = (f_squared + g_squared.transpose(-1, -2) - 2 * dot).clamp(min=0)
        if ssd_scale == "mean":
            distance = distance / f.shape[-1]
        similarity = dot * _inverse_length(f_squared) * _inverse_length(g_squared).transpose(-1, -2)
        return ssd * distance + ncc * (similarity if literal_sign else (1 - similarity).clamp(min=0))


def _squared(x: Tensor) -> Tensor:
    return x.square().sum(-1, keepdim=True)


def _inverse_length(squared: Tensor) -> Tensor:
    """1 / ||x|| from ||x||^2, and 0 (with gradient 0, not NaN) for a zero vector."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).rsqrt(), 0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _reach(size: int, limit: int, device: torch.device) -> Tensor:
    """(size, size) bool: positions no further apart than `limit`."""
    positions = torch.arange(size, device=device)
    return (positions[:, None] - positions).abs() <= limit


def _check_maps(f: Tensor, g: Tensor) -> None:
    if f.dim() != 4 or f.shape != g.shape or f.numel() == 0:
        raise InputError(
            "feature maps must both be (B, C, H, W) of one non-empty shape, "
            f"got {tuple(f.shape)} and {tuple(g.shape)}; reshape or resize them."
        )


def _check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise InputError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}; choose one.")
