"""Memory and time of every foundation model at its published size, with random weights.

    python -m benchmarks.models                      # all of them, one process each; writes docs/results/bench_models.*
    python -m benchmarks.models --only dino-vits8 sam-vit-base

Each model runs in a process of its own, so that its peak is its own; float32 on the CPU, one frame of 640 x 360 (or ten
seconds of sound) at a time. Times mean something only against each other, so they are told as multiples of the fastest
image model's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from moca.core.files import write_text_whole

REFERENCE = "dino-vits16"
HEIGHT, WIDTH, SECONDS, RATE_HZ = 360, 640, 10, 16_000
POINTS = 64  # of SAM's grid, as one batch of prompts
Prepared = tuple[object, Callable[[], object], str]  # the torch model, one run, what a run is


def dino(name: str) -> Prepared:
    """A DINO of the manifest."""
    from transformers import ViTModel

    from moca.foundation.dino import Dino
    from moca.foundation.random_parts import CONFIGS

    model = ViTModel(CONFIGS[name](), add_pooling_layer=False)
    features = Dino(model)
    return model, lambda: features.features([frame()]), "a frame"


def imagebind() -> Prepared:
    """Both towers of ImageBind-Huge: a frame and two seconds of sound."""
    import torch

    from moca.foundation.imagebind.config import ImageBindConfig
    from moca.foundation.imagebind.model import random_imagebind
    from moca.foundation.preprocessing import preprocess_frames
    from moca.media.logmel import log_mel

    model = random_imagebind(ImageBindConfig.huge(), seed=0)

    @torch.inference_mode()
    def run() -> None:
        model.embed_patches(preprocess_frames([frame()], model.config.image_size, fit="stretch"))
        model.embed_audio(log_mel(torch.from_numpy(sound(2.0))[None], model.config.log_mel))

    return model, run, "a frame and 2 s of sound"


def sam(size: str) -> Prepared:
    """SAM-B, -L or -H: a frame encoded, and a batch of its grid's points answered."""
    from transformers import SamModel

    from moca.foundation.sam.grid import grid_points
    from moca.foundation.sam.official import official_config
    from moca.foundation.sam.sam import Sam

    model = SamModel(official_config(size))
    predictor, points = Sam(model), grid_points(round(POINTS**0.5), (HEIGHT, WIDTH))
    return model, lambda: predictor.from_points(predictor.encode([frame()])[0], points), f"a frame and {POINTS} points"


def owlv2(size: str) -> Prepared:
    """OWLv2 base (960 px) or large (1008 px)."""
    from transformers import Owlv2ForObjectDetection

    from moca.foundation.owlv2 import Owlv2Objects
    from moca.foundation.random_parts import owlv2_config

    model = Owlv2ForObjectDetection(owlv2_config(size))
    detector = Owlv2Objects(model)
    return model, lambda: detector.detect([frame()], threshold=0.0), "a frame"


def grounding(size: str) -> Prepared:
    """Grounding DINO with Swin-T or Swin-B at 800 x 1333 px."""
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    from moca.foundation.grounding_dino.detector import GroundingDino
    from recipes.vocabulary import small_tokenizer

    swin = {"window_size": 7, "embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]}
    if size == "base":
        swin = {"window_size": 12, "embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32]}
    backbone = SwinConfig(**swin, out_features=["stage2", "stage3", "stage4"])
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=backbone, text_config=BertConfig()))
    detector = GroundingDino(model, small_tokenizer(), sides=(800, 1333))
    words = ["guitar", "bell", "car"]
    return model, lambda: detector.detect([frame()], [words]), f"a frame and {len(words)} words"


def ast() -> Prepared:
    """AST with 527 classes: ten seconds of sound."""
    from transformers import ASTConfig, ASTForAudioClassification

    from moca.foundation.ast_tagger import AstTagger
    from moca.media.logmel import LogMelConfig

    model = ASTForAudioClassification(ASTConfig(num_labels=527))
    tagger = AstTagger(model, LogMelConfig(target_frames=1024))
    return model, lambda: tagger.tag([sound(SECONDS)], sample_rate_hz=RATE_HZ), f"{SECONDS} s of sound"


MODELS: dict[str, Callable[[], Prepared]] = {
    "dino-vits16": lambda: dino("dino-vits16"),
    "dino-vits8": lambda: dino("dino-vits8"),
    "dino-vitb16": lambda: dino("dino-vitb16"),
    "dino-vitb8": lambda: dino("dino-vitb8"),
    "imagebind-huge": imagebind,
    "sam-vit-base": lambda: sam("B"),
    "sam-vit-large": lambda: sam("L"),
    "sam-vit-huge": lambda: sam("H"),
    "owlv2-base": lambda: owlv2("base"),
    "owlv2-large": lambda: owlv2("large"),
    "grounding-dino-tiny": lambda: grounding("tiny"),
    "grounding-dino-base": lambda: grounding("base"),
    "ast": ast,
}


def frame() -> np.ndarray:
    """A picture of coarse noise, (H, W, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)


def sound(seconds: float) -> np.ndarray:
    """White noise in [-1, 1], float32."""
    return np.random.default_rng(0).uniform(-0.3, 0.3, int(seconds * RATE_HZ)).astype(np.float32)


def child(name: str, repeats: int) -> None:
    """What the fresh process does: parameters, bytes of weights, peak and the shortest of a few runs."""
    import torch

    torch.manual_seed(0)
    model, run, what = MODELS[name]()
    parameters = sum(p.numel() for p in model.parameters())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    figures = {"model": name, "run": what, "parameters": parameters, "weights_gib": parameters * 4 / 2**30}
    print(json.dumps({**figures, "peak_gib": peak, "seconds": min(times), "threads": torch.get_num_threads()}))


def measure(name: str, repeats: int) -> dict:
    """The figures of one model, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.models", "--child", name, "--repeats", str(repeats)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def markdown(rows: list[dict]) -> str:
    """The table; times as multiples of the reference's where it was run."""
    unit = next((row["seconds"] for row in rows if row["model"] == REFERENCE), None)
    lines = [
        f"| model | parameters | weights, float32 | peak memory | one run | time, x {REFERENCE} |",
        "|---|---:|---:|---:|---|---:|",
    ]
    for row in rows:
        times = "n/a" if unit is None else f"{row['seconds'] / unit:,.1f}"
        lines.append(
            f"| {row['model']} | {row['parameters']:,} | {row['weights_gib']:.2f} GiB | {row['peak_gib']:.2f} GiB | "
            f"{row['run']} | {times} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print a row per model, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(MODELS))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--child", choices=list(MODELS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.repeats)
        return
    rows = []
    for name in options.only or MODELS:
        rows.append(measure(name, options.repeats))
        print(markdown(rows).splitlines()[-1], flush=True)
    write_text_whole(options.out / "bench_models.json", json.dumps({"models": rows}, indent=1) + "\n")
    write_text_whole(options.out / "bench_models.md", markdown(rows))


if __name__ == "__main__":
    main()
