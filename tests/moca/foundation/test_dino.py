"""DINO features against transformers' own, the published file format, and everything that can be wrong with it."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTModel
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.utils import logging

from moca.errors import InputError
from moca.foundation import pretrained
from moca.foundation.dino import Dino, load_dino, preprocess_frames, save_dino

TINY = ViTConfig(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    image_size=32,
    patch_size=8,
)
# The names in facebook/dino-vits8's file, of a model of two layers.
LAYER = (
    *(f"attention.attention.{part}" for part in ("query", "key", "value")),
    *("attention.output.dense", "intermediate.dense", "output.dense", "layernorm_before", "layernorm_after"),
)
PUBLISHED = {
    "embeddings.cls_token",
    "embeddings.position_embeddings",
    *(f"embeddings.patch_embeddings.projection.{kind}" for kind in ("weight", "bias")),
    *(f"encoder.layer.{i}.{part}.{kind}" for i in range(2) for part in LAYER for kind in ("weight", "bias")),
    *(f"layernorm.{kind}" for kind in ("weight", "bias")),
}


def random_vit(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ViTModel(TINY, add_pooling_layer=False)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no bias is zero and no gain is one
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return model.eval()


@pytest.fixture(scope="module")
def vit():
    return random_vit()


@pytest.fixture
def folder(vit, tmp_path):
    save_dino(tmp_path / "dino", vit)
    return tmp_path / "dino"


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Agreement with transformers


@torch.no_grad()
def test_features_are_what_transformers_computes(vit, folder, frames):
    processor = ViTImageProcessorPil.from_pretrained(folder)
    pixels = processor(list(frames), return_tensors="pt")["pixel_values"]
    tokens = vit(pixels).last_hidden_state.numpy()
    loaded = load_dino(folder)
    np.testing.assert_allclose(loaded.features(frames), tokens[:, 1:].mean(1), atol=1e-5)
    np.testing.assert_allclose(loaded.features(frames, token="class"), tokens[:, 0], atol=1e-5)
    by_row = tokens[:, 1:].reshape(5, 4, 4, 16)
    np.testing.assert_allclose(loaded.patches(frames), by_row, atol=1e-5)
    assert not np.allclose(loaded.features(frames), tokens[:, 0], atol=1e-2)


def test_frames_are_stretched_and_normalised_as_transformers_does(folder):
    frame = np.random.default_rng(2).integers(0, 256, (50, 41, 3), dtype=np.uint8)
    processor = ViTImageProcessorPil.from_pretrained(folder)
    expected = processor(frame, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(preprocess_frames([frame], 32), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_another_size_has_its_positions_interpolated(vit, frames):
    larger = Dino(vit, image_size=48)
    expected = vit(preprocess_frames(frames, 48), interpolate_pos_encoding=True).last_hidden_state
    assert larger.patches(frames).shape == (5, 6, 6, 16) and larger.grid == 6
    np.testing.assert_allclose(larger.features(frames), expected[:, 1:].mean(1), atol=1e-6)


# Laws


def test_features_are_the_mean_of_the_patches(vit, frames):
    model = Dino(vit)
    np.testing.assert_allclose(model.features(frames), model.patches(frames).mean((1, 2)), atol=1e-6)
    assert model.features(frames).dtype == model.patches(frames).dtype == np.float32


def test_the_batch_changes_nothing_and_the_frame_does(vit, frames):
    model = Dino(vit)
    whole = model.features(frames)
    np.testing.assert_allclose(model.features(frames, batch=2), whole, atol=1e-6)
    np.testing.assert_allclose(model.features(frames[::-1], batch=3), whole[::-1], atol=1e-6)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_a_patch_is_where_it_is_seen(vit):
    """Of two pictures that differ in one patch, that patch's feature differs most."""
    frame = np.full((32, 32, 3), 90, np.uint8)
    other = frame.copy()
    other[8:16, 16:24] = (250, 10, 10)
    plain, changed = Dino(vit).patches(np.stack([frame, other]))
    moved = np.linalg.norm(changed - plain, axis=-1)
    assert np.unravel_index(moved.argmax(), moved.shape) == (1, 2)


def test_frames_may_be_memory_mapped_of_several_sizes_or_absent(vit, frames, tmp_path):
    np.save(tmp_path / "frames.npy", frames)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    model = Dino(vit)
    np.testing.assert_array_equal(model.features(mapped), model.features(frames))
    assert model.features([frames[0], np.zeros((9, 70, 3), np.uint8)]).shape == (2, 16)
    assert model.features(frames[:0]).shape == (0, 16) and model.patches([]).shape == (0, 4, 4, 16)


def test_the_model_is_frozen(vit, folder):
    model = load_dino(folder).model
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_bfloat16_is_close_and_not_the_same(folder, frames):
    exact, rough = load_dino(folder), load_dino(folder, dtype=torch.bfloat16)
    assert rough.model.dtype == torch.bfloat16
    features, expected = rough.features(frames), exact.features(frames)
    assert features.dtype == np.float32
    assert 0 < np.abs(features - expected).max() < 0.1
    assert Dino(rough.model, image_size=48).features(frames).shape == (5, 16)


# Files


def test_the_file_has_the_published_names(folder):
    assert set(load_file(folder / "model.safetensors")) == PUBLISHED
    assert json.loads((folder / "config.json").read_text())["model_type"] == "vit"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors", "preprocessor_config.json"]


def test_half_precision_halves_the_file_and_computes_in_float32(vit, tmp_path, frames):
    save_dino(tmp_path / "whole", vit)
    save_dino(tmp_path / "half", vit, dtype=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.65 * sizes[1]
    half = load_dino(tmp_path / "half")
    assert half.model.dtype == torch.float32 and vit.dtype == torch.float32
    np.testing.assert_allclose(half.features(frames), Dino(vit).features(frames), atol=2e-2)


def test_saving_twice_keeps_the_last(vit, folder, frames):
    other = random_vit(seed=5)
    assert not np.allclose(Dino(other).features(frames), Dino(vit).features(frames), atol=1e-2)
    save_dino(folder, other)
    np.testing.assert_allclose(load_dino(folder).features(frames), Dino(other).features(frames), atol=1e-6)


def test_a_model_that_is_not_finite_is_refused_and_the_old_files_stay(vit, folder, frames):
    broken = random_vit()
    with torch.no_grad():
        broken.layernorm.bias[3] = 1e6
    assert refusal(save_dino, folder, broken, dtype=torch.float16) == (
        "layernorm.bias must be finite in float16, got values that are not; store float32, or mend the training."
    )
    np.testing.assert_array_equal(load_dino(folder).features(frames), Dino(vit).features(frames))
    save_dino(folder, broken)  # float32 holds it


def test_loading_says_nothing_and_leaves_the_reports_of_transformers_on(folder, capfd):
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_dino(folder)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_pooling_layer_in_the_file_is_left_out(vit, folder, frames):
    weights = load_file(folder / "model.safetensors")
    extra = {"pooler.dense.weight": torch.zeros(16, 16), "pooler.dense.bias": torch.zeros(16)}
    save_file({**weights, **extra}, folder / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_array_equal(load_dino(folder).features(frames), Dino(vit).features(frames))


# Refusals


RULE = "{} must hold exactly the weights of its config.json in model.safetensors"


@pytest.mark.parametrize("damage", ["cut", "noise", "shape"])
def test_a_damaged_file_is_refused(folder, damage):
    path = folder / "model.safetensors"
    weights, whole = load_file(path), path.read_bytes()
    if damage == "shape":
        save_file({**weights, "layernorm.bias": torch.zeros(3)}, path, metadata={"format": "pt"})
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "noise": b"\x93not safetensors" * 99}[damage])
    assert refusal(load_dino, folder) == (
        f"{RULE.format(folder)}, got a damaged file, or one that does not fit it; restore it."
    )


def test_a_missing_or_unknown_weight_is_refused(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    absent = {name: tensor for name, tensor in weights.items() if name != "layernorm.weight"}
    save_file(absent, path, metadata={"format": "pt"})
    assert refusal(load_dino, folder) == f"{RULE.format(folder)}, got missing ones: layernorm.weight; restore it."
    more = {f"encoder.layer.2.output.dense.{kind}": torch.zeros(16) for kind in ("weight", "bias")}
    save_file({**weights, **more}, path, metadata={"format": "pt"})
    message = refusal(load_dino, folder)
    assert message.startswith(f"{RULE.format(folder)}, got unknown ones: ") and message.endswith(
        " and 1 more; restore it."
    )


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_only_safetensors_are_read(vit, folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert refusal(load_dino, folder) == (
        f"{RULE.format(folder)}, which is not there (no other format is read); restore or convert it."
    )
    torch.save(vit.state_dict(), folder / "pytorch_model.bin")
    assert "no other format is read" in refusal(load_dino, folder)
    assert not (tmp_path / "exploded").exists()


def test_another_kind_of_model_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "swin"}))
    assert refusal(load_dino, folder) == (
        f"{folder} must be a model of type 'vit' or 'dinov2' or 'dinov2_with_registers' or 'dinov3_vit' or "
        "'dinov3_convnext', got 'swin'; use one such as facebook/dino-vits8."
    )
    (folder / "config.json").write_text("[1, 2")
    assert refusal(load_dino, folder) == (
        f"config.json of {folder} must be a JSON object, got something else; restore it."
    )
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "wide"}))
    assert refusal(load_dino, folder).endswith("got a damaged file, or one that does not fit it; restore it.")


def test_a_vit_that_reads_pictures_otherwise_is_refused(folder):
    path = folder / "preprocessor_config.json"
    reading = json.loads(path.read_text())
    path.write_text(json.dumps({**reading, "image_mean": [0.5, 0.5, 0.5]}))
    assert refusal(load_dino, folder) == (
        f"{folder} must read pictures with DINO's image_mean [0.485, 0.456, 0.406], got [0.5, 0.5, 0.5]; use a DINO's."
    )
    path.unlink()  # a folder without the file is read as DINO's
    load_dino(folder)


def test_names_that_mean_nothing_are_refused(tmp_path):
    path = tmp_path / "none"
    assert refusal(load_dino, path) == (
        f"dino must be mini, a name of moca weights list, a folder with a config.json or a hub id such as "
        f"facebook/dino-vits8, got {path}, which is none of these; check the path."
    )
    path.mkdir()
    assert refusal(load_dino, path) == (
        f"{path} must hold a config.json, which is not there; use a folder like that of facebook/dino-vits8."
    )


def test_a_hub_out_of_reach_is_one_line(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nto load the files.")

    monkeypatch.setattr(pretrained, "cached_file", unreachable)
    assert refusal(load_dino, "facebook/dino-vits8") == (
        "dino facebook/dino-vits8 must be a folder or a model of the hub, got one that is neither here nor within "
        "reach; check the name and the connection, or use mini."
    )


def test_settings_out_of_range_are_refused(vit, folder, frames):
    assert refusal(load_dino, folder, dtype=torch.float16) == (
        "dtype must be float32 or bfloat16, got torch.float16; choose one of them."
    )
    assert refusal(save_dino, folder, vit, dtype=torch.float64) == (
        "dtype must be float32, float16 or bfloat16, got torch.float64; choose one of them."
    )
    for size in (0, 30, -8):
        assert refusal(load_dino, folder, image_size=size) == (
            f"image_size must be a multiple of the patch (8 pixels), got {size}; change it."
        )
    assert refusal(Dino(vit).features, frames, token="mean") == (
        "token must be 'patches' or 'class', got 'mean'; choose one of them."
    )
    assert refusal(Dino(vit).features, frames, batch=0) == "batch must be at least 1 frame, got 0; raise it."
    assert refusal(Dino(vit).features, frames.astype(np.float32)) == (
        "a frame must be a uint8 array of shape (height, width, 3), got float32 (32, 32, 3) for frame 0; "
        "convert it to RGB."
    )


# The bundled model


def test_the_bundled_model_reads_frames():
    model = load_dino("mini")
    assert (model.image_size, model.grid, model.width) == (112, 14, 128)
    frames = np.random.default_rng(3).integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    features = model.features(frames)
    assert features.shape == (2, 128) and np.isfinite(features).all()
    assert np.linalg.norm(features[0] - features[1]) > 0
