"""The published implementation of ImageBind with the same weights, where its package is installed."""

import importlib
import importlib.util
import types

import pytest
import torch
from torch import nn

from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.weights import load_imagebind

CONFIG = ImageBindConfig(
    image_width=64, image_blocks=3, image_heads=4, audio_width=48, audio_blocks=4, audio_heads=3, embed_dim=24
)
NEEDS = ("ftfy", "regex", "einops", "iopath")


@pytest.fixture
def upstream(bare_module):
    """imagebind.models.imagebind_model without the package's own __init__, which needs torchvision and more.

    So does timm, of which it takes a function and a layer that does nothing outside of training.
    """
    missing = [name for name in ("imagebind", *NEEDS) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; pip install --no-deps imagebind-packaged {' '.join(NEEDS)}")
    timm, models, layers = (types.ModuleType(name) for name in ("timm", "timm.models", "timm.models.layers"))
    layers.DropPath, layers.trunc_normal_ = lambda rate: nn.Identity(), nn.init.trunc_normal_
    return bare_module(
        "imagebind.models.imagebind_model", {module.__name__: module for module in (timm, models, layers)}
    )


@pytest.fixture
def original(upstream):
    """A small model of upstream's classes; of the modalities we leave out, as little as can be built."""
    small = {"num_blocks": 1, "num_heads": 1, "embed_dim": 8}
    others = {f"{name}_{key}": value for name in ("text", "depth", "thermal", "imu") for key, value in small.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return upstream.ImageBindModel(
            vision_embed_dim=CONFIG.image_width,
            vision_num_blocks=CONFIG.image_blocks,
            vision_num_heads=CONFIG.image_heads,
            audio_embed_dim=CONFIG.audio_width,
            audio_num_blocks=CONFIG.audio_blocks,
            audio_num_heads=CONFIG.audio_heads,
            out_embed_dim=CONFIG.embed_dim,
            **others,
        ).eval()


@torch.inference_mode()
def test_the_same_weights_give_the_same_embeddings(original, tmp_path):
    draw = torch.Generator().manual_seed(1)
    for parameter in original.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))
    torch.save(original.state_dict(), tmp_path / "imagebind.pth")
    ours = load_imagebind(tmp_path / "imagebind.pth", CONFIG)
    pixels, sounds = (torch.randn(*shape, generator=draw) for shape in ((2, 3, 224, 224), (2, 3, 1, 128, 204)))
    theirs = original({"vision": pixels, "audio": sounds})
    embeddings = {"vision": ours.embed_image(pixels), "audio": ours.embed_audio(sounds)}
    other = random_imagebind(CONFIG, seed=5)
    for name, embedding in embeddings.items():
        torch.testing.assert_close(embedding, theirs[name], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(other.embed_image(pixels), theirs["vision"], atol=1e-2)
