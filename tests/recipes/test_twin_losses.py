"""What the supervised recipes learn: prompts, truths and losses, and each recipe from nothing to a loadable model."""

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
from rich.progress import Progress
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    BertConfig,
    GroundingDinoConfig,
    Owlv2Config,
    Owlv2TextConfig,
    Owlv2VisionConfig,
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
    SwinConfig,
)

from moca.foundation.ast_tagger import load_tagger
from moca.foundation.grounding_dino.detector import load_grounding
from moca.foundation.owlv2 import load_objects
from moca.foundation.sam.sam import load_sam
from moca.stage import CLASSES
from recipes import train_mini_grounding, train_mini_objects, train_mini_sam, train_mini_tagger, twins
from recipes.stage_scenes import draw_scenes, scenes_config
from recipes.train_mini_grounding import GroundingLoss
from recipes.train_mini_objects import ObjectsLoss
from recipes.train_mini_sam import SamLoss
from recipes.train_mini_tagger import TaggerLoss, spectrograms
from recipes.twins import Training, TwinRecipe
from recipes.vocabulary import vocabulary

SIDE = 64
ROWS = np.arange(6)


def tiny_sam():
    vision = SamVisionConfig(
        hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8,
        window_size=4, global_attn_indexes=(1,), num_pos_feats=8,
    )  # fmt: skip
    prompts = SamPromptEncoderConfig(hidden_size=16, image_size=SIDE, patch_size=8)
    decoder = SamMaskDecoderConfig(hidden_size=16, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=8)
    return SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)


def tiny_owl():
    sizes = dict(num_hidden_layers=1, num_attention_heads=2)
    vision = Owlv2VisionConfig(hidden_size=128, intermediate_size=32, image_size=SIDE, patch_size=16, **sizes)
    marks = dict(vocab_size=8, bos_token_id=6, eos_token_id=7)
    text = Owlv2TextConfig(hidden_size=8, intermediate_size=8, **marks, **sizes)
    return Owlv2Config(vision_config=vision, text_config=text, projection_dim=8)


def tiny_dino():
    sizes = dict(encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32)
    heads = dict(encoder_attention_heads=2, decoder_attention_heads=2)
    backbone = SwinConfig(
        image_size=SIDE, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 1, 1], window_size=4, drop_path_rate=0.0,
        out_features=["stage2", "stage3"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(vocabulary()), hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, num_queries=12, num_feature_levels=3, max_text_len=64,
        dropout=0.0, fusion_droppath=0.0, auxiliary_loss=True, **sizes, **heads,
    )  # fmt: skip


def tiny_ast():
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, patch_size=16)
    names = dict(id2label=dict(enumerate(CLASSES)), label2id={name: i for i, name in enumerate(CLASSES)})
    return ASTConfig(frequency_stride=16, time_stride=16, max_length=100, num_mel_bins=64, **sizes, **names)


TWINS = {
    "sam": (train_mini_sam, SamLoss, tiny_sam, load_sam),
    "objects": (train_mini_objects, ObjectsLoss, tiny_owl, load_objects),
    "grounding": (train_mini_grounding, GroundingLoss, tiny_dino, load_grounding),
    "tagger": (train_mini_tagger, TaggerLoss, tiny_ast, load_tagger),
}
UNTRAINED = {  # parameters that no loss reaches, and those that are not learnt
    "sam": (("prompt_encoder.mask_embed.", "prompt_encoder.point_embed.0."), ("positional_embedding",)),
    "objects": (("owlv2.logit_scale",), ("owlv2.text_", "class_head.", "visual_projection")),
    "grounding": (("swin.layernorm.",), ()),
    "tagger": ((), ()),
}


class Quiet(Progress):
    """No bar: drawing it again and again takes longer than a tiny model's steps."""

    def __init__(self, *columns):
        super().__init__(*columns, disable=True)


@pytest.fixture(autouse=True)
def tiny_recipes(monkeypatch):
    monkeypatch.setattr(twins, "Progress", Quiet)
    for recipe, _, config, _ in TWINS.values():
        monkeypatch.setattr(recipe, "mini_config", config)
        monkeypatch.setattr(recipe, "TwinRecipe", partial(TwinRecipe, batch=4))
    monkeypatch.setattr(train_mini_grounding, "SIDES", (SIDE, SIDE))
    monkeypatch.setattr(twins, "scenes_config", partial(scenes_config, size=SIDE))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(scenes_config(32, "t", size=SIDE), tmp_path_factory.getbasetemp() / "scenes", workers=1)


# All of them


@pytest.mark.parametrize("name", TWINS)
def test_a_batch_is_learnt_by_the_parts_that_learn(name, scenes):
    recipe, loss_class, _, _ = TWINS[name]
    model, loss_of = recipe.new_model(0).train(), loss_class(scenes)
    start = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses, reached = [], set()
    for _ in range(8):
        loss, figures = loss_of(model, ROWS, np.random.default_rng(0))
        optimiser.zero_grad()
        loss.backward()
        reached |= {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        optimiser.step()
        losses.append(loss.item())
        assert np.isfinite([loss.item(), *figures.values()]).all()
    assert losses[-1] < 0.95 * losses[0] and min(losses) == pytest.approx(losses[-1], rel=0.05)
    unreached, frozen = ({key for key in start if any(part in key for part in parts)} for parts in UNTRAINED[name])
    assert reached == start.keys() - unreached - frozen
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad == (key not in frozen), key
        assert torch.equal(parameter, start[key]) or key not in frozen, key


@pytest.mark.parametrize("name", TWINS)
def test_a_model_starts_from_its_seed_and_a_loss_from_its_generator(name, scenes):
    recipe, loss_class, _, _ = TWINS[name]
    first, same, other = (recipe.new_model(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(same[key], value) for key, value in first.items())
    assert not all(torch.equal(other[key], value) for key, value in first.items())
    model, loss_of, before = recipe.new_model(0).eval(), loss_class(scenes), scenes.frames[ROWS]
    again = [loss_of(model, ROWS, np.random.default_rng(seed))[0].item() for seed in (3, 3, 4)]
    assert again[0] == pytest.approx(again[1], rel=1e-6) and again[0] != pytest.approx(again[2], rel=1e-6)
    np.testing.assert_array_equal(scenes.frames[ROWS], before)  # mirrored copies, never the scenes


ROUNDS = {"grounding": 2}


@pytest.mark.filterwarnings("ignore:No positive class")
@pytest.mark.parametrize("name", TWINS)
def test_from_nothing_to_a_model_and_its_card(name, tmp_path, tmp_path_factory, monkeypatch):
    recipe, _, _, load = TWINS[name]
    out, cache = tmp_path / "out", tmp_path_factory.getbasetemp() / "scenes"
    options = ["--cache", str(cache), "--work", str(tmp_path / "work"), "--workers", "1"]
    options += ["--scenes", "32", "--held-out", "12", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(out), *options])
    recipe.main()
    made, card = json.loads((out / "training.json").read_text()), (out / "README.md").read_text()
    loaded = load(out)
    assert made["name"] == name and set(made["measured"]) == {"val", "test"}
    assert [(recipe["steps"], recipe["scenes"]) for recipe in made["rounds"]] == [(1, 32)] * ROUNDS.get(name, 1)
    held_out = draw_scenes(scenes_config(12, "twin-test", size=SIDE), cache, workers=1)
    counted = {"sounds": 12} if name == "tagger" else {"objects": int((held_out.classes >= 0).sum())}
    assert counted.items() <= made["measured"]["test"].items() and f"{made['parameters']:,} parameters" in card
    trained = torch.load(tmp_path / "work" / f"{name}.pt", weights_only=True)["average"]
    inside = "module.sam." if name == "sam" else "module."
    for key, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, trained[inside + key], rtol=2e-3, atol=1e-4, check_dtype=False)
    if name == "tagger":
        extractor = ASTFeatureExtractor.from_pretrained(out)
        read = extractor([*held_out.sound(slice(0, 3))], sampling_rate=16_000, return_tensors="pt").input_values
        mine = spectrograms(torch.from_numpy(held_out.sound(slice(0, 3))))
        torch.testing.assert_close(mine[:, :98], read[:, :98], atol=2e-3, rtol=1e-3)  # the rest is padding
        assert read.shape == mine.shape and loaded.labels == CLASSES


def test_objectness_reaches_the_trunk(scenes, monkeypatch):
    model = train_mini_objects.new_model(0)
    torch.nn.init.normal_(model.objectness_head.dense2.weight)  # it starts at zero, which passes nothing on
    for weight in ("DISTANCE", "OVERLAP"):
        monkeypatch.setattr(train_mini_objects, weight, 0.0)
    ObjectsLoss(scenes)(model, ROWS, np.random.default_rng(0))[0].backward()
    assert model.owlv2.vision_model.embeddings.patch_embedding.weight.grad.any()


def test_the_tagger_goes_through_the_loop_in_bfloat16(scenes):
    recipe = TwinRecipe(scenes=32, steps=2, batch=8, warmup=1, bf16=True)
    training = Training(train_mini_tagger.new_model(0).train(), recipe)
    for _ in range(2):
        training.step(TaggerLoss(scenes), len(scenes))
    assert np.isfinite(training.history["loss"]).all()
