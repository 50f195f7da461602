"""Model cards of the mini weights, written from what the recipes recorded; no figure is typed in by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from statistics import mean, stdev

LICENCE = "Apache-2.0, like the toolkit. Everything it has seen is drawn by Soundstage."
LIMITS = (
    "It knows only Soundstage's drawn classes and their synthetic sounds. On real videos its masks mean little; it "
    "exists to run, test and teach the toolkit offline."
)


def write_encoder_card(folder: Path) -> None:
    """README.md of the mini ImageBind from its training.json."""
    training = json.loads((folder / "training.json").read_text())
    recipe, told, test = training["recipe"], training["retrieval"], training["test"]
    dense, still = recipe["pooling"] == "dense", training["still"]
    candidates = told["candidates"]
    found = {"recall@1": f"recall@1 of a frame's own sound among {candidates} (chance {1 / candidates:.3f})"}
    found |= {"recall@5": f"recall@5 (chance {5 / candidates:.3f})"}
    found |= {"class@1": f"class of the sound found first (chance about {1 / told['classes']:.3f})"}
    lines = [
        "# Mini ImageBind",
        "",
        f"Image and audio towers of {training['parameters']:,} parameters in all, in ImageBind's own classes and file "
        "layout, with a small convolutional stem and "
        + ("dense pooling." if dense else "pooling by the class token, as ImageBind's."),
        "",
        table(
            {
                "data": f"{recipe['frames']:,} drawn (frame, second of sound) pairs; kinds: {_shares(training['mix'])}",
                "supervision": "which frame goes with which sound; no masks, no labels",
                "learnt here": f"{training['learnt']:,} parameters"
                + (
                    ": image trunk, class token, positions and head, from scratch; audio tower and image stem are "
                    f"those of the dense encoder (SHA-256 `{still}`), kept still"
                    if still
                    else ", from scratch"
                ),
                "loss": "symmetric InfoNCE on " + _compared(recipe),
                "optimiser": _optimisers(recipe),
                "seed": recipe["seed"],
                "minutes": f"{training['minutes']} on 2 CPU cores, shared with other work, in {training['precision']}",
                "last loss": f"{training['last_loss']:.3f}",
                "weights": f"`model.safetensors`, float16, SHA-256 `{sha256(folder / 'model.safetensors')}`",
                "licence": LICENCE,
            }
        ),
        "",
        f"| frames of one object, never learnt from, {candidates} at a time | validation | test | its groups |",
        "|---|---|---|---|",
        *(
            f"| {words} | {told[name]:.3f} | {mean(group[name] for group in test):.3f} | "
            + ", ".join(f"{group[name]:.3f}" for group in test)
            + " |"
            for name, words in found.items()
        ),
        "",
        f"Nothing was chosen by the test frames (split `encoder-test`). Made by `{_command(recipe, still)}`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def _compared(recipe: dict) -> str:
    if recipe["pooling"] == "dense":
        return "the soft maximum over patches of the cosine with the sound"
    return (
        f"the cosine of class token and sound; for the first {recipe['mean_until']:.0%} of the steps on that of the "
        "patches' mean, too"
    )


def _optimisers(recipe: dict) -> str:
    run = f"{recipe['steps']:,} steps of {recipe['batch']} pairs, {recipe['warmup']} of them warm-up, then a cosine"
    adam = f"AdamW, lr {recipe['lr']}, decay {recipe['weight_decay']}"
    if recipe["muon_lr"] == 0:
        return f"{adam}; {run}"
    muon = f"Muon, lr {recipe['muon_lr']}, decay {recipe['muon_decay']}, for the trunks' matrices"
    return f"{muon}; {adam}, for the rest; {run}"


def _command(recipe: dict, still: str | None) -> str:
    dense = " --pooling dense" if recipe["pooling"] == "dense" else ""
    return "python -m recipes.train_mini_imagebind" + dense + (" --still .cache/learning/dense" if still else "")


COLUMNS = {
    "S4-like mIoU": ("s4.iou",),
    "MS3-like mIoU": ("ms3.iou",),
    "S4 pointing": ("s4.pointing",),
    "MS3 pointing": ("ms3.pointing",),
    "gate open, sounding": ("s4.open", "ms3.open"),
    "open, silent": ("silent.open",),
    "open, noise": ("noise.open",),
    "open, off-screen": ("offscreen.open",),
}


SOUNDS = ("own", "own, not snapped", "own, snapped", "swapped")


def write_adapter_card(folder: Path) -> None:
    """README.md of the mini adapters from their training.json."""
    training = json.loads((folder / "training.json").read_text())
    config, runs = training["training"], training["seeds"]
    frozen = training["frozen"]
    rows = ["| pipeline | sound | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for name, measured in (("adapted", runs), ("frozen", [training["frozen"]])):
        for sound in SOUNDS:
            if any(sound not in scores for scores in measured) or (name, sound) == ("frozen", "own, not snapped"):
                continue
            cells = [_spread([scores[sound] for scores in measured], keys) for keys in COLUMNS.values()]
            rows.append(f"| {name} | {sound} | " + " | ".join(cells) + " |")
    told = {
        kind: ", ".join(
            f"{run['own'][f'{kind}.iou'] - frozen['own'][f'{kind}.iou']:+.3f} "
            f"({run['own, not snapped'][f'{kind}.iou'] - frozen['own'][f'{kind}.iou']:+.3f} without snapping)"
            for run in runs
        )
        for kind in ("s4", "ms3")
    }
    lines = [
        "# Mini MoCA adapters",
        "",
        f"AdaAV adapters of the mini ImageBind with their read-out: {training['trainable_parameters']:,} parameters in "
        f"{training['blocks']} blocks (last-k).",
        "",
        table(
            {
                "data": f"{training['frames']:,} drawn pairs; kinds: {_shares(training['mix'])}",
                "supervision": "none; pseudo-labels of the frozen encoder, for the frame's own sound and for others",
                "loss": "cross-entropy and soft overlap with the pseudo-labels (preset `moca`)",
                "optimiser": f"Adam, cosine decay, {config['steps']:,} steps of {config['batch']}, lr {config['lr']}",
                "seeds": f"{', '.join(str(run['seed']) for run in runs)}; the first is shipped",
                "minutes a seed": f"{', '.join(str(run['minutes']) for run in runs)} on 2 shared CPU cores",
                "encoder": "`../imagebind`; other encoders are refused by fingerprint",
                "licence": LICENCE,
            }
        ),
        "",
        f"Held-out frames ({training['test_frames']:,} drawn, split `adapters-test`). The rule that turns scores into "
        "masks was chosen on validation frames, the gate is the 5th percentile of the score over sounding training "
        "frames. Adapted masks are snapped to the frame's edges, which needs no training and helps the frozen "
        "encoder too: compare rows of the same kind. Adapted: mean and standard deviation over the seeds. Frozen: one "
        "encoder, nothing to vary.",
        "",
        *rows,
        "",
        f"Change of mIoU against the frozen encoder as it comes, seed by seed: {told['s4']} (S4-like), {told['ms3']} "
        "(MS3-like).",
        "",
        f"Made by `python -m recipes.train_mini_adapters`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def _spread(scores: list[dict[str, float]], keys: tuple[str, ...]) -> str:
    """Mean over seeds of the mean over keys, with the deviation where there are several seeds."""
    values = [mean(score[key] for key in keys) for score in scores]
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def table(rows: dict[str, object]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _shares(mix: dict[str, float]) -> str:
    return ", ".join(f"{share:.0%} {kind}" for kind, share in mix.items())


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
