"""An encoder built by hand, whose last values carry the class and whose last tokens do not."""

import numpy as np
import pytest
import torch

from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading

CONFIG = ImageBindConfig(
    image_size=64, patch=8, image_width=16, image_blocks=1, image_heads=2, audio_width=12, audio_blocks=1,
    audio_heads=2, embed_dim=8,
)  # fmt: skip
KNOWS, ALIKE, CONSTANT, LOUD = slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16)  # channels of a token
PATTERN = torch.tensor([1.0, 1.0, -1.0, -1.0])  # of mean 0, so that layer norms leave it
OBJECT = (slice(2, 6), slice(1, 5))  # patches of the 8 x 8 grid
PICTURES = 30


@pytest.fixture
def encoder():
    """One block, of whose tokens the head reads LOUD against CONSTANT.

    Values write KNOWS into LOUD and 1 into CONSTANT. Queries hold ALIKE and keys LOUD, so attention as it was trained
    mixes at random.
    """
    model = random_imagebind(CONFIG, seed=0).requires_grad_(False)
    block = model.modality_trunks["vision"].blocks[0]
    packed = torch.zeros(48, 16)
    for rows, channels, scale in (
        (range(0, 4), ALIKE, 6.0), (range(8, 12), ALIKE, 6.0),  # queries of both heads
        (range(16, 20), LOUD, 3.0), (range(24, 28), LOUD, 3.0),  # keys
        (range(32, 36), KNOWS, 3.0),  # values of the first head; those of the second are constant
    ):  # fmt: skip
        packed[rows, range(16)[channels]] = scale
    block.attn.in_proj_weight.copy_(packed)
    block.attn.in_proj_bias.zero_()[40:44] = PATTERN
    out = torch.zeros(16, 16)
    out[range(16)[LOUD], range(4)] = 1.0
    out[range(16)[CONSTANT], range(8, 12)] = 1.0
    block.attn.out_proj.weight.copy_(out)
    block.attn.out_proj.bias.zero_()
    head = torch.zeros(8, 16)
    head[0, LOUD], head[1, CONSTANT] = PATTERN, PATTERN
    model.modality_heads["vision"][2].weight.copy_(head)
    return model


@pytest.fixture
def entering():
    """Tokens (PICTURES, 65, 16), and whether each patch lies in the object, (64,).

    KNOWS: the class, +1 in the object and -1 elsewhere, with much noise of each patch's own. ALIKE: whether it lies in
    the object, which says nothing of the class. LOUD: a random sign, six times as strong.
    """
    draw = torch.Generator().manual_seed(0)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[OBJECT] = True
    inside, x = inside.flatten(), torch.zeros(PICTURES, 65, 16)
    signs, shape = torch.where(inside, 1.0, -1.0), (PICTURES, 64)
    x[:, 1:, KNOWS] = (signs + 1.5 * torch.randn(shape, generator=draw))[..., None] * PATTERN
    x[:, 1:, ALIKE] = (signs + 0.2 * torch.randn(shape, generator=draw))[..., None] * PATTERN
    x[:, 1:, LOUD] = 6.0 * torch.randint(0, 2, shape, generator=draw)[..., None].mul(2).sub(1) * PATTERN
    return x, inside


class TellsObjects:
    """An image model that knows objects and no classes: the same feature inside, another outside, some noise."""

    def patches(self, frames):
        draw = np.random.default_rng(0)
        grid = np.zeros((len(frames), 8, 8, 3), np.float32)
        grid[..., 0] = 1
        grid[:, OBJECT[0], OBJECT[1]] = (0, 1, 0)
        return grid + draw.normal(0, 0.1, grid.shape).astype(np.float32)


def auc(scores, truth):
    """Chance that a patch of the object scores higher than another one, of one picture; equal ones count half."""
    ours, others = scores[truth][:, None], scores[~truth][None]
    return float(((ours > others).float() + 0.5 * (ours == others).float()).mean())


def found(encoder, entering, **settings):
    """Mean AUC of the joint space's first axis, the "sound" of the class, over the pictures."""
    x, inside = entering
    images = TellsObjects() if settings["reading"] == "proxy" else None
    reader = PatchReader(config=PatchReading(**settings), images=images)
    tower, frames = encoder.image_tower, np.zeros((PICTURES, 64, 64, 3), np.uint8)
    patches = encoder.project_image(tower(x, **reader.keywords(reader.likeness(frames))))
    return float(np.mean([auc(picture[:, 0], inside) for picture in patches]))


def test_values_are_read_better_than_tokens_and_averages_better_than_values(encoder, entering):
    by = {reading: found(encoder, entering, reading=reading) for reading in ("token", "value", "clear", "proxy")}
    assert 0.4 < by["token"] < 0.65, by
    assert 0.75 < by["value"] < 0.9 and by["value"] > by["token"] + 0.1, by
    assert by["clear"] > by["value"] + 0.05, by
    assert by["proxy"] > by["value"] + 0.05, by
    others = {by_: found(encoder, entering, reading="clear", clear_by=by_) for by_ in ("key", "value")}
    assert others["key"] < by["clear"] - 0.05  # keys say nothing of what is alike here


def test_what_helps_is_the_likeness_of_patches(encoder, entering, monkeypatch):
    """The same averages over patches that are alike at random find less than values alone."""
    good = found(encoder, entering, reading="proxy")
    told = TellsObjects.patches

    def shuffled(self, frames):
        grid = told(self, frames)
        order = np.random.default_rng(1).permutation(64)
        return grid.reshape(len(grid), 64, 3)[:, order].reshape(grid.shape)

    monkeypatch.setattr(TellsObjects, "patches", shuffled)
    bad = found(encoder, entering, reading="proxy")
    assert bad < good - 0.2 and bad < found(encoder, entering, reading="value")


def test_values_that_know_nothing_are_not_read_better(encoder, entering):
    """With values of a random sign instead of the class: the control of the control."""
    weight = encoder.modality_trunks["vision"].blocks[0].attn.in_proj_weight
    weight[32:36] = 0
    weight[range(32, 36), range(16)[LOUD]] = 1.0
    for reading in ("value", "clear", "proxy"):
        assert abs(found(encoder, entering, reading=reading) - 0.5) < 0.2, reading


def test_a_token_of_high_norm_is_read_as_its_neighbours(encoder, entering):
    x, inside = entering
    spoilt, place = x.clone(), 3 * 8 + 2  # a patch of the object whose token knows nothing any more
    spoilt[:, 1 + place] = 0
    spoilt[:, 1 + place, KNOWS], spoilt[:, 1 + place, LOUD] = -40.0 * PATTERN, 400.0 * PATTERN
    plain, mended = (found(encoder, (spoilt, inside), reading="value", high_norm=limit) for limit in (None, 5.0))
    assert mended > plain + 0.02
    assert found(encoder, entering, reading="value", high_norm=5.0) == found(encoder, entering, reading="value")
