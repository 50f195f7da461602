"""DINO, DINOv2 and DINOv3 behind one class: each against transformers' own model, its places, registers and sizes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ViTConfig,
    ViTModel,
)

from moca.errors import InputError
from moca.foundation.dino import Dino, load_dino, preprocess_frames, save_dino
from moca.foundation.dino_families import FAMILIES, family_of

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
# By model_type: a tiny model, its registers, its grid at its own size.
TINY = {
    "vit": (lambda: ViTModel(ViTConfig(**SIZES, intermediate_size=24), add_pooling_layer=False), 0, 4),
    "dinov2": (lambda: Dinov2Model(Dinov2Config(**SIZES, mlp_ratio=2)), 0, 4),
    "dinov2_with_registers": (
        lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES, mlp_ratio=2, num_register_tokens=3)),
        3,
        4,
    ),
    "dinov3_vit": (
        lambda: DINOv3ViTModel(DINOv3ViTConfig(**SIZES, intermediate_size=24, num_register_tokens=4)),
        4,
        4,
    ),
    "dinov3_convnext": (
        lambda: DINOv3ConvNextModel(DINOv3ConvNextConfig(hidden_sizes=[8, 12, 16], depths=[1, 1, 2], image_size=64)),
        0,
        4,
    ),
}


def random_model(kind, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TINY[kind][0]()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no bias is zero and no gain is one
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return model.eval()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_family_is_tried():
    assert set(TINY) == set(FAMILIES)


@pytest.mark.parametrize("kind", TINY)
@torch.no_grad()
def test_features_are_what_transformers_computes(kind, frames, tmp_path):
    """Class token first, then registers, which nobody gets, then the map row by row."""
    model, (_, registers, grid) = random_model(kind), TINY[kind]
    save_dino(tmp_path, model)
    loaded = load_dino(tmp_path)
    assert (loaded.grid, loaded.width, loaded.image_size) == (grid, 16, model.config.image_size)
    bilinear = kind.startswith("dinov3")
    by = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
    tokens = model(preprocess_frames(frames, loaded.image_size, by=by)).last_hidden_state.numpy()
    assert tokens.shape == (3, 1 + registers + grid**2, 16)
    places = tokens[:, 1 + registers :]
    np.testing.assert_allclose(loaded.patches(frames), places.reshape(3, grid, grid, 16), atol=1e-5)
    np.testing.assert_allclose(loaded.features(frames), places.mean(1), atol=1e-5)
    np.testing.assert_allclose(loaded.features(frames, token="class"), tokens[:, 0], atol=1e-5)
    other = model(preprocess_frames(frames, loaded.image_size, by=Image.Resampling.NEAREST)).last_hidden_state.numpy()
    assert np.abs(other - tokens).max() > 1e-3 and np.abs(tokens[0] - tokens[1]).max() > 1e-3


@pytest.mark.parametrize("kind", TINY)
def test_another_size_has_another_grid_and_bfloat16_is_close(kind, frames, tmp_path):
    save_dino(tmp_path, random_model(kind))
    exact = load_dino(tmp_path)
    larger = load_dino(tmp_path, image_size=exact.image_size + 2 * exact.patch_px)
    assert larger.patches(frames).shape == (3, exact.grid + 2, exact.grid + 2, 16)
    rough = load_dino(tmp_path, dtype=torch.bfloat16).features(frames)
    assert rough.dtype == np.float32 and 0 < np.abs(rough - exact.features(frames)).max() < 0.2
    message = refusal(load_dino, tmp_path, image_size=exact.image_size + 1)
    assert message == (
        f"image_size must be a multiple of the patch ({exact.patch_px} pixels), got {exact.image_size + 1}; change it."
    )


def test_the_map_of_a_convnext_is_its_last_stages():
    """A place is 4 pixels, doubled by every stage but the first: 32 for the four stages of those published."""
    for stages, pixels in ((1, 4), (2, 8), (4, 32)):
        config = DINOv3ConvNextConfig(hidden_sizes=[4] * stages, depths=[1] * stages, image_size=64)
        dino = Dino(DINOv3ConvNextModel(config))
        assert (dino.patch_px, dino.grid) == (pixels, 64 // pixels)
        assert dino.patches([np.zeros((64, 64, 3), np.uint8)]).shape == (1, dino.grid, dino.grid, 4)
    published = DINOv3ConvNextConfig()
    assert family_of(published).patch_px(published) == 32 and family_of(published).width(published) == 768


@pytest.mark.parametrize("kind", TINY)
def test_a_place_is_where_it_is_seen(kind):
    """Of two pictures that differ in one place, that place's feature differs most."""
    dino = Dino(random_model(kind))
    side = dino.patch_px
    frame = np.full((dino.image_size, dino.image_size, 3), 90, np.uint8)
    other = frame.copy()
    other[side : 2 * side, 2 * side : 3 * side] = (250, 10, 10)
    plain, changed = dino.patches(np.stack([frame, other]))
    moved = np.linalg.norm(changed - plain, axis=-1)
    assert np.unravel_index(moved.argmax(), moved.shape) == (1, 2)


def test_a_preprocessor_that_crops_says_the_size(frames, tmp_path):
    """DINOv2's configurations name the 518 pixels of their stored positions; their preprocessors crop to 224."""
    save_dino(tmp_path, random_model("dinov2"))
    path = tmp_path / "preprocessor_config.json"
    stated = json.loads(path.read_text())
    crop = {"do_center_crop": True, "size": {"shortest_edge": 28}, "crop_size": {"height": 24, "width": 24}}
    path.write_text(json.dumps(stated | crop))
    assert load_dino(tmp_path).image_size == 24 and load_dino(tmp_path, image_size=40).image_size == 40
    path.write_text(json.dumps(stated | crop | {"do_center_crop": False}))
    assert load_dino(tmp_path).image_size == 32
    path.write_text(json.dumps(stated | crop | {"crop_size": 16}))
    assert load_dino(tmp_path).patches(frames).shape == (3, 2, 2, 16)
    path.write_text(json.dumps(stated | crop | {"crop_size": {"height": 24, "width": 16}}))
    assert load_dino(tmp_path).image_size == 32  # no square
    path.write_text(json.dumps(stated | {"image_std": [0.5, 0.5, 0.5]}))
    assert refusal(load_dino, tmp_path) == (
        f"{tmp_path} must read pictures with DINO's image_std [0.229, 0.224, 0.225], got [0.5, 0.5, 0.5]; use a DINO's."
    )


def test_the_files_have_the_published_names(tmp_path):
    from safetensors.torch import load_file

    wanted = {
        "dinov2": "encoder.layer.1.layer_scale2.lambda1",
        "dinov2_with_registers": "embeddings.register_tokens",
        "dinov3_vit": "layer.1.attention.o_proj.weight",
        "dinov3_convnext": "stages.2.layers.1.pointwise_conv2.weight",
    }
    for kind, name in wanted.items():
        save_dino(tmp_path / kind, random_model(kind))
        assert name in load_file(tmp_path / kind / "model.safetensors")
        assert json.loads((tmp_path / kind / "config.json").read_text())["model_type"] == kind


def test_half_a_file_is_refused(tmp_path):
    save_dino(tmp_path, random_model("dinov3_convnext"))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"depths": [1, 1, 3]}))
    assert refusal(load_dino, tmp_path).startswith(
        f"{tmp_path} must hold exactly the weights of its config.json in model.safetensors, got missing ones: "
    )
    path.write_text(json.dumps(config | {"image_size": [64, 32]}))
    assert refusal(load_dino, tmp_path) == (
        "image_size of a DINO must be that of a square, got [64, 32]; use another model."
    )


def test_a_model_of_another_kind_is_refused():
    from transformers import BertConfig

    assert refusal(family_of, BertConfig()) == (
        "a DINO must be of type vit, dinov2, dinov2_with_registers, dinov3_vit, dinov3_convnext, got 'bert'; use one "
        "of these."
    )
