"""Peak memory of segmenting: a long video against a short one, or one video with a given model.

    python -m benchmarks.memory                                         # mini, 1 minute against 15 minutes
    python -m benchmarks.memory --video clip.mp4 --model huge --weights random

Each run is a process of its own, so that its peak is its own. Everything is written: masks, overlay, report.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RATE_HZ, HEIGHT, WIDTH = 10, 120, 160


def write_clip(path: Path, seconds: int) -> None:
    """A drifting picture with a tone that comes and goes."""
    from moca.media import write_video

    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = (np.roll(picture, shift, axis=1) for shift in range(seconds * RATE_HZ))
    time_s = np.arange(seconds * 16_000) / 16_000
    audio = (0.3 * np.sin(2 * np.pi * 440 * time_s) * (time_s % 4 < 2)).astype(np.float32)
    write_video(path, frames, rate_hz=RATE_HZ, audio=audio, sample_rate_hz=16_000)


def measure(video: Path, model: str, weights: str) -> dict[str, float]:
    """Segment in a fresh process; steps, steps with a mask, seconds and peak resident GiB."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", "--video", str(video)]
    run = subprocess.run([*command, "--model", model, "--weights", weights], check=True, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def child(video: Path, model: str, weights: str) -> None:
    """What the fresh process does."""
    from moca.output.config import OutputConfig
    from moca.output.segment_file import segment_file
    from moca.segmenter import Segmenter

    began = time.monotonic()
    segmenter = Segmenter.load(model, weights=weights, device="cpu", batch_steps=2 if model == "huge" else 8)
    with tempfile.TemporaryDirectory() as folder:
        summary = segment_file(segmenter, video, Path(folder) / "out", OutputConfig())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    seconds = time.monotonic() - began
    print(json.dumps({"steps": summary.steps, "sounding": summary.sounding, "seconds": seconds, "peak_gib": peak}))


def main() -> None:
    """Print a row per video, and the ratio of the two peaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--weights", default="trained")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.video, options.model, options.weights)
        return
    with tempfile.TemporaryDirectory() as folder:
        videos = [options.video] if options.video else [Path(folder) / "1 min.mp4", Path(folder) / "15 min.mp4"]
        if not options.video:
            for video, seconds in zip(videos, (60, 900), strict=True):
                write_clip(video, seconds)
        rows = [measure(video, options.model, options.weights) for video in videos]
    for video, row in zip(videos, rows, strict=True):
        print(
            f"{options.model}, {video.stem}: {row['steps']} steps, {row['sounding']} with a mask, "
            f"{row['seconds']:.0f} s, peak {row['peak_gib']:.2f} GiB"
        )
    if len(rows) == 2:
        print(f"15 times as long, {rows[1]['peak_gib'] / rows[0]['peak_gib']:.2f} times the memory")


if __name__ == "__main__":
    main()
