"""The small convolution net that learns from takes: what it finds in a picture is then taught to the mini DINO."""

from __future__ import annotations

from torch import Tensor, nn

CELL_PX = 8  # the map has a place for every square of this side


class Mixing(nn.Module):
    """A depthwise 5 x 5 convolution and an MLP of four times the width, added to what came in."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.BatchNorm2d(width)
        self.mlp = nn.Sequential(nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(self.depthwise(x)))


class TakesNet(nn.Sequential):
    """Pictures (B, 3, S, S), S a multiple of 8, to a map (B, width, S / 8, S / 8).

    Overlapping strided convolutions and norms over the batch let it start from scratch within some hundred steps,
    where nets that first cut the picture into squares and norm every place hardly move.
    """

    def __init__(self, width: int, blocks: int):
        first, second = width // 4, width // 2
        super().__init__(
            *_halving(3, first, 3),
            nn.GELU(),
            *_halving(first, second, 3),
            nn.GELU(),
            Mixing(second),
            *_halving(second, width, 2),
            *(Mixing(width) for _ in range(blocks)),
            nn.BatchNorm2d(width),
        )


def _halving(narrow: int, wide: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(narrow, wide, kernel, stride=2, padding=(kernel - 1) // 2), nn.BatchNorm2d(wide)
