"""Saving a supervised model of mini with its card, written from what was recorded and measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from recipes.cards import LICENCE, sha256, table
from recipes.twins import SPLITS, Training

LIMITS = (
    "It knows only Soundstage's drawn classes. On real videos it means little; it exists to run, test and teach the "
    "toolkit offline."
)
TOLD = {
    "sam": {
        "title": "Mini SAM",
        "is": "A SAM that reads 160-pixel pictures in 20 x 20 patches, in `transformers`' own classes and "
        "folder format",
        "loader": 'moca.foundation.load_sam("mini")',
        "supervision": "the masks of all objects; prompts are their jittered boxes and points in them; the image "
        "encoder also learns the class of every pixel, through a head that is thrown away",
        "loss": "cross-entropy (5) and Dice (1) of the mask, squared error of the IoU it expects; best of three for a "
        "point; cross-entropy (0.5) of the classes",
        "script": "recipes.train_mini_sam",
    },
    "objects": {
        "title": "Mini OWLv2",
        "is": "An OWLv2 that reads 96-pixel pictures in 12 x 12 patches, in `transformers`' own classes and folder "
        "format; its text tower is tiny and was never trained",
        "loader": 'moca.foundation.load_objects("mini")',
        "supervision": "the boxes of all objects, no classes",
        "loss": "L1 (5) and generalised IoU (2) of the boxes of the patches in an object's middle; objectness learns "
        "the IoU of a patch's box",
        "script": "recipes.train_mini_objects",
    },
    "grounding": {
        "title": "Mini Grounding DINO",
        "is": "A Grounding DINO with a small Swin and a one-layer BERT that knows the names of the classes, in "
        "`transformers`' own classes and folder format",
        "loader": 'moca.foundation.load_grounding("mini")',
        "supervision": "the boxes and classes of all objects, asked for by name",
        "loss": "first cross-entropy of the class at every place of the Swin's feature maps; then Grounding DINO's own "
        "(focal for words, L1 and generalised IoU for boxes, after every decoder layer), and the same, with "
        "cross-entropy between the words, for all tokens of the image encoder in the middle of an object",
        "script": "recipes.train_mini_grounding",
    },
    "tagger": {
        "title": "Mini AST",
        "is": "An AST that hears one second in 64 mel bins, in `transformers`' own classes and folder format",
        "loader": 'moca.foundation.load_tagger("mini")',
        "supervision": "the classes heard, off-screen ones included",
        "loss": "binary cross-entropy; half of the sounds are mixed with another one, which adds its classes",
        "script": "recipes.train_mini_tagger",
    },
}


def finish_twin(
    folder: Path,
    name: str,
    save: Callable[..., None],
    training: Training,
    model: nn.Module,
    measured: dict[str, dict[str, float]],
) -> None:
    """Save what a training averaged as float16 with training.json and README.md.

    model: the part of the averaged weights that is kept. measured: by split, "val" and "test".
    """
    save(folder, model, dtype=torch.float16)
    record = {
        "name": name,
        "rounds": [asdict(recipe) for recipe in (*training.rounds, training.recipe)],
        "parameters": sum(p.numel() for p in model.parameters()),
        "minutes": round(training.seconds / 60, 1),
        "last": training.recent(),
        "splits": SPLITS,
        "measured": measured,
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    write_twin_card(folder)
    print((folder / "README.md").read_text())


def write_twin_card(folder: Path) -> None:
    """README.md of a model from its training.json."""
    record = json.loads((folder / "training.json").read_text())
    told, rounds, test = TOLD[record["name"]], record["rounds"], record["measured"]["test"]
    scenes, scenes_seen = rounds[0]["scenes"], sum(_steps(recipe) * recipe["batch"] for recipe in rounds)
    ways = [f"{_steps(recipe):,} steps of {recipe['batch']}, lr {_rates(recipe)}" for recipe in rounds]
    facts = {
        "data": f"{scenes:,} drawn scenes, {scenes_seen:,} seen, half of them mirrored"
        if record["name"] != "tagger"
        else f"the sounds of {scenes:,} drawn scenes, {scenes_seen:,} heard",
        "supervision": told["supervision"],
        "loss": told["loss"],
        "optimiser": f"AdamW, {'; then '.join(ways)}; the running average of the weights "
        f"({rounds[-1]['average']} a step) is kept",
        "seed": rounds[0]["seed"],
        "minutes": f"{record['minutes']} on a CPU shared with other work",
        "last loss": f"{record['last']['loss']:.3f}",
        "weights": f"`model.safetensors`, float16, SHA-256 `{sha256(folder / 'model.safetensors')}`",
        "licence": LICENCE,
    }
    rows = ["| measured | held out | validation |", "|---|---:|---:|"]
    for key, value in test.items():
        other = record["measured"]["val"][key]
        rows.append(f"| {key} | {_shown(value)} | {_shown(other)} |")
    lines = [
        f"# {told['title']}",
        "",
        f"{told['is']}: `{told['loader']}`. {record['parameters']:,} parameters.",
        "",
        table(facts),
        "",
        f"Held out: {_scenes(test)} of the split `{record['splits']['test']}`, which nothing was chosen on; "
        f"validation: `{record['splits']['val']}`.",
        "",
        *rows,
        "",
        f"Made by `python -m {told['script']}`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def _rates(recipe: dict) -> str:
    """Learning rate of a round; models of before there was a choice have none for Muon."""
    muon = recipe.get("muon")
    return str(recipe["lr"]) if muon is None else f"{recipe['lr']}, of linear layers {muon} by Muon"


def _steps(recipe: dict) -> int:
    """Steps of a round that were done."""
    return recipe["until"] or recipe["steps"]


def _scenes(measured: dict[str, float]) -> str:
    return f"{measured['sounds']:,} sounds" if "sounds" in measured else f"{measured['objects']:,} objects"


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
