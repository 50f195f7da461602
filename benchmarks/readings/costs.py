"""Time and peak memory of every reading at the size of a model, with random weights, as multiples of reading token's.

    python -m benchmarks.readings.costs                     # ImageBind-Huge and DINO ViT-B/8; 4 GB, a few minutes
    python -m benchmarks.readings.costs --size mini -o /tmp/costs.json

One process, float32 on the CPU, one frame at a time: the image tower from pixels to patch features, and under proxy
DINO's patches, too. Runs go round the readings, and the shortest of each counts, so all see the same machine. Peaks are
what the kernel counted since it was told to forget the one before (Linux; elsewhere they are not told).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import ViTConfig, ViTModel

from benchmarks.readings.page import COSTS
from benchmarks.readings.rows import REFERENCE
from moca.core.files import write_text_whole
from moca.foundation.dino import Dino
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.preprocessing import preprocess_frames

MEASURED = {
    REFERENCE: PatchReading(),
    "token, high norms replaced": PatchReading(high_norm=2.0),
    "value": PatchReading(reading="value"),
    "clear": PatchReading(reading="clear"),
    "proxy": PatchReading(reading="proxy"),
}
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def models(size: str) -> tuple[ImageBind, Dino]:
    """The image side of an ImageBind and a DINO, both random; of "huge" the sizes of its row of the catalogue."""
    config = {"huge": ImageBindConfig.huge, "mini": ImageBindConfig.mini}[size]()
    encoder = random_imagebind(replace(config, audio_blocks=1), seed=0).requires_grad_(False)
    vit = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "patch_size": 8}
    if size == "mini":
        vit = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512, "patch_size": 8}
        vit |= {"num_hidden_layers": 6, "image_size": 112}
    return encoder, Dino(ViTModel(ViTConfig(**vit), add_pooling_layer=False))


@torch.inference_mode()
def read(encoder: ImageBind, reader: PatchReader, frames: list[np.ndarray]) -> torch.Tensor:
    """Patch features of frames, from pixels on."""
    tower = encoder.image_tower
    how = reader.keywords(reader.likeness(frames))
    pixels = preprocess_frames(frames, encoder.config.image_size)
    return encoder.project_image(tower(tower.tokens(pixels), **how))


def measured(run: Callable[[], object]) -> tuple[float, int | None]:
    """Seconds of a run, and the most memory in bytes that the process had during it; None where that is not told."""
    if FORGET.exists():
        FORGET.write_text("5")
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    if not (FORGET.exists() and STATUS.exists()):
        return seconds, None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return seconds, int(line.split()[1]) * 1024


def ratios(runs: dict[str, list[tuple[float, int | None]]]) -> dict[str, dict[str, float]]:
    """Shortest time and largest peak of each reading, as multiples of the reference's."""
    times = {name: min(seconds for seconds, _ in each) for name, each in runs.items()}
    peaks = {name: max(peak or 0 for _, peak in each) for name, each in runs.items()}
    return {
        name: {"time": times[name] / times[REFERENCE], "peak": peaks[name] / max(1, peaks[REFERENCE])} for name in runs
    }


def main() -> None:
    """Measure all readings in turns and write what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("huge", "mini"), default="huge")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/readings") / COSTS)
    options = parser.parse_args()
    encoder, dino = models(options.size)
    frames = [np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)]
    readers = {name: PatchReader(config=config, images=dino) for name, config in MEASURED.items()}
    shapes = {name: tuple(read(encoder, reader, frames).shape) for name, reader in readers.items()}
    runs: dict[str, list[tuple[float, int | None]]] = {name: [] for name in readers}
    for _ in range(options.repeats):
        for name, reader in readers.items():
            runs[name].append(measured(lambda reader=reader: read(encoder, reader, frames)))
            print(name, shapes[name], *runs[name][-1], flush=True)
    what = (
        f"ImageBind's image tower at the size of {options.size} and DINO on {dino.grid} x {dino.grid} patches, random "
        f"weights, float32 on {torch.get_num_threads()} thread(s), one frame from pixels to patch features; the "
        f"shortest of {options.repeats} runs. Patch features have shape {shapes['token']}, under proxy "
        f"{shapes['proxy']}."
    )
    write_text_whole(options.out, json.dumps({"what": what, "readings": ratios(runs)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
