"""Cards of the supervised models say what was recorded and measured, and nothing that was typed in."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from recipes import train_mini_grounding, train_mini_objects, train_mini_sam, train_mini_tagger, twin_cards
from recipes.cards import sha256
from recipes.twin_cards import TOLD, finish_twin, write_twin_card
from recipes.twins import SPLITS, Training, TwinRecipe

SMALL = TwinRecipe(scenes=20, steps=5, batch=4, warmup=2, lr=0.05, average=0.5)


def loss_of(model, rows, rng):
    return model(torch.ones(len(rows), 8)).square().mean(), {}


MEASURED = {
    "val": {"objects": 4_321, "AP50": 0.12345, "recall": 0.5},
    "test": {"objects": 1_234, "AP50": 0.98765, "recall": 0.25},
}


def saved(folder, model, *, dtype):
    folder.mkdir()
    assert dtype == torch.float16 and not model.training
    (folder / "model.safetensors").write_bytes(b"weights")


def test_a_card_says_what_was_recorded_and_measured(tmp_path, capsys):
    training = Training(torch.nn.Linear(8, 1), SMALL)
    for _ in range(5):
        training.step(loss_of, 20)
    training.seconds = 754.0
    folder = tmp_path / "objects"
    finish_twin(folder, "objects", saved, training, training.averaged(), MEASURED)
    made, card = json.loads((folder / "training.json").read_text()), (folder / "README.md").read_text()
    assert capsys.readouterr().out == card + "\n"
    assert made["rounds"] == [asdict(SMALL)] and made["measured"] == MEASURED and made["splits"] == SPLITS
    assert made["parameters"] == 9 and made["last"] == training.recent()
    for words in (
        "| AP50 | 0.988 | 0.123 |",
        "| recall | 0.250 | 0.500 |",
        "| objects | 1,234 | 4,321 |",
        "Held out: 1,234 objects of the split `twin-test`",
        "validation: `twin-val`",
        " 9 parameters",
        "12.6 on a CPU",
        f"| last loss | {training.recent()['loss']:.3f} |",
        "20 drawn scenes, 20 seen",
        "AdamW, 5 steps of 4, lr 0.05; the running average of the weights (0.5 a step)",
        sha256(folder / "model.safetensors"),
        "python -m recipes.train_mini_objects",
    ):
        assert words in card, words


@pytest.mark.parametrize("name", TOLD)
def test_no_figure_of_a_card_is_typed_in(tmp_path, name):
    count = "sounds" if name == "tagger" else "objects"
    first = TwinRecipe(scenes=1_111, steps=222, batch=33, lr=0.0444, average=0.555, seed=66)
    rounds = [asdict(first), asdict(replace(first, steps=100, lr=0.0333, muon=0.07))]
    del rounds[0]["muon"]  # as models have it that were trained before there was a choice
    made = {"name": name, "rounds": rounds, "parameters": 7_777, "minutes": 8.8, "last": {"loss": 9.999}}
    measured = {split: {count: 1_010, "mAP": figure} for split, figure in (("val", 0.111), ("test", 0.222))}
    made |= {"measured": measured, "splits": {"test": "the-test", "val": "the-val"}}
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "training.json").write_text(json.dumps(made))
    write_twin_card(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "AdamW, 222 steps of 33, lr 0.0444; then 100 steps of 33, lr 0.0333, of linear layers 0.07 by Muon;" in card
    for words in ("1,111", "10,626", "0.555", "| seed | 66 |", "7,777", "8.8", "9.999", "1,010"):
        assert words in card, words
    assert "| mAP | 0.222 | 0.111 |" in card and "`the-test`" in card and "`the-val`" in card
    assert f"load_{name}" in card and twin_cards.LIMITS in card


def test_what_cards_say_of_the_models_is_so():
    sam, owl, ast = (part.mini_config() for part in (train_mini_sam, train_mini_objects, train_mini_tagger))
    for words, vision in (("sam", sam.vision_config), ("objects", owl.vision_config)):
        side = vision.image_size // vision.patch_size
        assert f"{vision.image_size}-pixel pictures in {side} x {side} patches" in TOLD[words]["is"]
    assert f"{ast.num_mel_bins} mel bins" in TOLD["tagger"]["is"] and train_mini_tagger.MIXED == 0.5
    assert train_mini_grounding.mini_config().text_config.num_hidden_layers == 1
    pixels, dice = train_mini_sam.PIXEL_WEIGHT, train_mini_sam.DICE_WEIGHT
    assert f"cross-entropy ({pixels:.0f}) and Dice ({dice:.0f})" in TOLD["sam"]["loss"]
    assert f"cross-entropy ({train_mini_sam.CLASS_WEIGHT}) of the classes" in TOLD["sam"]["loss"]
    distance, overlap = train_mini_objects.DISTANCE, train_mini_objects.OVERLAP
    assert f"L1 ({distance:.0f}) and generalised IoU ({overlap:.0f})" in TOLD["objects"]["loss"]
