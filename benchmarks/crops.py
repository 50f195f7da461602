"""What tells which of a frame's proposals sounds: the patches inside it, or its crop, cut in several ways; with and
without a bank of other sounds.

    python -m benchmarks.crops --encoder weights/mini/imagebind -o docs/results/crops

Validation frames alone: the step's `delta` and the crop are chosen by what this prints. AUC: proposals at least half of
which sound against the rest, over all frames. mIoU: of the union of the proposals near the frame's best, at the best
nearness of a few. Proposals are mini's boxes; the two ceilings are printed beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.proposals.world import Kept, kept_proposals
from moca.adapters import fingerprint
from moca.baselines.filtering import cut_masks
from moca.core.files import write_json_whole
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.weights import load_imagebind
from moca.foundation.preprocessing import preprocess_frames
from moca.pipeline.bank import embed_sounds, sound_bank
from moca.pipeline.comparing import CropScorer
from moca.pipeline.loading import load_pipeline
from moca.segmentation.choosing import near_the_best
from moca.segmentation.crops import cut_regions
from moca.segmentation.relative import Comparison, SoundBank
from recipes.stage_pairs import Pairs, PairsConfig, draw_pairs

KINDS = ("s4", "ms3")
SIZE = 224
DELTAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4)
COSINES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
CROPS: dict[str, Callable[[np.ndarray, np.ndarray, int], list[np.ndarray]]] = {
    "surround": lambda picture, masks, size: list(cut_regions(picture, masks, size)),
    "masked": lambda picture, masks, size: cut_masks(picture, masks, crop="masked"),
    "box": lambda picture, masks, size: cut_masks(picture, masks, crop="box"),
}


class Frames:
    """Frames of one kind that have proposals, what is proposed in them, and what is true of it."""

    def __init__(self, pairs: Pairs, kept: Kept, sounds: np.ndarray) -> None:
        """sounds: (F, E) float32 of unit length."""
        self.sounds, self.count = sounds, len(pairs.frames)
        self.pictures: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.sounding: dict[int, np.ndarray] = {}
        self.patterns: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for number, found in enumerate(kept):
            if len(found):
                truth = np.asarray(pairs.masks[number]) > 0
                self.pictures[number] = np.asarray(pairs.frames[number]), found.masks
                self.sounding[number] = np.array([(mask & truth).sum() / mask.sum() for mask in found.masks])
                self.patterns[number] = _patterns(found.masks, truth)

    def miou(self, chosen: Callable[[int], np.ndarray]) -> float:
        """mIoU of the unions of the proposals that are chosen in every frame, by their numbers; 0 without proposals."""
        total = 0.0
        for number, (inside, truth, pixels) in self.patterns.items():
            union = inside[:, chosen(number)].any(1)
            total += pixels[union & truth].sum() / max(1, pixels[union | truth].sum())
        return round(float(total / self.count), 4)


def _patterns(masks: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in the same proposals, and in the truth or not, counted together: (P, N) bool, (P,) bool, (P,) int."""
    flat = np.concatenate([masks.reshape(len(masks), -1), truth.reshape(1, -1)]).T
    packed = np.ascontiguousarray(np.packbits(flat, axis=1))
    whole = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, pixels = np.unique(whole, return_index=True, return_counts=True)
    return flat[first, :-1], flat[first, -1], pixels


@torch.inference_mode()
def by_patches(encoder: ImageBind, bank: SoundBank, frames: Frames) -> dict[int, np.ndarray]:
    """Mean cosine of the patches in every proposal with all sounds of the bank and of the frames, (N, K + F)."""
    sounds, found = np.concatenate([bank.embeddings, frames.sounds]), {}
    for number, (picture, masks) in frames.pictures.items():
        patches = encoder.embed_patches(preprocess_frames([picture], encoder.config.image_size))[0].numpy()
        side = encoder.config.image_grid[0]
        cover = [cv2.resize(m.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA).ravel() for m in masks]
        shares = np.stack(cover) / np.sum(cover, 1, keepdims=True)
        found[number] = shares @ (patches @ sounds.T)
    return found


def by_crops(encoder: ImageBind, bank: SoundBank, frames: Frames, crop: str) -> dict[int, np.ndarray]:
    """The same of every proposal's crop."""
    scorer, size = CropScorer(encoder, bank), encoder.config.image_size
    sounds, found = np.concatenate([bank.embeddings, frames.sounds]), {}
    for number, (picture, masks) in frames.pictures.items():
        crops = preprocess_squares(CROPS[crop](picture, masks, size), size)
        found[number] = scorer.cosines(crops, sounds)
    return found


def preprocess_squares(crops: list[np.ndarray], size: int) -> np.ndarray:
    """Crops of any sizes stretched to (N, size, size, 3) uint8."""
    from moca.core.frames import resized

    return np.stack([resized(crop, size, size) for crop in crops])


def comparison(cosines: np.ndarray, bank: SoundBank, number: int) -> Comparison:
    """The proposals of a frame beside the sound of frame `number`."""
    return Comparison(own=cosines[:, len(bank) + number], others=cosines[:, : len(bank)])


def measured(cosines: dict[int, np.ndarray], bank: SoundBank, frames: Frames) -> dict[str, object]:
    """AUC and mIoU of scores by these cosines, with and without the bank; and where the own sound ranks."""
    count, found = len(frames.sounds), {}
    scorings = {"cosines": lambda c: np.asarray(c.own, np.float64), "with the bank": lambda c: c.scores}
    for name, score in scorings.items():
        values = {n: score(comparison(rows, bank, n)) for n, rows in cosines.items()}
        other = {n: score(comparison(rows, bank, (n + 1) % count)) for n, rows in cosines.items()}
        nearness = DELTAS if name == "with the bank" else COSINES
        deltas = {str(delta): frames.miou(lambda n, v=values, d=delta: near_the_best(v[n], d)) for delta in nearness}
        ratios = {str(ratio): frames.miou(lambda n, v=values, r=ratio: _within(v[n], r)) for ratio in RATIOS}
        best = max(deltas, key=deltas.get)
        found[name] = {
            "auc": auc(values, frames),
            "miou": max(max(deltas.values()), max(ratios.values())),
            "delta": deltas,
            "ratio": ratios,
            "swapped": frames.miou(lambda n, v=other, d=float(best): near_the_best(v[n], d)),
        }
    ranks = {"own": [], "swapped": []}
    for n, rows in cosines.items():
        for kind, heard in (("own", n), ("swapped", (n + 1) % count)):
            compared = comparison(rows, bank, heard)
            ranks[kind].append(compared.rank(int(compared.scores.argmax())))
    percentiles = (1, 5, 10, 25, 50, 75)
    found["rank"] = {
        kind: {str(p): round(float(np.percentile(values, p)), 4) for p in percentiles} for kind, values in ranks.items()
    }
    return found


def _within(scores: np.ndarray, ratio: float) -> np.ndarray:
    best = scores.max()
    return np.flatnonzero(scores >= (ratio * best if best > 0 else best))


def auc(values: dict[int, np.ndarray], frames: Frames) -> float:
    """Chance that a proposal at least half of which sounds scores above one that does not, over all frames."""
    labels, scores = [], []
    for number, share in frames.sounding.items():
        labels += list(share >= 0.5)
        scores += list(values[number])
    labels, ranks = np.array(labels), np.argsort(np.argsort(scores)) + 1
    positive = labels.sum()
    return round(float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (~labels).sum())), 4)


def main() -> None:
    """Measure one encoder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True, help="folder of an ImageBind")
    parser.add_argument("--name", help="of the results; default: the folder's parent and name")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/crops"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--frames", type=int, default=200, help="that are drawn, of S4 and MS3 each")
    parser.add_argument("--first", type=int, default=200, help="that are looked at, the first of them")
    parser.add_argument("--ways", nargs="*", choices=list(CROPS), default=list(CROPS), help="how crops are cut")
    parser.add_argument("--split", default="zoo-val")
    options = parser.parse_args()
    encoder = load_imagebind(options.encoder)
    known = fingerprint(encoder.state_dict())
    bank, pipeline, found = sound_bank(encoder, known), load_pipeline("mini", adapters=None), {}
    for kind in KINDS:
        pairs = draw_pairs(
            PairsConfig(count=options.frames, split=f"{options.split}-{kind}", size=SIZE, mix=((kind, 1.0),)),
            options.cache,
            workers=1,
        )
        pairs = Pairs(*(part[: options.first] for part in (pairs.frames, pairs.waves, pairs.masks, pairs.kinds)))
        prints = {role: pipeline.fingerprints[role] for role in ("masks", "objects")}
        place = options.cache / f"crops-{options.split}-{kind}-{len(pairs.frames)}"
        kept = kept_proposals(pipeline.proposer, pairs, prints, place)
        frames = Frames(pairs, kept, embed_sounds(encoder, [pairs.sound(row) for row in range(len(pairs.frames))]))
        found[kind] = {
            "all proposals": frames.miou(lambda n, share=frames.sounding: np.arange(len(share[n]))),
            "best choice": frames.miou(lambda n, share=frames.sounding: np.flatnonzero(share[n] > 0.5)),
            "patches": measured(by_patches(encoder, bank, frames), bank, frames),
            **{crop: measured(by_crops(encoder, bank, frames, crop), bank, frames) for crop in options.ways},
        }
        print(f"{kind}: best choice {found[kind]['best choice']}, all {found[kind]['all proposals']}", flush=True)
    name = options.name or f"{options.encoder.resolve().parent.name}-{options.encoder.name}"
    about = {"encoder": known, "pooling": encoder.config.pooling, "frames": len(pairs.frames), "split": options.split}
    write_json_whole(options.out / f"{name}.json", {**about, **found})
    print(table(found))


def table(found: dict[str, dict]) -> str:
    """The figures as Markdown."""
    lines = ["| score of proposals | AUC S4 / MS3 | mIoU S4 / MS3 | swapped S4 / MS3 |", "|---|---|---|---|"]
    for way in [way for way in ("patches", *CROPS) if way in found[KINDS[0]]]:
        for scoring in ("cosines", "with the bank"):
            cells = [found[kind][way][scoring] for kind in KINDS]
            figures = [" / ".join(f"{cell[name]:.3f}" for cell in cells) for name in ("auc", "miou", "swapped")]
            lines.append(f"| {way}, {scoring} | {' | '.join(figures)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
