"""How well features find frames of the same class, and the model card of the mini DINO, written from that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from moca.foundation.dino import Dino
from moca.mining import neighbour_table
from recipes.cards import LICENCE, sha256, table
from recipes.stage_pairs import Pairs, PairsConfig, heard_classes

NEIGHBOURS = (1, 5, 20)
LIMITS = (
    "It knows only Soundstage's drawn classes. On real pictures its neighbours mean little; it exists to run, test "
    "and teach the toolkit offline."
)


def class_purity(features: np.ndarray, classes: np.ndarray, neighbours: int) -> float:
    """Share of every row's nearest neighbours, by cosine of features (N, D), that have its class (N,)."""
    near = neighbour_table(features, neighbours)
    return float((classes[near] == classes[:, None]).mean())


def chance_purity(classes: np.ndarray) -> float:
    """What `class_purity` expects of neighbours drawn at random among the other rows."""
    _, class_numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return float((counts[class_numbers] - 1).mean() / (len(classes) - 1))


def measure_features(models: dict[str, Dino], pairs: Pairs, config: PairsConfig) -> dict:
    """Class purity of the neighbours of single-object frames, by every model, by raw pixels and by chance.

    The class is that of the one sounding object; it is drawn again here and never seen in training. Raw pixels
    are compared as they are, less their mean over the frames.
    """
    rows = np.flatnonzero(pairs.kinds == "single")
    frames = np.asarray(pairs.frames[rows])
    classes = np.array([heard[0] for heard in heard_classes(config, rows)])
    pixels = frames.reshape(len(frames), -1).astype(np.float32)
    features = {"raw pixels": pixels - pixels.mean(0)}
    for name, model in models.items():
        for token in ("patches", "class"):
            features[f"{name}, {token}"] = model.features(frames, token=token)
    counts = [count for count in NEIGHBOURS if count < len(rows)]
    purity = {name: {str(k): class_purity(vectors, classes, k) for k in counts} for name, vectors in features.items()}
    return {
        "frames": len(rows),
        "classes": len(set(classes)),
        "chance": chance_purity(classes),
        "purity": purity,
    }


def write_dino_card(folder: Path) -> None:
    """README.md of the mini DINO from its training.json."""
    training = json.loads((folder / "training.json").read_text())
    recipe, features = training["recipe"], training["features"]
    views, last, first = recipe["views"], training["last"], training["first"]
    frames_seen = recipe["steps"] * recipe["batch"]
    counts = list(next(iter(features["purity"].values())))
    rows = [f"| features | {' | '.join(f'purity@{k}' for k in counts)} |", "|---|" + "---|" * len(counts)]
    for name, purity in features["purity"].items():
        rows.append(f"| {name} | {' | '.join(f'{purity[k]:.3f}' for k in counts)} |")
    rows.append("| chance |" + f" {features['chance']:.3f} |" * len(counts))
    facts = {
        "data": f"{training['learnt_frames']:,} of {recipe['frames']:,} drawn frames, those of kind "
        f"{', '.join(recipe['kinds'])}, each seen about {frames_seen / training['learnt_frames']:.1f} times",
        "supervision": "none: views of a frame belong together; no labels, no masks, no sound",
        "loss": f"DINO's cross-entropy between student and teacher over {recipe['prototypes']:,} prototypes",
        "views": f"2 of {views['global_px']} px and {views['locals']} of {views['local_px']} px; features are "
        "read from whole frames of 112 px",
        "optimiser": f"AdamW, {recipe['steps']:,} steps of {recipe['batch']} frames, lr {recipe['lr']}",
        "seed": recipe["seed"],
        "minutes": f"{training['minutes']} with {training['threads']} thread(s), on a CPU shared with other work",
        "loss, first and last 100 steps": f"{first['loss']:.3f}, {last['loss']:.3f}",
        "prototypes a batch's teacher uses, last 100 steps": (
            f"{last['used']:.1f} together, {last['sure']:.1f} for one view, as exp(entropy)"
        ),
        "weights": f"the teacher, `model.safetensors`, float16, SHA-256 `{sha256(folder / 'model.safetensors')}`",
        "licence": LICENCE,
    }
    lines = [
        "# Mini DINO",
        "",
        f"A ViT of {training['parameters']:,} parameters with 8-pixel patches, in the folder format in which DINO is "
        'published: `moca.foundation.load_dino("mini")`.',
        "",
        table(facts),
        "",
        f"Held-out frames with one object ({features['frames']:,} drawn, split `{training['split']}`, "
        f"{features['classes']} classes): the share of a frame's 1, 5, ... nearest neighbours by cosine that show the "
        "same class. `patches` is the mean of the patch features, by which MoCA mines; `class` the class token. "
        "Untrained: the same ViT with the weights that training began from. No class was seen in training. The views, "
        "the kinds and the starting weights were chosen in short trials that were judged by classes on the split "
        "`encoder-val`; the frames of this table were drawn afterwards.",
        "",
        *rows,
        "",
        f"Read plainly: {_gains(features)}. A view of Soundstage is mostly background, which two views of a frame "
        "share and its class does not, and this run is short: published DINOs saw every picture hundreds of times.",
        "",
        f"Made by `python -m recipes.train_mini_dino`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def _gains(features: dict) -> str:
    """Purity over chance at the largest number of neighbours, of what is mined by and of its controls."""
    names = ("trained, patches", "untrained, patches", "raw pixels")
    last_columns = {name: list(features["purity"][name].items())[-1] for name in names}
    told = [f"{purity / features['chance']:.2f} ({name})" for name, (_, purity) in last_columns.items()]
    return (
        f"among {last_columns[names[0]][0]} neighbours the class is found {', '.join(told)} times as often as by chance"
    )
