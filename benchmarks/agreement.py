"""How far our towers, log-mel and metrics are from the official code's recorded outputs.

    python -m benchmarks.agreement FOLDER

FOLDER holds imagebind_huge_keys.json, imagebind_tiny_golden.npz and avsbench_metric_golden.npz. The tests assert the
same; this prints the figures: the largest absolute difference and the limit it must keep.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from moca.adapters import count_trainable
from moca.core.frames import CLIP_MEAN, CLIP_STD
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.media.logmel import LogMelConfig, clip_spans, log_mel
from moca.metrics import THRESHOLDS, f_measure, frame_iou, hard_mask, mean_iou, probabilities, threshold_curves
from moca.pipeline.encoder import frozen_towers

Row = tuple[str, float, float]
TINY = ImageBindConfig(
    image_width=40, image_blocks=3, image_heads=4, audio_width=36, audio_blocks=3, audio_heads=3, embed_dim=12
)


def huge_keys(folder: Path) -> Iterator[Row]:
    """Keys and shapes of ImageBind-Huge, parameter counts, adapter count: number of differences."""
    official = json.loads((folder / "imagebind_huge_keys.json").read_text())["keys"]
    with torch.device("meta"):
        model = ImageBind(ImageBindConfig.huge())
    built = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = sum(built.get(name) != entry["shape"] for name, entry in official.items())
    yield f"huge: {len(official)} keys and shapes", wrong + len(built.keys() - official.keys()), 0
    for part, known in (("vision", 632_829_440), ("audio", 86_235_648)):
        count = sum(p.numel() for name, p in model.named_parameters() if f".{part}." in name)
        yield f"huge: {count:,} {part} parameters", abs(count - known), 0
    trainable = count_trainable(frozen_towers(model))
    yield f"huge: {trainable:,} trainable parameters, 6 blocks", abs(trainable - 1_298_688), 0


@torch.no_grad()
def towers(golden: dict[str, torch.Tensor]) -> Iterator[Row]:
    """Stem, every block, embeddings and positions of the tiny official model."""
    model = random_imagebind(TINY, seed=0)
    model.load_state_dict({k.removeprefix("sd/"): v for k, v in golden.items() if k.startswith("sd/")}, strict=True)
    inputs = {"vision": _pixels(golden["vision/img_u8"], 1), "audio": golden["audio/mel_in"].flatten(0, 1)}
    for modality, tower in (("vision", model.image_tower), ("audio", model.audio_tower)):
        x, gaps = tower.tokens(inputs[modality]), []
        for block in range(tower.depth):
            attended = tower.attend(block, x)
            gaps.append(_gap(attended, golden[f"{modality}/block{block}_attn_out_LBD"].transpose(0, 1)))
            x = x + attended
            x = x + tower.feed(block, x)
            gaps.append(_gap(x, golden[f"{modality}/block{block}_out_LBD"].transpose(0, 1)))
        yield f"{modality}: attention and output of {tower.depth} blocks", max(gaps), 1e-5
    embedded = {
        "vision/embedding": model.embed_image(inputs["vision"]),
        "vision/embedding_img448": model.embed_image(_pixels(golden["vision/img448_u8"], 1)),
        "vision/embedding_video_mean_of_2_clips": model.embed_image(_pixels(golden["vision/vid_u8"], 2)),
        "audio/embedding_mean_of_3_clips": model.embed_audio(golden["audio/mel_in"]),
    }
    for name, value in embedded.items():
        yield name, _gap(value, golden[name]), 1e-5
    table = model.image_tower.stem.pos_embedding_helper
    sides = (16, 20, 24, 32, 37)
    gaps = [_gap(table((side, side)), golden[f"vision/pos_embed_interp_{side}x{side}"]) for side in sides]
    yield f"positions at {len(sides)} grids", max(gaps), 1e-5


def sounds(golden: dict[str, torch.Tensor], clips: str) -> Iterator[Row]:
    """Log-mel of the recorded waves, and clip timing."""
    raw, wave = LogMelConfig(mean=0.0, std=1.0), golden["fbank/wave_2s_16k"]
    waves = {
        "mel_2s": wave,
        "mel_0p5s_short": wave[:8_000],
        "mel_stereo": golden["fbank/stereo_wave"],
        "mel_silence": torch.zeros_like(wave),
    }
    for name, samples in waves.items():
        yield f"log-mel: {name}", _gap(log_mel(samples[None], raw)[0], golden[f"fbank/{name}"]), 1e-3
    wrong = 0
    for duration_s, rows in json.loads(clips):
        spans = clip_spans(duration_s)
        wrong += [[float(a), float(b)] for a, b in spans] != [row[:2] for row in rows]
        wrong += [[int(a * 16_000), int(b * 16_000)] for a, b in spans] != [row[2:] for row in rows]
    yield "clip timing: durations that differ", wrong, 0


def metrics(golden: dict[str, np.ndarray]) -> Iterator[Row]:
    """AVSBench's S4/MS3 mIoU and F over all recorded cases."""
    gaps: dict[str, float] = {}
    for case in golden["_bin_cases"]:
        known = {key.rsplit("/", 1)[1]: golden[key] for key in golden if key.startswith(f"bin/{case}/")}
        scores, truth = probabilities(known["pred_logits"]), known["target"]
        curves, mask = threshold_curves(scores, truth), hard_mask(scores)
        ours = {
            "mask_iou": mean_iou(mask, truth),
            "mask_iou_per_frame": frame_iou(mask, truth),
            "Eval_Fmeasure": f_measure(scores, truth),
            "Eval_Fmeasure_per_frame": curves.f.max(axis=1),
            "precision_curve": curves.precision,
            "recall_curve": curves.recall,
        }
        for name, value in ours.items():
            gap = np.abs(np.asarray(value, np.float64) - known[name])
            gaps[name] = max(gaps.get(name, 0.0), float(gap.max(initial=0.0)))
    for name, gap in gaps.items():
        yield f"AVSBench {name}, {len(golden['_bin_cases'])} cases", gap, 1e-6
    yield "AVSBench thresholds that differ", int((golden["thlist_255"] != THRESHOLDS).sum()), 0


def _pixels(values: torch.Tensor, axis: int) -> torch.Tensor:
    shape = [1] * values.ndim
    shape[axis] = 3
    mean, std = (torch.tensor(numbers).reshape(shape) for numbers in (CLIP_MEAN, CLIP_STD))
    return (values.float() / 255 - mean) / std


def _gap(ours: torch.Tensor, official: torch.Tensor) -> float:
    return float((ours.double() - official.double()).abs().max())


def main() -> None:
    """Print every figure; exit code 1 when one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with np.load(folder / "imagebind_tiny_golden.npz") as stored:
        clips = str(stored["clips/table_json"])
        tensors = {k: torch.from_numpy(stored[k]) for k in stored.files if stored[k].dtype.kind != "U"}
    with np.load(folder / "avsbench_metric_golden.npz") as stored:
        known = {key: stored[key] for key in stored.files if not key.startswith("avss")}
    rows = [*huge_keys(folder), *towers(tensors), *sounds(tensors, clips), *metrics(known)]
    for name, gap, limit in rows:
        print(f"{name:<55} {gap:9.2g}  limit {limit:g}{'' if gap <= limit else '  OVER'}")
    sys.exit(any(gap > limit for _, gap, limit in rows))


if __name__ == "__main__":
    main()
