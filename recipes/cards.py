"""Model cards of the mini weights, written from what the recipes recorded; no figure is typed in by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

LICENCE = "Apache-2.0, like the toolkit. Everything it has seen is drawn by Soundstage."
LIMITS = (
    "It knows only Soundstage's drawn classes and their synthetic sounds. On real videos its masks mean little; it "
    "exists to run, test and teach the toolkit offline."
)


def write_encoder_card(folder: Path) -> None:
    """README.md of the mini ImageBind from its training.json."""
    made = json.loads((folder / "training.json").read_text())
    recipe, retrieval = made["recipe"], made["retrieval"]
    lines = [
        "# Mini ImageBind",
        "",
        f"Image and audio towers of {made['parameters']:,} parameters in all, in ImageBind's own classes and file "
        "layout, with a small convolutional stem and dense pooling.",
        "",
        _table(
            {
                "data": f"{recipe['frames']:,} drawn (frame, second of sound) pairs; kinds: {_shares(made['mix'])}",
                "supervision": "which frame goes with which sound; no masks, no labels",
                "loss": "symmetric InfoNCE on the soft maximum over patches of the cosine with the sound",
                "optimiser": f"AdamW, {recipe['steps']:,} steps of {recipe['batch']} pairs, lr {recipe['lr']}",
                "seed": recipe["seed"],
                "minutes": f"{made['minutes']} on 2 CPU cores, shared with other work",
                "last loss": f"{made['last_loss']:.3f}",
                f"recall@1 of a frame's own sound among {retrieval['candidates']} held-out ones": (
                    f"{retrieval['recall@1']:.3f} (chance {1 / retrieval['candidates']:.3f})"
                ),
                "recall@5": f"{retrieval['recall@5']:.3f}",
                "class of the sound found first": (
                    f"{retrieval['class@1']:.3f} (chance about {1 / retrieval['classes']:.3f})"
                ),
                "weights": f"`model.safetensors`, float16, SHA-256 `{_sha256(folder / 'model.safetensors')}`",
                "licence": LICENCE,
            }
        ),
        "",
        f"Made by `python -m recipes.train_mini_imagebind`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def write_adapter_card(folder: Path) -> None:
    """README.md of the mini adapters from their training.json."""
    made = json.loads((folder / "training.json").read_text())
    recipe, active = made["recipe"], made["active_first_last"]
    rows = [
        "| pipeline | sound | S4-like mIoU | MS3-like mIoU | S4 pointing | MS3 pointing | gate open, sounding "
        "| open, silent | open, noise | open, off-screen |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, scores in made["test"].items():
        pipeline, _, sound = name.partition(", sound ")
        opened = (scores["s4.open"] + scores["ms3.open"]) / 2
        cells = [scores[key] for key in ("s4.iou", "ms3.iou", "s4.pointing", "ms3.pointing")]
        cells += [opened, *(scores[f"{kind}.open"] for kind in ("silent", "noise", "offscreen"))]
        rows.append(f"| {pipeline} | {sound or 'own'} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    adapted, frozen = made["test"]["adapted"], made["test"]["frozen"]
    change = {kind: adapted[f"{kind}.iou"] - frozen[f"{kind}.iou"] for kind in ("s4", "ms3")}
    lines = [
        "# Mini MoCA adapters",
        "",
        f"The first AdaAV adapters on the mini ImageBind: {made['trainable_parameters']:,} parameters in "
        f"{recipe['blocks']} blocks (last-k).",
        "",
        _table(
            {
                "data": f"{recipe['frames']:,} drawn pairs; kinds: {_shares(made['mix'])}",
                "supervision": "none; positives are neighbours in the frozen audio embedding, negatives from the batch",
                "loss": f"pixel matching triplet loss (MoCA eq. 4): {made['matching']}",
                "optimiser": f"Adam, cosine decay, {recipe['steps']:,} steps of {recipe['batch']}, lr {recipe['lr']}",
                "seed": recipe["seed"],
                "minutes": f"{made['minutes']} on 2 CPU cores, shared with other work",
                "active triplets": f"{active[0]:.1%} in the first 50 steps, {active[1]:.1%} in the last 50",
                "encoder": "`../imagebind`; other encoders are refused by fingerprint",
                "licence": LICENCE,
            }
        ),
        "",
        f"Held-out frames ({made['test_frames']:,} drawn, split `adapters-test`). k, the sounding rule and mirroring "
        "were chosen on validation frames, the gate is the 5th percentile of the score over sounding training frames. "
        "One training seed: differences of a few hundredths are within what another seed may give.",
        "",
        *rows,
        "",
        f"Against the frozen encoder they change mIoU by {change['s4']:+.3f} (S4-like) and {change['ms3']:+.3f} "
        "(MS3-like).",
        "",
        f"Made by `python -m recipes.train_mini_adapters`. {LIMITS}",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def _table(rows: dict[str, object]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _shares(mix: dict[str, float]) -> str:
    return ", ".join(f"{share:.0%} {kind}" for kind, share in mix.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
