"""Two tiny random transformer towers behind the real interface: 5 image blocks and 3 audio blocks."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from moca.adapters import AdaAVConfig, AdaptedTowers, affinity, make_plan


class TinyTower(nn.Module):
    """A pre-norm transformer over ready-made patches: (B, L - 1, inputs) in, (B, L, width) tokens out."""

    def __init__(self, inputs: int, width: int, depth: int, generator: torch.Generator):
        super().__init__()
        self.width, self.depth = width, depth
        self.stem = nn.Linear(inputs, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(0.5))
            for _ in range(depth)
        )
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def tokens(self, inputs):
        return torch.cat([self.class_token.expand(len(inputs), -1, -1), self.stem(inputs)], dim=1)

    def attend(self, block, x):
        query, key, value = self.qkv[block](_norm(x)).chunk(3, -1)
        return self.out[block]((query @ key.transpose(1, 2) * self.width**-0.5).softmax(-1) @ value)

    def feed(self, block, x):
        return self.mlp[block](_norm(x))

    def values(self, block, x):
        return self.out[block](self.qkv[block](_norm(x)).chunk(3, -1)[2])

    def self_self_attend(self, block, x, by):
        parts = dict(zip(("query", "key", "value"), self.qkv[block](_norm(x)).chunk(3, -1), strict=True))
        alike = (parts[by] @ parts[by].transpose(1, 2) * self.width**-0.5).softmax(-1)
        return self.out[block](alike @ parts["value"])


def _norm(x):
    return nn.functional.layer_norm(x, x.shape[-1:])


@pytest.fixture
def image_tower():
    return TinyTower(4, 12, 5, torch.Generator().manual_seed(1))


@pytest.fixture
def audio_tower():
    return TinyTower(3, 8, 3, torch.Generator().manual_seed(2))


@pytest.fixture
def clip():
    """Three images of 6 patches and three sounds of 7 patches."""
    generator = torch.Generator().manual_seed(3)
    return SimpleNamespace(
        pixels=torch.randn(3, 6, 4, generator=generator), mels=torch.randn(3, 7, 3, generator=generator)
    )


@pytest.fixture
def how():
    """how(reading) -> keywords of `suffix` for the clip's three images: proxy with weights of their own."""

    def keywords(reading):
        features = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(5))
        guide = affinity(features, beta=1.2, gamma=3.0) if reading == "proxy" else None
        return {"reading": reading, "guide": guide}

    return keywords


@pytest.fixture
def attach(image_tower, audio_tower):
    """attach(placement, blocks) -> AdaptedTowers around the tiny towers, adapters untrained or randomised."""

    def build(placement="last", blocks=2, *, randomised=False, **options):
        generator = torch.Generator().manual_seed(4)
        plan = make_plan(placement, blocks, image_tower.depth, audio_tower.depth)
        towers = AdaptedTowers(
            image_tower,
            audio_tower,
            plan,
            AdaAVConfig(bottleneck=6, latents=4),
            generator=generator,
            **options,
        )
        if randomised:
            with torch.no_grad():
                for parameter in towers.parameters():
                    parameter.normal_(std=0.5, generator=generator)
        return towers

    return build
