"""The weights that training begins with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

PLACE_SCALE = 0.3  # amplitude of positions


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generator, which new layers draw from, seeded; afterwards it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def widened(model: nn.Module) -> nn.Module:
    """The model with fresh matrices that suit its width (Glorot's); those that start at zero stay there.

    Published models start from a spread of 0.02, for widths of several hundred. A narrow one would hand on next to
    nothing from layer to layer and learn nothing for a long time.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and module.weight.any():
            nn.init.xavier_uniform_(module.weight)
    return model


def waves_of_places(width: int, rows: int, columns: int, *, marks: int = 1) -> Tensor:
    """Positions (1, marks + rows * columns, width): sines and cosines of a patch's row and column.

    Patches that touch start alike; the first `marks` tokens, such as a class token, start at zero. As in MoCo v3, but
    learned on from there.
    """
    quarter = width // 4
    rates = 1.0 / 10_000 ** (torch.arange(quarter) / quarter)
    down, across = (torch.arange(count)[:, None] * rates for count in (rows, columns))
    down, across = (torch.cat([angle.sin(), angle.cos()], dim=1) for angle in (down, across))
    places = torch.cat([down[:, None].expand(-1, columns, -1), across[None].expand(rows, -1, -1)], dim=2)
    return torch.cat([torch.zeros(marks, width), PLACE_SCALE * places.flatten(0, 1)])[None]
