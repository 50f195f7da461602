"""The cut run against the uncut one, untrained adapters against the frozen encoder, and gradients."""

import pytest
import torch
from torch import nn

from moca.adapters import AdapterError, count_trainable

PLANS = [("last", 1), ("last", 2), ("first", 2), ("interleaved", 3), ("last", 5)]


READINGS = ["token", "value", "clear", "proxy"]


def last_block(image, block, x, reading, guide, more=0.0):
    """What a reading makes of the last block, and of what an adapter adds to its values; proxy by loops."""
    values = (image.self_self_attend(block, x, "query") if reading == "clear" else image.values(block, x)) + more
    if reading != "proxy":
        return values
    patches = [
        torch.stack([sum(guide[i, j, k] * values[i, 1 + k] for k in range(6)) for j in range(6)]) for i in range(len(x))
    ]
    return torch.cat([values[:, :1], torch.stack(patches)], dim=1)


def forward_unsplit(towers, pixels, mels, reading="token", guide=None):
    """The two equations of the paper, block after block, with nothing cut, cached or shared."""
    listens = dict(zip(towers.plan.image_blocks, towers.plan.audio_blocks, strict=True))
    x_audio, y_audio, x = [], [], towers.audio.tokens(mels)
    for block in range(towers.audio.depth):
        x_audio.append(x)
        y_audio.append(x + towers.audio.attend(block, x))
        x = y_audio[-1] + towers.audio.feed(block, y_audio[-1])
    x = towers.image.tokens(pixels)
    for block in range(towers.image.depth):
        adapter = towers.adapters[str(block)] if block in listens else None
        if reading != "token" and block == towers.image.depth - 1:
            more = adapter(x_audio[listens[block]], x) if adapter else 0.0
            return last_block(towers.image, block, x, reading, guide, more)
        y = x + towers.image.attend(block, x)
        y = y + adapter(x_audio[listens[block]], x) if adapter else y
        x = y + towers.image.feed(block, y)
        x = x + adapter(y_audio[listens[block]], y) if adapter else x
    return x


def frozen(towers, pixels, reading="token", guide=None):
    """The image tower alone."""
    x = towers.image.tokens(pixels)
    for block in range(towers.image.depth):
        if reading != "token" and block == towers.image.depth - 1:
            return last_block(towers.image, block, x, reading, guide)
        y = x + towers.image.attend(block, x)
        x = y + towers.image.feed(block, y)
    return x


@pytest.fixture
def same():
    """same(a, b, reading): equal bits, but for proxy, whose loops add in another order than a matrix product."""

    def check(a, b, reading):
        if reading == "proxy":
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        else:
            assert torch.equal(a, b)

    return check


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(("placement", "blocks"), PLANS)
def test_cut_run_equals_uncut_run(attach, clip, how, same, placement, blocks, reading):
    towers = attach(placement, blocks, randomised=True)
    cut = towers.suffix(towers.prefix(clip.pixels), towers.hear(clip.mels), **how(reading))
    same(cut, forward_unsplit(towers, clip.pixels, clip.mels, **how(reading)), reading)
    assert torch.equal(cut, towers(clip.pixels, clip.mels, **how(reading)))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(("placement", "blocks"), PLANS)
def test_untrained_adapters_equal_the_frozen_encoder(attach, clip, how, same, placement, blocks, reading):
    towers = attach(placement, blocks)
    untrained = towers(clip.pixels, clip.mels, **how(reading))
    same(untrained, frozen(towers, clip.pixels, **how(reading)), reading)
    assert torch.equal(untrained, towers(clip.pixels, clip.mels, **how(reading), adapted=False))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(("placement", "blocks"), PLANS)
def test_without_its_adapters_it_is_the_frozen_encoder(attach, clip, how, same, placement, blocks, reading):
    towers = attach(placement, blocks, randomised=True)
    before = frozen(towers, clip.pixels, **how(reading))
    adapted = towers(clip.pixels, clip.mels, **how(reading))
    assert not torch.allclose(adapted, before)  # not vacuous
    same(towers(clip.pixels, clip.mels, **how(reading), adapted=False), before, reading)
    assert torch.equal(towers(clip.pixels, clip.mels, **how(reading)), adapted)


def test_the_audio_decides_the_result(attach, clip):
    towers = attach(randomised=True)
    swapped = towers(clip.pixels, clip.mels.flip(0))
    result = towers(clip.pixels, clip.mels)
    assert not torch.allclose(swapped[0], result[0])
    torch.testing.assert_close(swapped[1], result[1])  # the middle clip keeps its sound


def test_the_prefix_of_a_first_block_plan_is_the_stem(attach, clip):
    towers = attach("first", 1)
    assert torch.equal(towers.prefix(clip.pixels), towers.image.tokens(clip.pixels))


def test_hear_keeps_what_adapters_need_and_the_end_of_the_tower(attach, clip):
    towers = attach("last", 5)
    context = towers.hear(clip.mels)
    assert sorted(context.pairs) == [0, 1, 2] and len(context) == 3
    first, middle = context.pairs[0]
    assert torch.equal(first, towers.audio.tokens(clip.mels))
    assert torch.equal(middle, first + towers.audio.attend(0, first))
    last = context.pairs[2][1]
    assert torch.equal(context.tokens, last + towers.audio.feed(2, last))


def test_one_audio_serves_several_images(attach, clip):
    towers = attach(randomised=True)
    index = torch.tensor([1, 1, 0])
    shared = towers.suffix(towers.prefix(clip.pixels), towers.hear(clip.mels).select(index))
    torch.testing.assert_close(shared, towers(clip.pixels, clip.mels[index]))
    assert not torch.allclose(shared, towers(clip.pixels, clip.mels))


@pytest.mark.parametrize("reading", READINGS)
def test_gradients_reach_the_adapters_and_nothing_else(attach, clip, how, image_tower, audio_tower, reading):
    towers = attach("interleaved", 3, randomised=True)
    pixels, mels = clip.pixels.requires_grad_(), clip.mels.requires_grad_()
    assert not towers.prefix(pixels).requires_grad
    assert not towers.hear(mels).tokens.requires_grad
    towers(pixels, mels, **how(reading)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in towers.parameters())
    for tower in (image_tower, audio_tower):
        assert all(parameter.grad is None for parameter in tower.parameters())
    assert pixels.grad is None and mels.grad is None


def test_gradient_of_a_step_lowers_the_loss(attach, clip):
    towers = attach()
    target = torch.ones(3, 7, 12)
    optimiser = torch.optim.Adam(towers.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        loss = (towers(clip.pixels, clip.mels) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_towers_are_frozen_and_not_part_of_the_module(attach, image_tower):
    assert image_tower.training  # dropout would make every run differ
    towers = attach("last", 2)
    assert not image_tower.training and not any(p.requires_grad for p in image_tower.parameters())
    assert list(towers.children()) == [towers.adapters]
    assert not towers.train().image.training
    one = 6 * 8 + 6 + 6 * 12 + 6 + 12 * 6 + 12 + 4 * 6
    assert count_trainable(towers) == 2 * one == sum(t.numel() for t in towers.state_dict().values())


def test_to_moves_the_adapters_alone(attach, image_tower):
    towers = attach().to(torch.float64)
    assert {parameter.dtype for parameter in towers.parameters()} == {torch.float64}
    assert {parameter.dtype for parameter in image_tower.parameters()} == {torch.float32}


def test_frozen_parts_in_bfloat16_are_close_and_handed_on_in_the_adapters_dtype(attach, clip):
    exact, rounded = attach(), attach(prefix_dtype=torch.bfloat16)
    tokens, context = rounded.prefix(clip.pixels), rounded.hear(clip.mels)
    kept = [tokens, context.tokens, *(part for pair in context.pairs.values() for part in pair)]
    assert {tensor.dtype for tensor in kept} == {torch.float32}
    assert not torch.equal(tokens, exact.prefix(clip.pixels))
    torch.testing.assert_close(tokens, exact.prefix(clip.pixels), atol=0.2, rtol=0.05)


def test_one_image_with_one_patch(attach, clip):
    towers = attach(randomised=True)
    assert towers(clip.pixels[:1, :1], clip.mels[:1, :1]).shape == (1, 2, 12)


def test_a_tower_need_not_be_a_module(attach, clip):
    towers = attach(randomised=True)

    class Plain:
        width, depth = towers.image.width, towers.image.depth
        tokens, attend, feed = towers.image.tokens, towers.image.attend, towers.image.feed

    plain = type(towers)(Plain(), towers.audio, towers.plan, towers.config)
    plain.load_state_dict(towers.state_dict())
    assert not isinstance(plain.image, nn.Module)
    assert torch.equal(plain(clip.pixels, clip.mels), towers(clip.pixels, clip.mels))


def test_refuses_another_reading_and_another_number_of_audios(attach, clip):
    towers = attach()
    tokens, context = towers.prefix(clip.pixels), towers.hear(clip.mels[:1])
    with pytest.raises(AdapterError) as refusal:
        towers.suffix(tokens, context, reading="key")
    assert str(refusal.value) == "reading must be one of token, value, value2, clear, proxy, got 'key'; choose one."
    with pytest.raises(AdapterError) as refusal:
        towers.suffix(tokens, context)
    assert str(refusal.value) == (
        "every image needs one audio, got 3 images and 1 audios; repeat or pick audios with context.select(index)."
    )
