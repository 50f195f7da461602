"""What a whole row of the catalogue takes: every model of its pipeline at its published size, with random weights.

    python -m benchmarks.rows clip.mp4 --model huge-lite huge --steps 2     # writes docs/results/bench_rows.*
    python -m benchmarks.rows                        # what to expect, added up from docs/results/bench_models.json

Each row runs in a process of its own, so that its peak is its own; float32 on the CPU. What random weights find means
nothing, and how many proposals they make is not what trained ones would make: seconds are told by part, with how often
each was asked, and --boxes limits them. Seconds are of this machine at this moment: the share of a part says more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from moca.core.files import write_text_whole
from moca.foundation.catalogue import CATALOGUE, SEGMENTING
from moca.foundation.manifest import needed_entries

RULE = "crops"
"""How proposals are chosen: the one that costs most, a pass of the image tower for each of them."""
GIB = 2**20
"""KiB, as Linux tells the peak."""


SAME_SIZE = {"owlv2-base-ensemble": "owlv2-base"}
"""Names of the manifest that `benchmarks.models` measures under another."""


def expected(model: str, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a row takes, from what its parts took one by one (the rows of bench_models.json by name).

    Weights of all parts are in memory at once, and the work of one at a time. Crops are told apart, as their number is
    that of the proposals.
    """
    row = CATALOGUE[model]
    used = [parts[SAME_SIZE.get(name := row.entry(role), name)] for role in SEGMENTING]
    weights = sum(part["weights_gib"] for part in used)
    towers = parts[row.encoder]
    return {
        "model": model,
        "download": sum(entry.size or 0 for entry in needed_entries(model)),
        "weights_gib": weights,
        "slim_gib": weights - towers["weights_gib"] / 2,
        "work_gib": max(part["peak_gib"] - part["weights_gib"] for part in used),
        "seconds": sum(part["seconds"] for part in used),
        "seconds_a_crop": towers["seconds"],
        "threads": towers["threads"],
    }


def expected_markdown(rows: list[dict[str, Any]]) -> str:
    """A table of `expected`."""
    lines = [
        "| model | download | weights, float32 | with a slim copy | work besides | a step | each proposal |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['download'] / 1e9:.1f} GB | {row['weights_gib']:.1f} GiB | "
            f"{row['slim_gib']:.1f} GiB | {row['work_gib']:.1f} GiB | {row['seconds']:.0f} s | at most "
            f"{row['seconds_a_crop']:.1f} s |"
        )
    lines += ["", f"Float32 on a CPU with {rows[0]['threads']} threads; a sum of parts measured one by one, see"]
    return "\n".join([*lines, "[bench_models.md](bench_models.md)."]) + "\n"


class Clock:
    """Seconds and calls of some functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def watch(self, owner: Any, function: str, name: str) -> None:
        """From now on, time a method of an object; one that it does not have is passed over."""
        if (plain := getattr(owner, function, None)) is not None:
            setattr(owner, function, self._timed(plain, name))

    def _timed(self, plain: Callable, name: str) -> Callable:
        self.seconds[name], self.calls[name] = 0.0, 0

        def run(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*given, **named)
            finally:
                self.seconds[name] += time.perf_counter() - began
                self.calls[name] += 1

        return run


def watched(segmenter: Any) -> Clock:
    """The parts of a segmenter under a clock; what encloses another includes it."""
    clock, pipeline = Clock(), segmenter.pipeline
    clock.watch(pipeline.towers, "hear", "audio tower")
    clock.watch(pipeline.towers, "prefix", "image tower, frozen part")
    clock.watch(pipeline.towers, "suffix", "image tower, last blocks")
    clock.watch(pipeline.encoder, "embed_image", "image tower on crops")
    if pipeline.proposer is not None:
        clock.watch(pipeline.proposer.objects, "detect", "OWLv2")
        clock.watch(pipeline.proposer.masks, "encode", "SAM, frame")
        clock.watch(pipeline.proposer.masks, "from_boxes", "SAM, boxes")
    if pipeline.reader.images is not None:
        clock.watch(pipeline.reader.images, "patches", "DINO")
    return clock


def child(options: argparse.Namespace) -> None:
    """What the fresh process does: load, segment some steps one at a time, and tell."""
    from moca.media import read_steps
    from moca.segmentation.config import ProposalConfig
    from moca.segmenter import Segmenter

    (model,), video, steps, weights = options.model, options.video, options.steps, options.weights
    proposals = ProposalConfig(kind="boxes", rule=RULE, box_limit=options.boxes)
    began = time.perf_counter()
    segmenter = Segmenter.load(
        model, weights=weights, device="cpu", batch_steps=1, proposals=proposals, bank=options.bank
    )
    loaded = time.perf_counter()
    print(f"{model} loaded in {loaded - began:.0f} s", file=sys.stderr, flush=True)
    clock = watched(segmenter)
    results = list(segmenter.segment_steps(islice(read_steps(video), steps)))
    seconds = time.perf_counter() - loaded
    proposals = [len(result.proposals) for result in results if result.proposals is not None]
    found = {
        "model": model,
        "weights": weights,
        "steps": len(results),
        "load_s": loaded - began,
        "cpu_s": time.process_time(),
    }
    found |= {"seconds_per_step": seconds / max(1, len(results)), "proposals": proposals}
    found |= {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB, "settings": segmenter.settings}
    found |= {"sounding": sum(bool(result.mask.any()) for result in results)}
    print(json.dumps({**found, "parts_s": clock.seconds, "parts_calls": clock.calls}, default=str))


def measure(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of a row, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.rows", str(options.video), "--child", "--model", model]
    command += ["--steps", str(options.steps), "--weights", options.weights, "--boxes", str(options.boxes)]
    command += ["--bank", str(options.bank)] if options.bank else []
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def markdown(rows: list[dict[str, Any]]) -> str:
    """One table of rows, and one of their parts."""
    lines = [
        "| model | steps | peak memory | load | a step | proposals a step | CPU, all in all |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        mean = sum(row["proposals"]) / len(row["proposals"]) if row["proposals"] else 0
        lines.append(
            f"| {row['model']}, {row['weights']} weights | {row['steps']} | {row['peak_gib']:.1f} GiB | "
            f"{row['load_s']:.0f} s | {row['seconds_per_step']:.1f} s | {mean:.0f} | {row['cpu_s']:.0f} s |"
        )
    lines += ["", "| model | part | seconds a step | share | calls a step |", "|---|---|---:|---:|---:|"]
    for row in rows:
        whole = row["seconds_per_step"]
        for name, seconds in row["parts_s"].items():
            each, calls = seconds / row["steps"], row["parts_calls"][name] / row["steps"]
            lines.append(f"| {row['model']} | {name} | {each:.1f} | {each / whole:.0%} | {calls:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the rows, print them, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, nargs="?", help="to measure; without one, what its parts took is added up")
    parser.add_argument("--model", nargs="+", default=["huge-lite", "huge"])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--weights", choices=("random", "trained"), default="random")
    parser.add_argument("--boxes", type=int, default=100, help="most boxes of a frame; random weights find as many")
    parser.add_argument("--bank", type=Path, help="folder of clips as other sounds, instead of 160 synthesised ones")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
    elif options.video is None:
        measured = json.loads((options.out / "bench_models.json").read_text(encoding="utf-8"))["models"]
        text = expected_markdown([expected(name, {row["model"]: row for row in measured}) for name in options.model])
        print(text)
        write_text_whole(options.out / "bench_rows_expected.md", text)
    else:
        rows = []
        for model in options.model:
            rows.append(measure(model, options))
            print(markdown(rows[-1:]), flush=True)
        write_text_whole(options.out / "bench_rows.json", json.dumps({"rows": rows}, indent=1) + "\n")
        write_text_whole(options.out / "bench_rows.md", markdown(rows))


if __name__ == "__main__":
    main()
