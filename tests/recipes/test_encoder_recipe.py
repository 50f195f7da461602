"""The mini ImageBind's recipe: both poolings, their optimisers, stopping and going on, parts kept still."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.folding import fold_batchnorm
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.weights import save_imagebind
from moca.foundation.preprocessing import preprocess_frames
from recipes import cards, still_parts, train_mini_imagebind
from recipes.encoder_optimisers import Optimisers
from recipes.encoder_recipe import EncoderRecipe
from recipes.encoder_retrieval import CANDIDATES, retrieval
from recipes.muon import Muon
from recipes.stage_pairs import ENCODER_MIX, PairsConfig, draw_pairs

DRAWN = PairsConfig(count=40, split="t", mix=tuple(ENCODER_MIX.items()))
SHORT = {"frames": 40, "steps": 4, "batch": 8, "warmup": 1}


def config_of(pooling):
    return replace(
        ImageBindConfig.mini(), pooling=pooling, image_width=16, audio_width=16, image_blocks=1, audio_blocks=1
    )


def new(pooling, seed=0):
    return random_imagebind(config_of(pooling), seed).requires_grad_(True)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return draw_pairs(DRAWN, tmp_path_factory.mktemp("pairs"), workers=1)


@pytest.fixture
def teacher(tmp_path):
    model = fold_batchnorm(new("dense", seed=5))
    save_imagebind(tmp_path / "dense", model, dtype=torch.float16)
    return tmp_path / "dense"


@pytest.mark.parametrize("pooling", ["class", "dense"])
def test_a_stopped_run_ends_where_an_unstopped_one_does(tmp_path, pairs, monkeypatch, pooling):
    recipe = EncoderRecipe.of(pooling, **SHORT)
    for name in ("whole", "parts", "other"):
        (tmp_path / name).mkdir()
    whole, losses, _ = train_mini_imagebind.train(recipe, pairs, tmp_path / "whole", new(pooling), save_every=2)
    step = train_mini_imagebind._step

    def stop(*arguments):
        if arguments[4] == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(train_mini_imagebind, "_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train_mini_imagebind.train(recipe, pairs, tmp_path / "parts", new(pooling), save_every=2)
    monkeypatch.setattr(train_mini_imagebind, "_step", step)
    parts, resumed, _ = train_mini_imagebind.train(recipe, pairs, tmp_path / "parts", new(pooling), save_every=2)
    assert resumed == losses and len(losses) == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(parts.state_dict()[name], value), name
    other = replace(recipe, seed=1)
    moved, _, _ = train_mini_imagebind.train(other, pairs, tmp_path / "other", new(pooling))
    assert not torch.equal(moved.modality_heads["audio"][2].weight, whole.modality_heads["audio"][2].weight)
    with pytest.raises(InputError, match="another recipe"):
        train_mini_imagebind.train(other, pairs, tmp_path / "parts", new(pooling))


def test_class_pooling_contrasts_the_class_token_helped_by_the_mean_at_first(tmp_path, pairs, monkeypatch):
    similarities, seen = train_mini_imagebind.similarities, []

    def watched(model, tokens, audio, helped):
        found = similarities(model, tokens, audio, helped)
        direct = model.class_direction(tokens)
        assert torch.equal(found[0], direct @ audio.T)
        torch.testing.assert_close(direct.float().norm(dim=-1), torch.ones(8), atol=1e-2, rtol=0)
        seen.append(len(found))
        return found

    monkeypatch.setattr(train_mini_imagebind, "similarities", watched)
    recipe = EncoderRecipe(**SHORT, mean_until=0.5, full_from=0.0)
    model, losses, _ = train_mini_imagebind.train(recipe, pairs, tmp_path, new("class"))
    assert seen == [2, 2, 1, 1] and np.isfinite(losses).all()
    pixels = preprocess_frames(pairs.frames[:3], model.config.image_size)
    with torch.no_grad():  # what is contrasted is what the trained model embeds a picture as
        torch.testing.assert_close(model.class_direction(model.read_image(pixels)), model.embed_image(pixels))


def test_dense_pooling_contrasts_patches_and_learns_by_adamw_alone(tmp_path, pairs, monkeypatch):
    similarities, seen = train_mini_imagebind.similarities, []

    def watched(model, tokens, audio, helped):
        found = similarities(model, tokens, audio, helped)
        assert torch.equal(found[0], model.pooled_similarity(model.project_image(tokens).float(), audio))
        seen.append(len(found))
        return found

    monkeypatch.setattr(train_mini_imagebind, "similarities", watched)
    recipe = EncoderRecipe.of("dense", **SHORT)
    train_mini_imagebind.train(recipe, pairs, tmp_path, new("dense"))
    assert seen == [1, 1, 1, 1]
    assert [type(one) for one in Optimisers(new("dense"), torch.zeros(()), recipe).each] == [torch.optim.AdamW]


def test_muon_moves_the_matrices_of_the_trunks_and_adamw_every_other_parameter():
    model, scale = new("class"), torch.zeros((), requires_grad=True)
    adamw, muon = Optimisers(model, scale, EncoderRecipe()).each
    assert isinstance(adamw, torch.optim.AdamW) and isinstance(muon, Muon)
    named = {id(parameter): name for name, parameter in model.named_parameters()} | {id(scale): "scale"}
    of = [{named[id(p)] for group in one.param_groups for p in group["params"]} for one in (adamw, muon)]
    assert of[0] | of[1] == set(named.values()) and not of[0] & of[1]
    assert all("trunks" in name and name.endswith("weight") for name in of[1]) and len(of[1]) == 2 * 4


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (8, 8)])
def test_muon_is_torchs_but_for_bfloat16(shape):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    one = Muon([ours], 0.03, weight_decay=0.02)
    other = torch.optim.Muon([theirs], 0.03, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    with torch.no_grad():
        assert (ours - theirs).norm() < 0.03 * (theirs - start).norm() and (theirs - start).norm() > 0.01


def test_parts_that_are_kept_still_do_not_move_and_sounds_are_embedded_once(tmp_path, pairs, teacher, monkeypatch):
    model = still_parts.take_over(teacher, config_of("class"), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    taught = still_parts.load_imagebind(teacher).state_dict()
    kept = {name for name in before if still_parts.is_still(name)}
    assert len(kept) > 20 and all(torch.equal(before[name], taught[name]) for name in kept)
    sounds = still_parts.sounds_of(teacher, model, pairs, DRAWN, tmp_path)
    assert sounds.shape == (40, model.config.embed_dim)
    torch.testing.assert_close(sounds.norm(dim=1), torch.ones(40))
    model, losses, _ = train_mini_imagebind.train(EncoderRecipe(**SHORT), pairs, tmp_path, model, sounds=sounds)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not moved & kept and np.isfinite(losses).all()
    assert {"modality_preprocessors.vision.cls_token", "modality_heads.vision.2.weight"} <= moved

    def refuse(*_, **__):
        raise AssertionError("embedded again")

    monkeypatch.setattr(still_parts, "embed_sounds", refuse)
    assert torch.equal(still_parts.sounds_of(teacher, model, pairs, DRAWN, tmp_path), sounds)
    with pytest.raises(AssertionError, match="embedded again"):  # another encoder's are not taken
        save_file({"x": torch.zeros(1)}, teacher / "model.safetensors")
        still_parts.sounds_of(teacher, model, pairs, DRAWN, tmp_path)


def test_an_encoder_of_another_size_is_refused(teacher):
    with pytest.raises(InputError, match="image_blocks 2, got 1; give another"):
        still_parts.take_over(teacher, replace(config_of("class"), image_blocks=2), 0)


def test_retrieval_is_measured_in_groups_that_share_no_frame(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.encoder_retrieval.CANDIDATES", 6)
    config = PairsConfig(count=14, split="g", mix=(("single", 1.0),))
    pairs = draw_pairs(config, tmp_path, workers=1)
    model, seen = new("class").eval(), []
    monkeypatch.setattr(
        "recipes.encoder_retrieval.preprocess_frames", lambda *a: seen.append(a[0]) or preprocess_frames(*a)
    )
    found = retrieval(model, pairs, config, groups=2)
    assert [one["candidates"] for one in found] == [6, 6] and CANDIDATES == 200
    np.testing.assert_array_equal(np.concatenate(seen), pairs.frames[:12])


@pytest.mark.parametrize("pooling", ["class", "dense"])
def test_the_card_says_what_was_pooled_learnt_and_found(tmp_path, pooling):
    found = {"candidates": 200, "classes": 14, "recall@1": 0.1, "recall@5": 0.4, "class@1": 0.9}
    told = {
        "recipe": EncoderRecipe.of(pooling).__dict__, "mix": {"single": 1.0}, "parameters": 2_000, "learnt": 1_000,
        "still": None if pooling == "dense" else "abc", "precision": "float32", "minutes": 3.0, "last_loss": 2.0,
        "retrieval": found, "test": [found, found | {"class@1": 0.8}],
    }  # fmt: skip
    (tmp_path / "training.json").write_text(cards.json.dumps(told))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    cards.write_encoder_card(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "| class of the sound found first (chance about 0.071) | 0.900 | 0.850 | 0.900, 0.800 |" in card
    assert ("Muon, lr 0.003" in card, "class token" in card, "kept still" in card) == (pooling == "class",) * 3
    assert ("--pooling dense" in card) == (pooling == "dense")
