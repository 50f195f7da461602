"""AdaAV against a loop over tokens, its size, its start and its gradients."""

import math

import pytest
import torch

from moca.adapters import AdaAV, AdaAVConfig, AdapterError, count_trainable


def make(randomised=True, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    adapter = AdaAV(10, 7, bottleneck=5, latents=3, generator=generator)
    if randomised:
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.normal_(generator=generator)
    return adapter.to(dtype)


def make_tokens(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 4, 7, generator=generator, dtype=dtype),
        torch.randn(2, 6, 10, generator=generator, dtype=dtype),
    )


def read_slowly(query, memory):
    """Softmax attention of one query vector over a list of vectors."""
    scores = [math.exp(float(query @ item) / math.sqrt(len(query))) for item in memory]
    return sum(score / sum(scores) * item for score, item in zip(scores, memory, strict=True))


def normed(token):
    """A token with mean 0 and variance 1 over its channels."""
    return (token - token.mean()) / torch.sqrt(token.var(correction=0) + 1e-5)


def adaav_slowly(adapter, audio, image):
    """The docstring's four lines, one sample and one token at a time."""
    out = torch.empty_like(image)
    for sample in range(len(image)):
        heard = [adapter.audio_down.weight @ normed(token) + adapter.audio_down.bias for token in audio[sample]]
        latents = [latent + read_slowly(latent, heard) for latent in adapter.latents]
        for position, token in enumerate(image[sample]):
            seen = adapter.image_down.weight @ normed(token) + adapter.image_down.bias
            seen = seen + read_slowly(seen, latents)
            gelu = torch.stack([0.5 * x * (1 + torch.erf(x / math.sqrt(2))) for x in seen])
            out[sample, position] = adapter.up.weight @ gelu + adapter.up.bias
    return out


@torch.no_grad()
def test_equals_a_loop_over_tokens():
    adapter = make(dtype=torch.float64)
    audio, image = make_tokens(torch.float64)
    torch.testing.assert_close(adapter(audio, image), adaav_slowly(adapter, audio, image))


@torch.no_grad()
def test_the_scale_of_a_residual_stream_does_not_matter():
    adapter = make(dtype=torch.float64)
    audio, image = make_tokens(torch.float64)
    torch.testing.assert_close(adapter(300 * audio, 20 * image), adapter(audio, image), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(adapter(audio.flip(-1), image), adapter(audio, image), atol=1e-3)


def test_size_for_imagebind_huge():
    assert count_trainable(AdaAV(1280, 768)) == 216_448
    assert 6 * 216_448 == 1_298_688


@pytest.mark.parametrize(
    ("bottleneck", "latents", "parameters"), [(64, 16, 215_424), (64, 8, 214_912), (32, 32, 108_864)]
)
def test_other_sizes_match_the_published_count(bottleneck, latents, parameters):
    assert count_trainable(AdaAV(1280, 768, bottleneck, latents)) == parameters


def test_untrained_output_is_exactly_zero_and_trained_is_not():
    audio, image = make_tokens()
    assert torch.equal(make(randomised=False)(audio, image), torch.zeros_like(image))
    assert make()(audio, image).abs().min() > 0


def test_a_generator_decides_the_start_and_the_global_state_is_left_alone():
    before = torch.get_rng_state()
    first, second = make(randomised=False), make(randomised=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.latents, second.latents)
    other = AdaAV(10, 7, bottleneck=5, latents=3, generator=torch.Generator().manual_seed(9))
    assert not torch.equal(first.latents, other.latents)


@torch.no_grad()
def test_order_of_audio_tokens_does_not_matter_and_their_content_does():
    adapter = make()
    audio, image = make_tokens()
    result = adapter(audio, image)
    torch.testing.assert_close(adapter(audio.flip(1), image), result)
    assert not torch.allclose(adapter(audio.flip(0), image), result)


@torch.no_grad()
def test_every_image_token_is_served_alone():
    adapter = make()
    audio, image = make_tokens()
    torch.testing.assert_close(adapter(audio, image)[:, 2:3], adapter(audio, image[:, 2:3]))


@torch.no_grad()
def test_one_audio_token_and_one_image_token():
    adapter = make(dtype=torch.float64)
    audio, image = (tokens[:1, :1] for tokens in make_tokens(torch.float64))
    torch.testing.assert_close(adapter(audio, image), adaav_slowly(adapter, audio, image))


def test_gradients():
    adapter = make(dtype=torch.float64)
    audio, image = (tokens[:1, :3].requires_grad_() for tokens in make_tokens(torch.float64))
    assert torch.autograd.gradcheck(adapter, (audio, image))
    adapter(audio, image).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in adapter.parameters())


def test_at_the_start_only_the_exit_learns():
    adapter = make(randomised=False)
    adapter(*make_tokens()).sum().backward()
    moved = {name for name, parameter in adapter.named_parameters() if parameter.grad.abs().sum() > 0}
    assert moved == {"up.weight", "up.bias"}


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_refuses_sizes(value):
    with pytest.raises(AdapterError) as refusal:
        AdaAVConfig(bottleneck=value)
    assert str(refusal.value) == f"bottleneck must be a whole number of at least 1, got {value!r}; raise it."
    with pytest.raises(AdapterError, match="audio_width must be a whole number of at least 1"):
        AdaAV(10, value)
