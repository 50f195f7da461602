"""The readings of the image tower against their formulas, written out head by head and token by token."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading

SMALL = ImageBindConfig(
    image_size=56, image_width=24, image_blocks=3, image_heads=3, audio_width=36, audio_blocks=1, audio_heads=3,
    embed_dim=12,
)  # fmt: skip
READINGS = [
    PatchReading(reading="token"),
    PatchReading(reading="value"),
    PatchReading(reading="value2"),
    *(PatchReading(reading="clear", clear_by=by) for by in ("query", "key", "value")),
    PatchReading(reading="proxy"),
    PatchReading(reading="proxy", proxy_beta=0.9, proxy_gamma=7.0),
]


class Grids:
    """An image model behind the real interface: each patch is described by its mean colours and where it lies."""

    def __init__(self, side):
        self.side = side

    def patches(self, frames):
        cells = [np.array_split(np.arange(frame.shape[0]), self.side) for frame in frames]
        return np.stack(
            [
                [[[*(frame[np.ix_(r, c)].mean((0, 1)) / 128 - 1), r[0] / 50, c[0] / 50] for c in cell] for r in cell]
                for frame, cell in zip(np.asarray(frames, np.float32), cells, strict=True)
            ]
        ).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    model = random_imagebind(SMALL, seed=0).requires_grad_(False)
    draw = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if ".norm" not in name:
            parameter.normal_(std=0.2, generator=draw)
    return model


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 56, 56, 3), dtype=np.uint8)


def naive(model, x, likeness, config):
    """Tokens entering the trunk to patch features (B, M, E), by the papers' formulas; all blocks but the last as they
    are."""
    tower, c = model.image_tower, model.config
    count = {"token": 0, "value2": 2}.get(config.reading, 1)
    for block in range(tower.depth - count):
        x = x + tower.attend(block, x)
        x = x + tower.feed(block, x)
    for block in range(tower.depth - count, tower.depth):
        x = naive_block(tower.trunk.blocks[block], x, likeness, config, c.image_heads)
    norm, _, matrix = model.modality_heads["vision"]
    return F.normalize(matrix(norm(x[:, 1:])), dim=-1)


def naive_block(block, x, likeness, config, heads):
    width = x.shape[-1] // heads
    packed = F.linear(block.norm_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    parts = dict(zip(("query", "key", "value"), packed.chunk(3, -1), strict=True))
    images = []
    for image in range(len(x)):
        columns = []
        for head in range(heads):
            q, k, v = (parts[name][image, :, head * width : (head + 1) * width] for name in ("query", "key", "value"))
            if config.reading == "clear":
                by = {"query": q, "key": k, "value": v}[config.clear_by]
                v = torch.stack([softmaxed(by @ a / math.sqrt(width)) @ v for a in by])
            elif config.reading == "proxy":
                v = torch.cat([v[:1], naive_proxy(v[1:], likeness[image], config)])
            columns.append(v)
        images.append(block.attn.out_proj(torch.cat(columns, dim=-1)))
    return torch.stack(images)


def naive_proxy(v, x, config):
    """Values (N, width) of one head averaged by the unit features (M, C) of another model."""
    side, fine = math.isqrt(len(v)), math.isqrt(len(x))
    grid = v.T.unflatten(1, (side, side))[None]
    v = F.interpolate(grid, (fine, fine), mode="bilinear", align_corners=False)[0].flatten(1).T
    likeness = x @ x.T
    mean = likeness.mean()
    rows = []
    for i in range(len(x)):
        raised = config.proxy_gamma * (likeness[i] - config.proxy_beta * mean)
        seen = [j for j, entry in enumerate(raised.tolist()) if entry >= 0] or [i]
        rows.append(softmaxed(raised[seen]) @ v[seen])
    return torch.stack(rows)


def softmaxed(scores):
    weights = (scores - scores.max()).exp()
    return weights / weights.sum()


@torch.no_grad()
@pytest.mark.parametrize("side", [4, 7], ids=["own grid", "finer grid"])
@pytest.mark.parametrize("config", READINGS, ids=lambda config: f"{config.reading} {config.clear_by[0]}")
def test_every_reading_agrees_with_its_formula(small, frames, config, side):
    reader, tower = PatchReader(config=config, images=Grids(side)), small.image_tower
    entering, likeness = tower.tokens(torch.from_numpy(frames).permute(0, 3, 1, 2) / 64 - 2), reader.likeness(frames)
    found = small.project_image(tower(entering, **reader.keywords(likeness)))
    assert found.shape == (2, side**2 if config.reading == "proxy" else 16, 12)
    torch.testing.assert_close(found, naive(small, entering, likeness, config), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_readings_differ(small, frames):
    tower = small.image_tower
    entering = tower.tokens(torch.from_numpy(frames).permute(0, 3, 1, 2) / 64 - 2)
    found = []
    for config in READINGS:
        reader = PatchReader(config=config, images=Grids(4))
        found.append(small.project_image(tower(entering, **reader.keywords(reader.likeness(frames)))))
    for index, one in enumerate(found):
        assert all(not torch.allclose(one, other, atol=1e-2) for other in found[index + 1 :])


@torch.no_grad()
def test_features_come_on_the_other_models_grid_or_the_one_asked_for(frames):
    reader = PatchReader(config=PatchReading(reading="proxy"), images=Grids(8))
    own, coarse = reader.likeness(frames), reader.likeness(frames, side=4)
    assert own.shape == (2, 64, 5) and coarse.shape == (2, 16, 5)
    for features in (own, coarse):
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(features.shape[:2]))
    torch.testing.assert_close(reader.likeness(frames, side=8), own)
    nearest = F.normalize(own.unflatten(1, (4, 2, 4, 2)).mean((2, 4)).flatten(1, 2), dim=-1)
    assert F.cosine_similarity(coarse, nearest, dim=-1).min() > 0.95
    assert PatchReader(config=PatchReading(reading="clear"), images=Grids(8)).likeness(frames) is None


def test_made_of_names_the_model_only_where_it_is_used():
    reader = PatchReader(config=PatchReading(reading="proxy"), images=Grids(4), fingerprint="abc")
    assert reader.made_of["images"] == "abc" and reader.as_reading("clear").made_of["images"] is None
    assert reader.as_reading(None) is reader and reader.made_of != replace(reader, fingerprint="abd").made_of
    assert PatchReader.of(replace(SMALL, reading="value")).made_of["reading"] == "value"


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_what_cannot_be_read_is_refused(small):
    assert refusal(PatchReader, config=PatchReading(reading="proxy")) == (
        "reading proxy needs a DINO, got none; use a model that has one, or choose another reading."
    )
    assert refusal(PatchReading, reading="key") == (
        "reading must be one of token, value, value2, clear, proxy, got 'key'; change it."
    )
    assert refusal(PatchReading, high_norm=1.0) == "high_norm must be a number above 1, or none, got 1.0; change it."
    assert refusal(PatchReading, proxy_gamma=0) == "proxy_gamma must be a number above 0, got 0; change it."
    assert refusal(replace, SMALL, reading="proxy") == (
        "reading must be one of token, value, value2, clear, got 'proxy'; correct it."
    )
    assert refusal(small.image_tower.self_self_attend, 0, torch.zeros(1, 5, 24), "token") == (
        "self-self attention must be by one of query, key, value, got 'token'; choose one."
    )


@pytest.mark.slow
@torch.no_grad()
def test_every_reading_agrees_with_its_formula_at_the_size_of_huge():
    """ImageBind-Huge's image tower with random weights and its last blocks alone, 16 x 16 and 28 x 28 patches."""
    config = replace(ImageBindConfig.huge(), image_blocks=2, audio_blocks=1)
    model = random_imagebind(config, seed=0).requires_grad_(False)
    frames = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    tower = model.image_tower
    entering = tower.tokens(torch.from_numpy(frames).permute(0, 3, 1, 2) / 64 - 2)
    for reading in (PatchReading(reading=name) for name in ("value", "clear", "proxy")):
        reader = PatchReader(config=reading, images=Grids(28))
        likeness = reader.likeness(frames)
        found = model.project_image(tower(entering, **reader.keywords(likeness)))
        wanted = naive(model, entering, likeness, reading)
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-3)
