"""Do several threads that share one method get what one thread gets, bit for bit?

    python -m benchmarks.threads [--threads 8] [--clips 50] [--only moca snapped sam-bind owod-bind at-gdino-sam]

Every thread segments every clip, each starting at another one, and every result is compared with what one thread alone
got. Exit code 1 where any bit differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from moca.core.frames import resized
from moca.core.method import Method
from moca.core.step import Step, StepResult
from moca.media.video import read_steps
from moca.methods import load_method

SAMPLE = Path(__file__).resolve().parents[1] / "docs" / "sample.mp4"
OPEN = {"gate": -1.0, "gate_frozen": -0.99}  # both gates are computed, and let everything through
METHODS: dict[str, Callable[[], Method]] = {
    "moca": lambda: load_method("moca", settings=OPEN),
    "snapped": lambda: load_method(
        "moca", settings={**OPEN, "proposals": "none", "sounding": "otsu", "refine": True, "mirror": True}
    ),
    "sam-bind": lambda: load_method("sam-bind", settings={"bind_threshold": -1.0, "points_per_side": 4}),
    "owod-bind": lambda: load_method(
        "owod-bind", settings={"bind_threshold": -1.0, "box_threshold": 0.01, "box_limit": 8}
    ),
    "at-gdino-sam": lambda: load_method(
        "at-gdino-sam", settings={"tag_threshold": 0.0, "box_threshold": 0.05, "text_threshold": 0.05}
    ),
}
"""Methods on mini that find something in every clip, so that all of their parts are run."""


def some_clips(count: int, *, width: int | None = None) -> list[list[Step]]:
    """Clips of one step each, no two alike: steps of the sample, their frames rolled and their sounds made fainter.

    width: of the frames in pixels; None leaves them as they are.
    """
    originals, clips = list(read_steps(SAMPLE)), []
    for clip in range(count):
        step = originals[clip % len(originals)]
        height, own_width = step.frame.shape[:2]
        frame = step.frame if width is None else resized(step.frame, width, round(height * width / own_width))
        rolled = np.roll(frame, 3 * clip, axis=1)
        clips.append([replace(step, frame=rolled, audio=step.audio * np.float32(0.99**clip))])
    return clips


def bits(result: StepResult) -> tuple[bytes, ...]:
    """Everything a result says, as bytes that are equal only where every bit is."""
    figures = repr((result.score, result.reason, [(part.score, part.label) for part in result.segments]))
    arrays = [result.mask, result.heat, *(part.mask for part in result.segments)]
    if result.proposals is not None:
        arrays += [result.coarse, result.proposals.masks, result.proposals.scores, result.proposals.measured]
        figures += repr(result.proposals.matched)
    return figures.encode(), *(array.tobytes() for array in arrays)


def differing_clips(method: Method, clips: Sequence[Sequence[Step]], threads: int) -> list[tuple[int, int]]:
    """(thread, clip) of every clip that one of several threads segments otherwise than one thread alone."""

    def segmented(clip: int) -> list[tuple[bytes, ...]]:
        return [bits(result) for result in method.segment_steps(clips[clip])]

    alone = [segmented(clip) for clip in range(len(clips))]

    def compared(thread: int) -> list[tuple[int, int]]:
        order = np.roll(np.arange(len(clips)), -thread)
        return [(thread, int(clip)) for clip in order if segmented(clip) != alone[clip]]

    with ThreadPoolExecutor(threads) as pool:
        return [pair for pairs in pool.map(compared, range(threads)) for pair in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    clips, bad = some_clips(options.clips), False
    for name in options.only:
        method, start = METHODS[name](), time.perf_counter()
        pairs = differing_clips(method, clips, options.threads)
        seconds = time.perf_counter() - start
        print(f"{name}: {options.threads} x {len(clips)} clips, {len(pairs)} differ, {seconds:.0f} s", flush=True)
        bad |= bool(pairs)
    sys.exit(bad)


if __name__ == "__main__":
    main()
