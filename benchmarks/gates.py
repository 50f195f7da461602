"""How well a frozen encoder's gates tell sounds that belong from those that do not.

    python -m benchmarks.gates --encoder mini -o docs/results/gates

Frames of Soundstage, each with its own second of sound: S4- and MS3-like ones, and ones in which nothing that is seen
sounds. Masks are those of the rule "crops" with every gate open; each score that could be a gate is set on validation
frames so that 95% of those that sound pass, and is then applied to the test frames. The page is written from the file
of every frame's figures, which is kept: what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from moca.calibration.gates import area_under, joined
from moca.calibration.pairs import steps_of
from moca.core.files import write_json_whole, write_text_whole
from moca.core.step import Step
from moca.foundation.manifest import bundled_weights
from moca.metrics.robustness import g_miou
from moca.metrics.segmentation import frame_iou_plain
from moca.pipeline.bank import embed_sounds
from moca.segmentation.config import OPEN
from moca.segmentation.gate import best_patches, support, why_silent
from moca.segmentation.relative import compare
from moca.segmenter import Segmenter
from recipes.stage_pairs import Pairs, PairsConfig, draw_pairs

SOUNDING, SILENCED = ("s4", "ms3"), ("silent", "offscreen", "noise")
SIZE, STEPS, RECALL, SILENT_FRAMES = 224, 8, 0.95, 20
NEVER = -1e9
"""The score of a frame that no gate is asked about."""
TARGETS = {"silent": 0.0, "offscreen": 0.015, "noise": 0.05}
"""Masked share of the frame that is asked for at 95% recall."""
GATES: dict[str, tuple[str, ...]] = {
    "patches, cosine": ("support",),
    "picture, cosine": ("presence",),
    "patches, relative": ("patch_score",),
    "patches, rank": ("patch_rank",),
    "best crop, relative": ("crop_score",),
    "best crop, rank": ("crop_rank",),
    "best crop, relative and rank": ("crop_score", "crop_rank"),
    "best crop and patches, relative": ("crop_score", "patch_score"),
    "best crop, relative, and picture, cosine": ("crop_score", "presence"),
}
"""Scores that a gate could ask, by the row of the table; several must all pass, at one percentile."""
Figures = dict[str, list[float]]


def model_folder(encoder: str, work: Path) -> Path:
    """A model of an encoder's folder, or of a bundled one's, with the bundled models for its mask proposals."""
    found = bundled_weights() / "mini" / "imagebind" if encoder == "mini" else Path(encoder)
    card = {
        "format": 1, "name": encoder, "encoder": str(found.resolve()), "licence": "see the encoder",
        "masks": "mini", "objects": "mini", "proposals": {"kind": "boxes", "box_threshold": 0.1, "rule": "crops"},
    }  # fmt: skip
    write_json_whole(work / "model" / "pipeline.json", card)
    return work / "model"


def frames(cache: Path, split: str, counts: Mapping[str, int]) -> Iterator[tuple[str, Pairs]]:
    """Frames of every kind; no two splits share one."""
    for kind, count in counts.items():
        name = f"zoo-{split}-{kind}"
        yield kind, draw_pairs(PairsConfig(count=count, split=name, size=SIZE, mix=((kind, 1.0),)), cache, workers=1)


def figures_of(model: Segmenter, pairs: Pairs, count: int, *, swapped: bool = False) -> Figures:
    """What each of the first frames has: its mask's IoU and area with all gates open, and every score.

    model: one that chooses proposals by their crops, with open gates. swapped: with the next frame's sound. A score
    that a silent frame does not have is far below all others.
    """
    found: Figures = {
        name: [] for name in ("iou", "area", *dict.fromkeys(score for gate in GATES.values() for score in gate))
    }
    for part in track(np.array_split(np.arange(count), -(-count // STEPS)), f"{pairs.kinds[0]}{', swapped' * swapped}"):
        steps = steps_of(pairs, part, heard=(part + 1) % count if swapped else None)
        results = list(model.segment_steps(steps))
        masks = np.stack([result.mask for result in results])
        found["iou"] += frame_iou_plain(masks, np.asarray(pairs.masks[part]) > 0).tolist()
        found["area"] += masks.mean((1, 2)).tolist()
        heard = [index for index, step in enumerate(steps) if why_silent(step, model.config.silence_dbfs) is None]
        figures = {"crop_score": [results[n].score for n in heard], "crop_rank": [results[n].rank for n in heard]}
        figures |= patch_figures(model, [steps[n] for n in heard]) if heard else {}
        for name, values in figures.items():
            placed = np.full(len(steps), NEVER)
            placed[heard] = values
            found[name] += np.nan_to_num(placed, nan=NEVER).tolist()
        for name in found.keys() - figures.keys() - {"iou", "area"}:
            found[name] += [NEVER] * len(steps)
    return found


def patch_figures(model: Segmenter, steps: list[Step]) -> dict[str, list[float]]:
    """Scores of frames without proposals: by patches, and by the picture as a whole."""
    patches, relative = model.features(steps)
    sounds = embed_sounds(model.pipeline.encoder, [step.audio for step in steps])
    cosines = np.einsum("bhwe,be->bhw", patches, sounds)
    best = [
        found.pooled(best_patches(found.scores))
        for found in (compare(picture, sound, model.bank) for picture, sound in zip(patches, sounds, strict=True))
    ]
    return {
        "support": [support(each) for each in cosines],
        "presence": model.frozen_presence(steps).tolist(),
        "patch_score": [support(each) for each in relative],
        "patch_rank": [each.rank(0) for each in best],
    }


def open_model(folder: Path) -> Segmenter:
    """A frozen encoder whose masks are chosen by crops, with every gate open."""
    open_gates = {"gate": OPEN, "gate_frozen": -1.0, "gate_rank": 0.0}
    return Segmenter.load(
        folder,
        adapters=None,
        device="cpu",
        batch_steps=STEPS,
        scores="relative",
        sounding="otsu",
        refine=False,
        **open_gates,
    )


def scores_of(figures: Figures, names: tuple[str, ...]) -> np.ndarray:
    """(N, K) of some scores."""
    return np.array([figures[name] for name in names], float).T


def gate_row(
    names: tuple[str, ...], val: Mapping[str, Figures], test: Mapping[str, Figures], *, on: str
) -> dict[str, Any]:
    """One gate's figures; on: "val" or "test", the frames at whose 95% recall it is set."""
    sounding = {split: _joined_kinds(found, SOUNDING) for split, found in (("val", val), ("test", test))}
    reference = scores_of(sounding["val"], names)
    threshold = np.percentile(joined(scores_of(sounding[on], names), reference), 100 * (1 - RECALL))
    own = joined(scores_of(sounding["test"], names), reference)
    opened = own >= threshold
    iou = float((np.array(sounding["test"]["iou"]) * opened).mean())
    found = {"recall": float(opened.mean()), "miou": iou, "kinds": {}}
    for kind in (*SILENCED, "swapped"):
        other = joined(scores_of(test[kind], names), reference)
        area = np.array(test[kind]["area"]) * (other >= threshold)
        found["kinds"][kind] = {
            "fpr": float(area.mean()),
            "false_alarms": float((area > 0).mean()),
            "g_miou": float(g_miou(iou, float((area == 0).mean()))),
            "auc": area_under(own, other),
        }
    return found


def _joined_kinds(found: Mapping[str, Figures], kinds: tuple[str, ...]) -> Figures:
    return {name: [value for kind in kinds for value in found[kind][name]] for name in found[kinds[0]]}


def page(encoder: str, val: Mapping[str, Figures], test: Mapping[str, Figures], command: str) -> str:
    """The tables, as Markdown."""
    counts = {
        split: {kind: len(some["iou"]) for kind, some in found.items()}
        for split, found in (("val", val), ("test", test))
    }
    lines = [
        "# Gates of a frozen encoder",
        "",
        f"`{command}`: encoder {encoder}; validation frames {_words(counts['val'])}; test frames "
        f"{_words(counts['test'])}. Masks are those of the rule crops; without a gate their mIoU on S4 and MS3 test "
        f"frames is {np.mean(_joined_kinds(test, SOUNDING)['iou']):.3f}. FPR is the mean masked share of the frame, as "
        "AVSBench-Robust has it, alarms the share of frames with a mask, G-mIoU the mean of the mIoU and of the "
        "share of frames without one.",
    ]
    for on, words in (("val", "set on validation frames"), ("test", "set on the test frames themselves")):
        lines += ["", f"## Gates at 95% recall, {words}", ""]
        kinds = ("silent", "offscreen", "noise", "swapped")
        head = [
            "gate",
            "recall",
            "mIoU",
            *(f"{kind} {what}" for kind in kinds for what in ("FPR", "alarms", "G-mIoU", "AUC")),
        ]
        lines += [_line(head), _line(["---", *("---:" for _ in head[1:])])]
        for name, scores in GATES.items():
            row = gate_row(scores, val, test, on=on)
            cells = [name, f"{row['recall']:.3f}", f"{row['miou']:.3f}"]
            for kind in kinds:
                cells += [f"{row['kinds'][kind][what]:.3f}" for what in ("fpr", "false_alarms", "g_miou", "auc")]
            lines.append(_line(cells))
    asked = ", ".join(f"{kind} {most:g}" for kind, most in TARGETS.items())
    lines += ["", f"FPR asked for at 95% recall, at most: {asked}."]
    return "\n".join(lines) + "\n"


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def measured(options: argparse.Namespace, model: Segmenter, split: str) -> dict[str, Figures]:
    """Figures of a split, kind by kind, from the files that are there or measured now."""
    counts = dict.fromkeys(SOUNDING, options.drawn)
    if split == "test":
        counts |= {"silent": SILENT_FRAMES, "offscreen": options.drawn, "noise": options.drawn}
    prints = model.settings["fingerprints"]
    folder = options.work / "-".join(prints[role] for role in ("encoder", "masks", "objects", "bank"))
    found = {}
    for kind, pairs in frames(options.cache, split, counts):
        count = min(options.frames, counts[kind])
        for name in (kind, f"{kind} swapped") if split == "test" and kind in SOUNDING else (kind,):
            place = folder / f"{split}-{name.replace(' ', '-')}-{count}.json"
            if not place.is_file():
                write_json_whole(place, figures_of(model, pairs, count, swapped=name != kind), indent=None)
            found[name] = json.loads(place.read_text(encoding="utf-8"))
    if split == "test":
        found["swapped"] = _joined_kinds(found, tuple(f"{kind} swapped" for kind in SOUNDING))
        found = {kind: some for kind, some in found.items() if not kind.endswith(" swapped")}
    return found


def main() -> None:
    """Measure what is not measured yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="mini", help="mini, or the folder of an encoder")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/gates"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/gates"))
    parser.add_argument("--drawn", type=int, default=200, help="frames drawn of every kind and split")
    parser.add_argument("--frames", type=int, default=200, help="the first ones of them, which are looked at")
    options = parser.parse_args()
    model = open_model(model_folder(options.encoder, options.work))
    val, test = (measured(options, model, split) for split in ("val", "test"))
    command = f"python -m benchmarks.gates --encoder {options.encoder} --frames {options.frames} -o {options.out}"
    text = page(options.encoder, val, test, command)
    write_text_whole(options.out / "gates.md", text)
    print(text)


if __name__ == "__main__":
    main()
