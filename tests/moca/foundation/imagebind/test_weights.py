"""Weights on disk: the official layout, our folders, and everything that can be wrong with them."""

import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from moca.errors import InputError
from moca.foundation.imagebind import weights as checkpoints
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.folding import fold_batchnorm
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.weights import load_imagebind, save_imagebind

TINY = ImageBindConfig(
    image_width=8, image_blocks=2, image_heads=2, audio_width=6, audio_blocks=2, audio_heads=2, embed_dim=4
)
TENSORS = 392 - 30 * 12 + 177 - 10 * 14


@pytest.fixture(scope="module")
def model():
    return random_imagebind(TINY, seed=0)


@pytest.fixture
def official(model, tmp_path):
    """A checkpoint with the official names and two modalities that are not wanted."""
    others = {
        "modality_preprocessors.text.pos_embed": torch.zeros(1, 3, 4),
        "modality_trunks.depth.blocks.0.norm_1.weight": torch.zeros(4),
    }
    path = tmp_path / "official.pth"
    torch.save({**model.state_dict(), **others}, path)
    return path


def assert_same(model, other, **tolerance):
    torch.testing.assert_close(
        dict(model.state_dict()), dict(other.state_dict()), **(tolerance or {"rtol": 0, "atol": 0})
    )


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The official checkpoint


def test_only_image_and_audio_are_taken_from_the_official_checkpoint(model, official):
    loaded = load_imagebind(official, TINY)
    assert_same(loaded, model)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    pixels = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.embed_image(pixels), model.embed_image(pixels))


def test_a_checkpoint_stored_in_half_precision_becomes_float32(model, tmp_path):
    torch.save({name: tensor.half() for name, tensor in model.state_dict().items()}, tmp_path / "half.pth")
    loaded = load_imagebind(tmp_path / "half.pth", TINY)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert_same(loaded, model, atol=1e-3, rtol=1e-3)


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "none.pth"
    assert refusal(load_imagebind, path, TINY) == (
        f"the checkpoint must be an existing file, got {path}, which is not there; check the path."
    )


@pytest.mark.parametrize("damage", ["empty", "noise", "cut"])
def test_a_damaged_checkpoint_is_refused(official, damage):
    whole = official.read_bytes()
    official.write_bytes({"empty": b"", "noise": b"\x93not a checkpoint" * 99, "cut": whole[: len(whole) // 2]}[damage])
    assert refusal(load_imagebind, official, TINY) == (
        f"{official} must be a PyTorch checkpoint that maps names to tensors, "
        "got a damaged or different file; download it again."
    )


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_code_in_a_checkpoint_is_never_executed(model, tmp_path):
    path, target = tmp_path / "bomb.pth", tmp_path / "exploded"
    torch.save({**model.state_dict(), "modality_trunks.text.bomb": Bomb(target)}, path)
    assert refusal(load_imagebind, path, TINY) == (
        f"{path} must be a PyTorch checkpoint that maps names to tensors, "
        "got other objects, which are never loaded; download it again."
    )
    assert not target.exists()
    torch.load(path, weights_only=False)  # it would have gone off
    assert target.exists()


def test_something_else_than_a_state_dict_is_refused(tmp_path):
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(2)], path)
    assert refusal(load_imagebind, path, TINY) == (
        f"{path} must be a PyTorch checkpoint that maps names to tensors, "
        "got a list with something else in it; use the plain weights."
    )


def test_missing_unknown_and_misshapen_tensors_are_named(model, tmp_path):
    path = tmp_path / "other.pth"
    rule = f"{path} must hold exactly the {TENSORS} image and audio tensors of its configuration, got "
    state = dict(model.state_dict())
    torch.save({k: v for k, v in state.items() if ".vision.blocks.1." not in k}, path)
    block = "modality_trunks.vision.blocks.1"
    assert refusal(load_imagebind, path, TINY) == (
        f"{rule}12 missing: {block}.attn.in_proj_weight, {block}.attn.in_proj_bias, "
        f"{block}.attn.out_proj.weight and 9 more; use the right file or configuration."
    )
    torch.save({**state, "modality_trunks.audio.extra": torch.zeros(1)}, path)
    assert refusal(load_imagebind, path, TINY) == (
        f"{rule}1 unknown: modality_trunks.audio.extra; use the right file or configuration."
    )
    torch.save({**state, "modality_heads.audio.2.weight": torch.zeros(5, 6)}, path)
    assert refusal(load_imagebind, path, TINY) == (
        f"{rule}1 of another shape: modality_heads.audio.2.weight [5, 6] instead of [4, 6]; "
        "use the right file or configuration."
    )


# Our folders


@pytest.mark.parametrize("config", [TINY, ImageBindConfig.mini()], ids=["tiny", "mini"])
def test_a_saved_model_comes_back(config, tmp_path):
    model = random_imagebind(config, seed=4)
    save_imagebind(tmp_path / "encoder", model)
    assert sorted(p.name for p in (tmp_path / "encoder").iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_imagebind(tmp_path / "encoder")
    assert loaded.config == config
    assert_same(loaded, model)
    assert load_imagebind(tmp_path / "encoder", config).config == config


def test_a_folded_model_comes_back(tmp_path):
    folded = fold_batchnorm(random_imagebind(ImageBindConfig.mini(), seed=4))
    save_imagebind(tmp_path, folded)
    assert load_imagebind(tmp_path).config.folded
    assert_same(load_imagebind(tmp_path), folded)


def test_float16_halves_the_file_and_loads_as_float32(model, tmp_path):
    save_imagebind(tmp_path / "full", model)
    save_imagebind(tmp_path / "half", model, dtype=torch.float16)
    full, half = ((tmp_path / name / "model.safetensors") for name in ("full", "half"))
    assert half.stat().st_size < 0.6 * full.stat().st_size
    stored = load_file(half)
    scale = stored.pop("modality_postprocessors.audio.1.log_logit_scale")
    assert scale.dtype == torch.float32
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = load_imagebind(tmp_path / "half")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert_same(loaded, model, atol=1e-3, rtol=1e-3)


def test_what_float16_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    model = random_imagebind(TINY, seed=0)
    model.modality_heads["audio"][2].weight.data[0, 0] = 1e6
    assert refusal(save_imagebind, tmp_path / "out", model, dtype=torch.float16) == (
        "modality_heads.audio.2.weight must be finite in float16, got values that are not; "
        "store float32, or mend the training."
    )
    assert not (tmp_path / "out").exists()
    assert refusal(save_imagebind, tmp_path, model, dtype=torch.int8) == (
        "dtype must be float32, float16 or bfloat16, got torch.int8; choose one of them."
    )
    save_imagebind(tmp_path / "out", model)


def test_a_failed_save_leaves_the_older_model_alone(model, tmp_path, monkeypatch):
    save_imagebind(tmp_path, model)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full_disk(tensors, target, metadata):
        target.write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_imagebind(tmp_path, random_imagebind(TINY, seed=9))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_damaged_folder_is_refused(model, tmp_path):
    save_imagebind(tmp_path, model)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    whole, document = weights.read_bytes(), json.loads(config.read_text())
    for damaged in (b"", b"{" * 40, whole[:-10], whole[:100]):
        weights.write_bytes(damaged)
        assert refusal(load_imagebind, tmp_path) == (
            f"{weights} must be a complete safetensors file, got a damaged one; restore it."
        )
    weights.unlink()
    assert refusal(load_imagebind, tmp_path) == (
        f"the weights must be an existing file, got {weights}, which is not there; check the path."
    )
    weights.write_bytes(whole)
    config.write_text(json.dumps({**document, "format": 2}))
    assert refusal(load_imagebind, tmp_path) == f"{config} must have format 1, got 2; update MoCA-AVS."
    config.write_text(json.dumps({**document, "kind": "dino"}))
    assert refusal(load_imagebind, tmp_path) == (
        f"{config} must be of kind 'imagebind', got 'dino'; use an ImageBind folder."
    )
    config.write_text("[1")
    assert refusal(load_imagebind, tmp_path) == f"{config} must be a JSON document, got something else; restore it."
    config.write_text("[]")
    assert refusal(load_imagebind, tmp_path) == (
        f"{config} must be an object with exactly format, kind and config; restore it."
    )
    config.unlink()
    assert refusal(load_imagebind, tmp_path) == (
        f"the model's configuration must be an existing file, got {config}, which is not there; check the path."
    )


def test_another_configuration_than_the_saved_one_is_refused(model, tmp_path):
    save_imagebind(tmp_path, model)
    assert refusal(load_imagebind, tmp_path, replace(TINY, temperature=0.2)) == (
        f"{tmp_path} was saved with another configuration than the one given; leave config out."
    )
