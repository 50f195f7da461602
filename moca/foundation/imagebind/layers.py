"""The parts of an ImageBind tower, named so that the official checkpoint's keys fit.

Shape letters: B samples, L tokens (class token first), N patch tokens (L = 1 + N), D width, H heads.
Everything is batch-first, (B, L, D); the official code runs its blocks as (L, B, D). Its drop path is left
out: it acts in training only, and these towers are used frozen (the small ones are trained without it).
Sources: ImageBind models/transformer.py, multimodal_preprocessors.py, helpers.py.
"""

from itertools import pairwise
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from moca.adapters.readings import SelfSelf
from moca.errors import InputError

NORM_EPS = 1e-6


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer in the type of x, (..., D) -> (..., D'), whatever type its matrix is stored in.

    A matrix that is stored in bfloat16 is widened while it is used, so that it can stay in its file.
    """
    return functional.linear(x, weight.to(x.dtype), bias)


class Linear(nn.Linear):
    """A linear layer as `linear` computes it."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Attention(nn.Module):
    """Multi-head self-attention with packed projections and, for sound, one learned extra key and value."""

    def __init__(self, width: int, heads: int, *, extra_key: bool):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, nn.Parameter(torch.empty(1, 1, width)) if extra_key else None)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v = linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        if self.bias_k is not None:  # appended after the projection, so not projected itself
            k = torch.cat([k, self.bias_k.to(k.dtype).expand(len(k), -1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.to(v.dtype).expand(len(v), -1, -1)], dim=1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def values(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D): each token's own value through the output projection, nothing mixed."""
        width = x.shape[-1]
        own = linear(x, self.in_proj_weight[2 * width :], self.in_proj_bias[2 * width :])
        return self.out_proj(own)

    def self_self(self, x: Tensor, by: SelfSelf) -> Tensor:
        """(B, L, D) -> (B, L, D): self-self attention, softmax(p p^T / sqrt(d)) v per head, p what `by` names.

        d is the head's width; the class token takes part. Images only: a learned extra key has no query. Source:
        ClearCLIP (arXiv 2407.12442), section 3.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        rows = get_args(SelfSelf).index(by), 2
        p, v = (linear(x, weights[row], biases[row]) for row in rows)
        p, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (p, v))
        mixed = functional.scaled_dot_product_attention(p, p, v)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """One pre-norm transformer block, offered as its two residual branches."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, *, extra_key: bool):
        super().__init__()
        self.attn = Attention(width, heads, extra_key=extra_key)
        self.norm_1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, mlp_ratio * width)
        self.norm_2 = nn.LayerNorm(width, eps=NORM_EPS)

    def attend(self, x: Tensor) -> Tensor:
        """The attention branch, without adding x."""
        return self.attn(self.norm_1(x))

    def feed(self, x: Tensor) -> Tensor:
        """The MLP branch, without adding x."""
        return self.mlp(self.norm_2(x))

    def values(self, x: Tensor) -> Tensor:
        """The value path of the attention branch, without adding x."""
        return self.attn.values(self.norm_1(x))

    def self_self_attend(self, x: Tensor, by: SelfSelf) -> Tensor:
        """The attention branch by self-self attention, without adding x."""
        return self.attn.self_self(self.norm_1(x), by)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(x)
        return x + self.feed(x)


class Trunk(nn.Module):
    """The blocks of one tower; for images a LayerNorm precedes them. The final norm is in the head."""

    def __init__(self, width: int, blocks: int, heads: int, mlp_ratio: int, *, audio: bool):
        super().__init__()
        norm = nn.Identity() if audio else nn.LayerNorm(width, eps=NORM_EPS)
        self.pre_transformer_layer = nn.Sequential(norm)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, extra_key=audio) for _ in range(blocks))


class TwoFrameConv(nn.Module):
    """The official image stem: a 3-D convolution, kernel and stride (2, patch, patch), no bias."""

    def __init__(self, width: int, patch: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 3, 2, patch, patch))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) still images or (B, 3, 2, H, W) two-frame clips -> (B, D, H / patch, W / patch)."""
        stride = self.weight.shape[-1]
        if x.ndim == 4:  # a still image is shown twice, so both temporal slices see the same picture
            return functional.conv2d(x, self.weight.sum(2), stride=stride)
        return functional.conv3d(x, self.weight, stride=(2, stride, stride)).squeeze(2)


def conv_stem(channels: int, width: int, *, folded: bool) -> nn.Sequential:
    """Three stride-2 3x3 convolutions with BatchNorm and GELU, then a 1x1 one: total stride 8.

    After folding, the BatchNorms' places are empty and the convolutions have a bias.
    """
    layers, sizes = [], (channels, width // 4, width // 2, width)
    for before, after in pairwise(sizes):
        layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=folded))
        layers += [nn.Identity() if folded else nn.BatchNorm2d(after), nn.GELU()]
    return nn.Sequential(*layers, nn.Conv2d(width, width, 1))


class PatchProjection(nn.Module):
    """Inputs to patch tokens (B, N, D), row-major over the grid, with an optional norm."""

    def __init__(self, proj: nn.Module, norm_layer: nn.Module):
        super().__init__()
        self.proj = proj
        self.norm_layer = norm_layer

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        features = self.proj(x)
        return self.norm_layer(features.flatten(2).transpose(1, 2)), tuple(features.shape[2:])


class PositionTable(nn.Module):
    """A learned position per token of a fixed grid, resized for other grids."""

    def __init__(self, grid: tuple[int, int], width: int):
        super().__init__()
        self.grid = grid
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid[0] * grid[1], width))

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """(1, 1 + rows * columns, D). The class token's row is kept, the others are resized bicubically.

        Resizing runs in float32 also when the table is bfloat16. Going by the target size equals the
        official scale factor sqrt(n / 256) for its 16 x 16 grid, and cannot lose a row to rounding.
        """
        table = self.pos_embed
        if grid == self.grid:
            return table
        picture = table[:, 1:].float().transpose(1, 2).unflatten(2, self.grid)
        picture = functional.interpolate(picture, size=grid, mode="bicubic", align_corners=False)
        return torch.cat([table[:, :1], picture.flatten(2).transpose(1, 2).to(table.dtype)], dim=1)


class Stem(nn.Module):
    """Inputs to tokens: patch projection, class token in front, positions added."""

    def __init__(self, projection: PatchProjection, grid: tuple[int, int], width: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.rgbt_stem = projection
        self.pos_embedding_helper = PositionTable(grid, width)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs as the projection wants them -> (B, 1 + N, D)."""
        patches, grid = self.rgbt_stem(x.to(self.cls_token.dtype))
        cls_token = self.cls_token.to(patches.dtype).expand(len(patches), -1, -1)
        return torch.cat([cls_token, patches], dim=1) + self.pos_embedding_helper(grid)


def keep_some(x: Tensor, keep: float, generator: torch.Generator | None) -> Tensor:
    """A random share of each sample's patch tokens, in their order, with the class token always kept.

    x: (B, 1 + N, D); keep: share of N in (0, 1], at least one token. The draw happens on the generator's
    device (the CPU without one), so a CPU generator keeps the same tokens whatever device x is on.
    """
    if not 0 < keep <= 1:
        raise InputError(f"keep must be above 0 and at most 1, got {keep}; correct it.")
    batch, length, width = x.shape
    count = max(1, round(keep * (length - 1)))
    device = generator.device if generator is not None else "cpu"
    order = torch.rand(batch, length - 1, generator=generator, device=device).argsort(dim=1)
    chosen = order[:, :count].sort(dim=1).values.to(x.device)
    patches = x[:, 1:].gather(1, chosen[..., None].expand(-1, -1, width))
    return torch.cat([x[:, :1], patches], dim=1)


class SelectToken(nn.Module):
    """(B, L, D) -> (B, D): the class token."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class Normalise(nn.Module):
    """L2 normalisation of the last axis, in at least float32; a zero vector stays zero."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


class LogitScale(nn.Module):
    """Multiplication by exp of a stored value, at most 100. A buffer: it is not learned."""

    def __init__(self, start: float):
        super().__init__()
        self.start = start
        self.register_buffer("log_logit_scale", torch.tensor(start).log())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.log_logit_scale.exp().clamp(max=100.0).to(x.dtype)
