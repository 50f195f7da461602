"""Draw the bundled sample clip, what the mini model makes of it, and a look at Soundstage.

    python -m recipes.draw_sample

The clip is a Soundstage MS3 scene of the test split, so no model has seen it; the picture is made from the
files that `moca segment` writes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np

from moca.media import read_steps, write_video
from moca.output.config import OutputConfig
from moca.output.segment_file import segment_file
from moca.reports.painting import contact_sheet, paint_mask
from moca.segmenter import Segmenter
from moca.stage import StageConfig, derive_seed, sample_clip, sample_frame


def draw_clip(path: Path, index: int) -> None:
    """Write the clip."""
    clip = sample_clip(derive_seed(0, "test", "ms3", index), "ms3", StageConfig(size=320, rate_hz=12))
    write_video(path, iter(clip.frames), rate_hz=12, audio=clip.audio, sample_rate_hz=16_000)


def draw_picture(clip: Path, path: Path) -> None:
    """Frames above, what sounds below, one column a second, from the written masks."""
    with tempfile.TemporaryDirectory() as folder:
        segment_file(Segmenter.load("mini"), clip, Path(folder), OutputConfig(overlay=False, report=False))
        steps = json.loads((Path(folder) / "segments.json").read_text())["steps"]
        masks = [cv2.imread(str(Path(folder) / step["mask"]), cv2.IMREAD_GRAYSCALE) > 0 for step in steps]
    frames = [step.frame for step in read_steps(clip)]
    painted = [paint_mask(frame, mask) for frame, mask in zip(frames, masks, strict=True)]
    sheet = contact_sheet([*frames, *painted], columns=len(frames))
    cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(sheet), cv2.COLOR_RGB2BGR))


def draw_world(path: Path) -> None:
    """Single objects, S4-like and MS3-like scenes, a row each of every kind; what sounds is outlined."""
    rows = []
    for kind in ("single", "s4", "ms3"):
        for index in range(10):
            drawn = sample_frame(derive_seed(0, "train", kind, index), kind, size=160)
            rows.append(paint_mask(drawn.frame, drawn.mask > 0, alpha=0.0))
    sheet = contact_sheet(rows, columns=10)
    cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(sheet), cv2.COLOR_RGB2BGR))


def main() -> None:
    """Write docs/sample.mp4, docs/sample.png and docs/soundstage.jpg."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("docs"))
    parser.add_argument("--index", type=int, default=10)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    draw_clip(options.out / "sample.mp4", options.index)
    draw_picture(options.out / "sample.mp4", options.out / "sample.png")
    draw_world(options.out / "soundstage.jpg")


if __name__ == "__main__":
    main()
