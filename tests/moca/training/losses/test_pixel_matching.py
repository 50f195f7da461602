"""Matching cost and triplet loss against loops over pixels, their laws, edge cases and refusals."""

import itertools
import math

import pytest
import torch

from moca.errors import InputError
from moca.training.config import MatchingConfig
from moca.training.losses.pixel_matching import matching_cost, plane_cost, scanline_cost, triplet_loss

SHAPE = (2, 5, 3, 4)


def maps(count=2, shape=SHAPE, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(count)]


def pixel_cost(u, v, config):
    """Cost of one pixel against one pixel: the equations, one number at a time."""
    u, v = u.tolist(), v.tolist()
    if config.normalise == "l2":
        u, v = ([x / (math.hypot(*w) or 1) for x in w] for w in (u, v))
    ssd = sum((x - y) ** 2 for x, y in zip(u, v, strict=True))
    if config.ssd_scale == "mean":
        ssd /= len(u)
    lengths = math.hypot(*u) * math.hypot(*v)
    ncc = sum(x * y for x, y in zip(u, v, strict=True)) / lengths if lengths else 0.0
    return config.ssd * ssd + config.ncc * (ncc if config.literal_sign else 1 - ncc)


def matching_cost_slowly(f, g, config):
    """For every pixel of f, the cheapest pixel of g among those allowed; then the mean."""
    batch, _, height, width = f.shape
    pixels = list(itertools.product(range(height), range(width)))
    limit = math.inf if config.disparity_range is None else config.disparity_range
    costs = []
    for b in range(batch):
        best = []
        for i, j in pixels:
            allowed = [
                (y, x)
                for y, x in pixels
                if abs(x - j) <= limit and (abs(y - i) <= limit if config.search == "plane" else y == i)
            ]
            best.append(min(pixel_cost(f[b, :, i, j], g[b, :, y, x], config) for y, x in allowed))
        costs.append(sum(best) / len(best))
    return torch.tensor(costs)


OPTIONS = {
    "default": {},
    "SSD alone": {"ncc": 0.0},
    "NCC alone": {"ssd": 0.0},
    "weighted": {"ssd": 0.25, "ncc": 3.0},
    "literal sign": {"literal_sign": True},
    "unit length": {"normalise": "l2"},
    "mean SSD": {"ssd_scale": "mean"},
    "mean SSD, unit length, literal sign": {
        "ssd_scale": "mean",
        "normalise": "l2",
        "literal_sign": True,
    },
    "no disparity": {"disparity_range": 0},
    "one pixel of disparity": {"disparity_range": 1},
    "more disparity than pixels": {"disparity_range": 99},
    "whole plane": {"search": "plane"},
    "plane within one pixel": {"search": "plane", "disparity_range": 1},
    "plane within none": {"search": "plane", "disparity_range": 0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_matching_cost_equals_a_loop_over_pixels(options):
    f, g = maps()
    config = MatchingConfig(**options)
    torch.testing.assert_close(matching_cost(f, g, config), matching_cost_slowly(f, g, config))


def test_every_option_changes_the_cost():
    f, g = maps()
    results = {round(matching_cost(f, g, MatchingConfig(**options))[0].item(), 5) for options in OPTIONS.values()}
    # A range beyond the row is the whole row, and no disparity is the same pixel in either search.
    assert len(results) == len(OPTIONS) - 2


def test_scanline_and_plane_entries_are_the_documented_pairs():
    f, g = maps()
    scanline, plane = scanline_cost(f, g), plane_cost(f, g)
    assert scanline.shape == (2, 3, 4, 4) and plane.shape == (2, 12, 12)
    expected = pixel_cost(f[1, :, 2, 3], g[1, :, 2, 0], MatchingConfig())
    assert scanline[1, 2, 3, 0].item() == pytest.approx(expected, rel=1e-5)
    expected = pixel_cost(f[1, :, 2, 3], g[1, :, 0, 1], MatchingConfig())
    assert plane[1, 2 * 4 + 3, 1].item() == pytest.approx(expected, rel=1e-5)


def test_the_scanline_is_the_diagonal_of_the_plane():
    f, g = maps()
    rows = plane_cost(f, g).unflatten(1, (3, 4)).unflatten(3, (3, 4))
    torch.testing.assert_close(scanline_cost(f, g), torch.einsum("bijik->bijk", rows))


@pytest.mark.parametrize("search", ["scanline", "plane"])
def test_equal_maps_cost_nothing_and_others_do(search):
    f, g = maps()
    config = MatchingConfig(search=search, normalise="l2")
    torch.testing.assert_close(matching_cost(f, f, config), torch.zeros(2), atol=1e-5, rtol=0)
    assert (matching_cost(f, g, config) > 0.1).all()


def test_identical_unit_vectors_cost_exactly_nothing():
    f = torch.eye(4).reshape(1, 4, 1, 4)
    assert torch.equal(scanline_cost(f, f)[0, 0], 3 * (1 - torch.eye(4)))


def test_a_cost_is_never_negative_even_for_near_duplicates():
    (f,) = maps(1, shape=(4, 64, 8, 8))
    f = 100 * f
    g = f * (1 + 1e-7)
    assert (scanline_cost(f, g) >= 0).all() and (plane_cost(f, g, normalise="l2") >= 0).all()


def test_shuffling_a_row_of_candidates_changes_nothing_and_mixing_rows_does():
    f, g = maps()
    cost = matching_cost(f, g)
    torch.testing.assert_close(matching_cost(f, g[..., [2, 0, 3, 1]]), cost)
    assert not torch.allclose(matching_cost(f, g[:, :, [2, 0, 1]]), cost)
    plane = MatchingConfig(search="plane")
    torch.testing.assert_close(matching_cost(f, g[:, :, [2, 0, 1]], plane), matching_cost(f, g, plane))


def test_ncc_ignores_scale_and_ssd_does_not():
    f, g = maps()
    ncc, ssd = MatchingConfig(ssd=0.0), MatchingConfig(ncc=0.0)
    torch.testing.assert_close(matching_cost(3 * f, g, ncc), matching_cost(f, g, ncc))
    torch.testing.assert_close(matching_cost(3 * f, 3 * g, ssd), 9 * matching_cost(f, g, ssd))


def test_rotating_the_channels_changes_nothing():
    f, g = maps(dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).double()).Q
    turned = (torch.einsum("dc,bchw->bdhw", rotation, x) for x in (f, g))
    torch.testing.assert_close(matching_cost(*turned), matching_cost(f, g))


def test_a_wider_search_is_never_dearer():
    f, g = maps()
    scanline = [matching_cost(f, g, MatchingConfig(disparity_range=limit)) for limit in (0, 1, 2, 3, None)]
    for narrow, wide in itertools.pairwise([*scanline, matching_cost(f, g, MatchingConfig(search="plane"))]):
        assert (wide <= narrow + 1e-6).all()


@pytest.mark.parametrize("normalise", ["raw", "l2"])
def test_zero_vectors_have_ncc_0_and_finite_gradients(normalise):
    f = torch.zeros(SHAPE, requires_grad=True)
    (g,) = maps(1)
    cost = scanline_cost(f, g, ssd=0.0, normalise=normalise)
    assert torch.equal(cost, torch.ones(2, 3, 4, 4))
    cost.sum().backward()
    assert torch.equal(f.grad, torch.zeros(SHAPE))
    assert torch.equal(scanline_cost(f, f, ncc=0.0), torch.zeros(2, 3, 4, 4))


def test_one_pixel():
    f, g = torch.tensor([[[[3.0]], [[4.0]]]]), torch.tensor([[[[0.0]], [[2.0]]]])
    assert matching_cost(f, g).item() == pytest.approx(9 + 4 + 1 - 0.8)
    for search in ("scanline", "plane"):
        config = MatchingConfig(search=search, disparity_range=0, literal_sign=True)
        assert matching_cost(f, g, config).item() == pytest.approx(9 + 4 + 0.8)


@pytest.mark.parametrize("search", ["scanline", "plane"])
@pytest.mark.parametrize("normalise", ["raw", "l2"])
def test_gradients(search, normalise):
    f, g = (x.requires_grad_() for x in maps(shape=(1, 3, 2, 3), dtype=torch.float64))
    config = MatchingConfig(search=search, normalise=normalise, disparity_range=1)
    assert torch.autograd.gradcheck(lambda f, g: matching_cost(f, g, config), (f, g))


def test_near_duplicates_under_autocast_are_computed_in_float32():
    (f,), (noise,) = maps(1, shape=(1, 64, 4, 4)), maps(1, shape=(1, 64, 4, 4), seed=1)
    g = f + 0.05 * noise
    pixels = matching_cost(f.double(), g.double()).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = matching_cost(f, g)
        product = f.flatten(2).transpose(1, 2) @ g.flatten(2)
    torch.testing.assert_close(mixed, pixels, rtol=1e-3, atol=0)
    # Not vacuous: the same formula on autocast's product is far off.
    squares = f.square().sum(1).flatten(1).unsqueeze(2) + g.square().sum(1).flatten(1).unsqueeze(1)
    rounded = (squares - 2 * product.float()).diagonal(dim1=1, dim2=2)
    exact = (f - g).square().sum(1).flatten(1)
    assert ((rounded - exact).abs() / exact).max() > 0.1


def test_half_precision_maps_give_a_float32_cost():
    f, g = (x.bfloat16() for x in maps())
    assert torch.equal(matching_cost(f, g), matching_cost(f.float(), g.float()))


def test_triplet_loss_by_hand():
    anchor = torch.eye(2).reshape(1, 2, 1, 2).repeat(2, 1, 1, 1)
    same, other = anchor, -anchor
    away = matching_cost(anchor, other)[0].item()
    assert away == pytest.approx(3.0)  # orthogonal (SSD 2, NCC 0) is cheaper than opposite (SSD 4, NCC -1)
    loss, active = triplet_loss(anchor, same, other)
    assert (loss.item(), active.item()) == (0.0, 0.0)
    loss, active = triplet_loss(anchor, other, same)
    assert loss.item() == pytest.approx(3.3) and active.item() == 1.0
    loss, active = triplet_loss(anchor, torch.stack([same[0], other[0]]), torch.stack([other[0], same[0]]))
    assert loss.item() == pytest.approx(3.3 / 2) and active.item() == 0.5
    loss, active = triplet_loss(anchor, same, same, MatchingConfig(margin=0.0))
    assert (loss.item(), active.item()) == (0.0, 0.0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_triplet_loss_is_the_hinge_of_the_two_costs(options):
    anchor, positive, negative = maps(3)
    config = MatchingConfig(margin=0.5, **options)
    gap = matching_cost_slowly(anchor, positive, config) - matching_cost_slowly(anchor, negative, config)
    loss, active = triplet_loss(anchor, positive, negative, config)
    torch.testing.assert_close(loss, (gap + 0.5).clamp(min=0).mean())
    assert active.item() == ((gap + 0.5) > 0).float().mean().item()


def test_an_active_triplet_pulls_the_positive_and_pushes_the_negative():
    anchor, positive, negative = (x.requires_grad_() for x in maps(3))
    config = MatchingConfig(margin=100.0)
    loss, active = triplet_loss(anchor, positive, negative, config)
    loss.backward()
    assert not active.requires_grad
    with torch.no_grad():
        before = matching_cost(anchor, positive, config), matching_cost(anchor, negative, config)
        after_positive = matching_cost(anchor, positive - 0.01 * positive.grad, config)
        after_negative = matching_cost(anchor, negative - 0.01 * negative.grad, config)
    assert (after_positive < before[0]).all() and (after_negative > before[1]).all()


def test_a_saturated_triplet_has_no_gradient():
    (anchor,) = maps(1)
    anchor.requires_grad_()
    loss, active = triplet_loss(anchor, anchor.detach(), anchor.detach() + 10)
    loss.backward()
    assert active.item() == 0 and torch.equal(anchor.grad, torch.zeros(SHAPE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ssd": -1.0}, "ssd must be a number of at least 0, got -1.0; change it."),
        ({"ncc": math.inf}, "ncc must be a number of at least 0, got inf; change it."),
        ({"margin": math.nan}, "margin must be a number of at least 0, got nan; change it."),
        (
            {"ssd": 0.0, "ncc": 0.0},
            "ssd and ncc must not both be 0 (every match would cost the same); raise one.",
        ),
        ({"search": "row"}, "search must be one of scanline, plane, got 'row'; change it."),
        ({"normalise": "l1"}, "normalise must be one of raw, l2, got 'l1'; change it."),
        ({"ssd_scale": "max"}, "ssd_scale must be one of sum, mean, got 'max'; change it."),
        (
            {"disparity_range": -1},
            "disparity_range must be a whole number of at least 0, or none, got -1; use none for the whole row.",
        ),
    ],
)
def test_refuses_a_configuration(options, message):
    with pytest.raises(InputError) as refusal:
        MatchingConfig(**options)
    assert str(refusal.value) == message


@pytest.mark.parametrize("cost", [scanline_cost, plane_cost, matching_cost])
@pytest.mark.parametrize(
    ("first", "second"), [((2, 5, 3, 4), (2, 5, 4, 4)), ((5, 3, 4), (5, 3, 4)), ((1, 5, 0, 4), (1, 5, 0, 4))]
)
def test_refuses_maps(cost, first, second):
    with pytest.raises(InputError) as refusal:
        cost(torch.zeros(first), torch.zeros(second))
    assert str(refusal.value) == (
        "feature maps must both be (B, C, H, W) of one non-empty shape, "
        f"got {first} and {second}; reshape or resize them."
    )


def test_refuses_an_unknown_option_of_a_cost():
    f, g = maps()
    with pytest.raises(InputError, match="normalise must be one of raw, l2, got 'unit'; choose one"):
        scanline_cost(f, g, normalise="unit")
