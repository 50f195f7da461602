"""How well features find frames of the same class and tell an object from the rest, and the mini DINO's model card."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from moca.foundation.dino import Dino
from moca.mining import neighbour_table
from moca.mining.features import unit_rows
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


def measure_affinity(models: dict[str, Dino], pairs: Pairs) -> dict:
    """How well the likeness to an object's middle separates the object from the rest, on S4-like frames, as AUC.

    See `patch_affinity`; the mean over the frames whose object covers two places or more. Raw colours are the mean
    colour of a place, at the grid of the first model.
    """
    rows = np.flatnonzero(pairs.kinds == "s4")
    frames, masks = np.asarray(pairs.frames[rows]), np.asarray(pairs.masks[rows]) > 0
    maps = {name: model.patches(frames) for name, model in models.items()}
    grid = next(iter(maps.values())).shape[1]
    colours = _squares(frames.astype(np.float32) / 255, grid)
    maps["raw colours"] = colours - colours.mean((0, 1, 2))
    measured = {name: [patch_affinity(*one) for one in zip(cells, masks, strict=True)] for name, cells in maps.items()}
    auc = {name: float(np.nanmean(values)) for name, values in measured.items()}
    return {"frames": len(rows), "auc": auc}


def patch_affinity(cells: np.ndarray, mask: np.ndarray) -> float:
    """AUC of the cosine with the place in an object's middle, of places inside it against those outside.

    cells (G, G, D) features, mask (H, W) bool with H and W multiples of G. A place is inside when the mask covers
    half of it or more, outside when none of it, and the middle is the inside place nearest to the mask's mean; it is
    not judged itself. 0.5 is chance, 1 is best; NaN without two places inside and one outside.
    """
    grid = len(cells)
    covered = _squares(mask[None, ..., None].astype(np.float32), grid)[0, ..., 0]
    inside, outside = covered >= 0.5, covered == 0
    if inside.sum() < 2 or not outside.any():
        return float("nan")
    centre = np.argwhere(mask).mean(0) * grid / np.array(mask.shape) - 0.5
    places = np.argwhere(inside)
    middle = tuple(places[((places - centre) ** 2).sum(1).argmin()])
    unit = unit_rows(cells)
    cosines = unit @ unit[middle]
    inside[middle] = False
    above = cosines[inside][:, None] - cosines[outside][None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def _squares(pictures: np.ndarray, grid: int) -> np.ndarray:
    """Means of pictures (B, H, W, C) over grid x grid squares, (B, grid, grid, C)."""
    count, height, width, channels = pictures.shape
    return pictures.reshape(count, grid, height // grid, grid, width // grid, channels).mean((2, 4))


def write_dino_card(folder: Path) -> None:
    """README.md of the mini DINO from its training.json."""
    training = json.loads((folder / "training.json").read_text())
    first, then, runs = training["takes_recipe"], training["recipe"], training["runs"]
    views, shipped, objects = first["views"], runs[0], training["objects"]
    features, affinity, found = shipped["features"], shipped["affinity"], shipped["finding"]
    seen = [recipe["steps"] * recipe["batch"] / objects for recipe in (first, then)]
    minutes = [f"{run['finding']['minutes']} + {run['imitating']['minutes']}" for run in runs]
    facts = {
        "data": f"two takes of each of {objects:,} drawn objects: one object in two scenes, with another ground, "
        f"light, camera, clutter, place, angle and size; each seen about {seen[0]:.1f} and {seen[1]:.1f} times",
        "supervision": "none: takes of one object belong together; no labels, no masks, no sound",
        "first": f"a convolution net of width {first['width']} learns by InfoNCE between the takes of {first['batch']} "
        f"objects, temperature {first['temperature']}, by a projection of the mean of its map; "
        f"{first['steps']:,} steps",
        "then": "the ConvNeXt learns the net's features at every place, as mean square; "
        f"{then['steps']:,} steps of {then['batch']} objects",
        "views": f"{views['pixels']} px; crops of {views['area'][0]:.0%} to {views['area'][1]:.0%}, mirrored, "
        f"brightness and contrast {views['brightness']}, channels permuted {views['permuted']:.0%}, grey "
        f"{views['grey']:.0%}; features are read from whole frames",
        "optimiser": f"AdamW, lr {first['lr']}, cosine",
        "seeds": f"{', '.join(str(run['seed']) for run in runs)}; the first is shipped",
        "minutes a seed": f"{', '.join(minutes)} with {training['threads']} thread(s), on CPU cores shared with "
        "other work",
        "the other take found first, first and last 25 steps": f"{found['first']['found']:.1%}, "
        f"{found['last']['found']:.1%} of {first['batch']}",
        "the net's variance left, last 25 steps": f"{shipped['imitating']['last']['loss']:.1%}",
        "weights": f"`model.safetensors`, float16, SHA-256 `{sha256(folder / 'model.safetensors')}`",
        "licence": LICENCE,
    }
    lines = [
        "# Mini DINO",
        "",
        f"DINOv3's ConvNeXt with three stages, {training['parameters']:,} parameters, which reads pictures of 224 px "
        'into a map of 14 x 14, in the folder format in which DINOv3 is published: `load_dino("mini")` of '
        "`moca.foundation.dino`.",
        "",
        table(facts),
        "",
        f"Held-out frames with one object ({features['frames']:,} drawn, split `{training['split']}`, "
        f"{features['classes']} classes): the share of a frame's 1, 5, ... nearest neighbours by cosine that show the "
        "same class. `patches` is the mean of the patch features, by which MoCA mines; `class` the pooled map. "
        "Untrained: the same net with the weights that training began from. No class was seen in training; choices "
        "were made on other splits.",
        "",
        *_purity_rows(runs),
        "",
        f"Held-out S4-like frames ({affinity['frames']:,}, the same split): AUC of the cosine with the place in the "
        "sounding object's middle, of the places inside the object against those outside (0.5 is chance).",
        "",
        *_affinity_rows(runs),
        "",
        *_sharing_lines(training.get("sharing")),
        f"Made by `python -m recipes.train_mini_dino`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def _purity_rows(runs: list[dict]) -> list[str]:
    """The table of purity; mean and deviation over the seeds where there are several."""
    counts = list(next(iter(runs[0]["features"]["purity"].values())))
    rows = [f"| features | {' | '.join(f'purity@{k}' for k in counts)} |", "|---|" + "---|" * len(counts)]
    for name in runs[0]["features"]["purity"]:
        cells = [_spread([run["features"]["purity"][name][k] for run in runs]) for k in counts]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return [*rows, "| chance |" + f" {runs[0]['features']['chance']:.3f} |" * len(counts)]


def _affinity_rows(runs: list[dict]) -> list[str]:
    rows = [
        f"| {name} | {_spread([run['affinity']['auc'][name] for run in runs])} |" for name in runs[0]["affinity"]["auc"]
    ]
    return ["| patch features | AUC |", "|---|---|", *rows]


def _sharing_lines(sharing: dict | None) -> list[str]:
    """What mining finds on the VGGSound-like split, where it was measured."""
    if sharing is None:
        return []
    told = ", ".join(f"{share:.3f} ({name})" for name, share in sharing["share"].items())
    return [
        f"Mining on a VGGSound-like split ({sharing['clips']:,} clips of `moca stage --vggsound`, "
        f"{sharing['frames']:,} frames, {sharing['neighbours']} neighbours from other videos by the mean of the "
        f"patches): the share of neighbours whose clip has the same sound is {told}; by chance "
        f"{sharing['chance']:.3f}. Measured by `python -m recipes.dino_sharing`.",
        "",
    ]


def _spread(values: list[float]) -> str:
    return f"{values[0]:.3f}" + (f" (all seeds {mean(values):.3f} ± {stdev(values):.3f})" if len(values) > 1 else "")
