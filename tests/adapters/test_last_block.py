"""The formulas of the readings against loops, what they leave alone, and what is refused."""

import math

import pytest
import torch
from torch import nn

from moca.adapters import AdapterError, affinity
from moca.adapters.last_block import averaged, without_high_norms


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_affinity(features, beta, gamma):
    """ProxyCLIP's weights of one image, entry by entry."""
    unit = [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in features.tolist()]
    likeness = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in unit] for x in unit]
    mean = sum(map(sum, likeness)) / len(unit) ** 2
    rows = []
    for i, row in enumerate(likeness):
        raised = [gamma * (s - beta * mean) for s in row]
        weights = [math.exp(a) if a >= 0 else 0.0 for a in raised]
        total = sum(weights)
        rows.append([w / total for w in weights] if total else [float(i == j) for j in range(len(row))])
    return torch.tensor(rows)


@pytest.mark.parametrize(("beta", "gamma"), [(1.2, 3.0), (0.0, 1.0), (1.6, 5.0)])
def test_affinity_agrees_with_loops(beta, gamma):
    features = 7 * drawn(2, 9, 3) + 2  # two images with a mean likeness of their own, and lengths that do not count
    found = affinity(features, beta=beta, gamma=gamma)
    for image in range(2):
        torch.testing.assert_close(found[image], naive_affinity(features[image], beta, gamma), atol=1e-5, rtol=1e-4)
    assert (found == 0).any() or beta == 0.0
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 9))


def test_affinity_of_an_image_does_not_depend_on_the_others():
    features = drawn(3, 9, 4)
    torch.testing.assert_close(affinity(features, beta=1.2, gamma=3)[1:2], affinity(features[1:2], beta=1.2, gamma=3))


def test_a_patch_of_which_nothing_is_left_keeps_itself():
    plain = torch.ones(1, 9, 4)  # all alike: S is 1 everywhere, below 1.2 times its mean
    assert torch.equal(affinity(plain, beta=1.2, gamma=3.0), torch.eye(9)[None])
    two = torch.cat([torch.ones(1, 8, 2), torch.tensor([[[1.0, -1.0]]])], dim=1)  # and one that is like none
    found = affinity(two, beta=1.2, gamma=3.0)
    assert torch.equal(found[0, 8], torch.eye(9)[8]) and found.isfinite().all()
    torch.testing.assert_close(found[0, 0], torch.tensor([1 / 8] * 8 + [0.0]))
    empty = affinity(torch.zeros(1, 4, 3), beta=1.2, gamma=3.0)
    assert empty.isfinite().all() and torch.equal(empty.sum(-1), torch.ones(1, 4))


def test_affinity_is_computed_in_float32_under_autocast():
    features = drawn(1, 16, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = affinity(features.bfloat16().float(), beta=1.2, gamma=3.0)
        assert (features[0] @ features[0].T).dtype == torch.bfloat16  # it would be
    assert torch.equal(found, affinity(features.bfloat16().float(), beta=1.2, gamma=3.0))


def test_the_average_of_projections_is_the_projection_of_the_average_per_head():
    """ProxyCLIP averages the values of every head and projects then; ours are projected before."""
    values, guide, out = drawn(2, 5, 12), affinity(drawn(2, 9, 3), beta=1.2, gamma=3.0), nn.Linear(12, 12)
    found = averaged(out(values), guide)
    grid = values[:, 1:].transpose(1, 2).unflatten(2, (2, 2))
    fine = nn.functional.interpolate(grid, (3, 3), mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
    heads = [
        torch.stack([torch.stack([guide[b, i] @ fine[b, :, 4 * h : 4 * h + 4] for i in range(9)]) for b in range(2)])
        for h in range(3)
    ]
    torch.testing.assert_close(found[:, 1:], out(torch.cat(heads, dim=-1)), atol=1e-5, rtol=1e-4)
    assert torch.equal(found[:, :1], out(values)[:, :1])  # the class token keeps its own
    assert found.shape == (2, 10, 12)


def test_an_average_by_itself_alone_is_the_value_reading(attach, clip):
    towers, guide = attach(randomised=True), torch.eye(6).expand(3, 6, 6)
    by_value = towers(clip.pixels, clip.mels, reading="value")
    torch.testing.assert_close(towers(clip.pixels, clip.mels, reading="proxy", guide=guide), by_value)
    assert not torch.allclose(towers(clip.pixels, clip.mels, reading="clear"), by_value, atol=1e-2)


@pytest.mark.parametrize("count", [9, 1])
def test_a_guide_on_another_grid_gives_its_own_grid(attach, clip, count):
    towers, pixels = attach(randomised=True), clip.pixels[:, :4]
    flat = torch.full((3, count, count), 1 / count)
    found = towers(pixels, clip.mels, reading="proxy", guide=flat)
    assert found.shape == (3, 1 + count, 12)
    torch.testing.assert_close(found[:, 1], found[:, -1])  # the mean of the picture everywhere
    own = torch.full((3, 4, 4), 1 / 4)
    torch.testing.assert_close(found[:, 1], towers(pixels, clip.mels, reading="proxy", guide=own)[:, 1])


def naive_without_high_norms(x, limit, side):
    """Outliers of one image replaced, patch by patch."""
    norms = [row.norm().item() for row in x[1:]]
    median = sorted(norms)[(len(norms) - 1) // 2]
    high = [norm > limit * median for norm in norms]
    result = x.clone()
    for place in range(side * side):
        row, column = divmod(place, side)
        around = [
            x[1 + r * side + c]
            for r in range(max(0, row - 1), min(side, row + 2))
            for c in range(max(0, column - 1), min(side, column + 2))
            if not high[r * side + c]
        ]
        if high[place] and around:
            result[1 + place] = torch.stack(around).mean(0)
    return result, sum(high)


def test_high_norms_become_the_mean_of_their_neighbours():
    x = drawn(3, 17, 6)
    x[0, [1, 6, 7]] *= 30  # a corner, and two that are neighbours
    x[1, 16] *= 30
    x[:, 0] *= 100  # the class token may be as large as it likes
    found = without_high_norms(x, 3.0)
    for image, count in enumerate((3, 1, 0)):
        wanted, high = naive_without_high_norms(x[image], 3.0, 4)
        torch.testing.assert_close(found[image], wanted)
        assert high == count and torch.equal(found[image], x[image]) == (count == 0)
    assert without_high_norms(x[2:], 3.0) is not None and torch.equal(without_high_norms(x[2:], 3.0), x[2:])


def test_an_outlier_among_outliers_stays():
    x = torch.ones(1, 26, 2)
    x[0, 1:11] = 50.0  # the first two of five rows; the median is of the others
    found = without_high_norms(x, 2.0)
    assert torch.equal(found[0, 1:6], x[0, 1:6])  # all of their neighbours are high
    torch.testing.assert_close(found[0, 6:], torch.ones(20, 2))


@pytest.mark.parametrize("reading", ["token", "value", "clear"])
@pytest.mark.parametrize(("placement", "blocks"), [("last", 1), ("last", 3), ("first", 1)])
def test_high_norms_are_replaced_before_the_last_block(attach, clip, reading, placement, blocks):
    towers, pixels = attach(placement, blocks, randomised=True), clip.pixels[:, :4]
    context = towers.hear(clip.mels)
    norms, last = [], towers.image.depth - 1
    branch = {"token": "attend", "value": "values", "clear": "self_self_attend"}[reading]
    original = getattr(towers.image, branch)

    def watched(block, x, *more):
        if block == last:
            norms.append(x[:, 1:].norm(dim=-1))
        return original(block, x, *more)

    setattr(towers.image, branch, watched)
    plain = towers.suffix(towers.prefix(pixels), context, reading=reading)
    mended = towers.suffix(towers.prefix(pixels), context, reading=reading, high_norm=1.01)
    before, after = norms
    limit = 1.01 * before.median(dim=1, keepdim=True).values
    assert (before > limit).any() and not torch.allclose(after, before)
    assert torch.equal(after[before <= limit], before[before <= limit])
    assert not torch.allclose(mended, plain, atol=1e-3)
    assert torch.equal(towers.suffix(towers.prefix(pixels), context, reading=reading, high_norm=1e9), plain)


def refusal(call, *args, **options) -> str:
    with pytest.raises(AdapterError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_guides_that_do_not_fit_are_refused(attach, clip):
    towers = attach()
    read = (towers.prefix(clip.pixels), towers.hear(clip.mels))
    assert refusal(towers.suffix, *read, reading="proxy") == (
        "a guide is for reading proxy, which needs one, got none for reading proxy; make one with affinity."
    )
    assert refusal(towers.suffix, *read, reading="clear", guide=torch.eye(6).expand(3, 6, 6)) == (
        "a guide is for reading proxy, which needs one, got one for reading clear; make one with affinity."
    )
    assert refusal(towers.suffix, *read, reading="proxy", guide=torch.zeros(2, 6, 6)) == (
        "a guide must have shape (3, M, M) for 3 images, got (2, 6, 6); make one with affinity."
    )
    assert refusal(towers.suffix, *read, reading="proxy", guide=torch.zeros(3, 9, 9)) == (
        "a guide of 9 patches for 6 needs grids, which must be square, got 6 patches; give all patches of the picture."
    )
    assert refusal(towers.suffix, *read, reading="value", high_norm=2.0) == (
        "high-norm tokens are replaced by their neighbours on a grid, which must be square, got 6 patches; give all "
        "patches of the picture."
    )
