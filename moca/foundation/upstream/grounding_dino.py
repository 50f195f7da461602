"""The original Grounding DINO (package groundingdino) against the model here, whose weights were converted from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from moca.foundation.grounding_dino.detector import load_grounding
from moca.foundation.upstream.comparing import Difference, original
from moca.foundation.upstream.inputs import drawn_frame

PACKAGE = "groundingdino"
ORIGINALS = {
    "grounding-dino-tiny": ("groundingdino_swint_ogc.pth", "GroundingDINO_SwinT_OGC.py"),
    "grounding-dino-base": ("groundingdino_swinb_cogcoor.pth", "GroundingDINO_SwinB_cfg.py"),
}
"""By name in the manifest: the original's checkpoint, and its configuration within the package."""
WORDS = ("ball", "egg")
BOX_THRESHOLD, TEXT_THRESHOLD = 0.1, 0.1


def compare_grounding(name: str | Path, checkpoint: Path, config: str) -> list[Difference]:
    """Boxes of some words in a drawn frame by both: how far each of ours is from the nearest of theirs, in pixels, and
    how far their scores are apart.

    name: what `load_grounding` takes. checkpoint, config: see ORIGINALS.
    """
    frame = drawn_frame(480, 640)
    (ours,) = load_grounding(name).detect(
        [frame], [list(WORDS)], box_threshold=BOX_THRESHOLD, text_threshold=TEXT_THRESHOLD
    )
    with original(PACKAGE, "util.inference") as (inference,), TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"
        Image.fromarray(frame).save(path)
        configs = Path(inference.__file__).parents[1] / "config"
        model = inference.load_model(str(configs / config), str(checkpoint), device="cpu")
        _, pixels = inference.load_image(str(path))
        boxes, scores, _ = inference.predict(
            model=model,
            image=pixels,
            caption=" . ".join(WORDS) + " .",
            box_threshold=BOX_THRESHOLD,
            text_threshold=TEXT_THRESHOLD,
            device="cpu",
        )
    theirs = _corners(np.asarray(boxes, np.float64), *frame.shape[:2])
    return list(matched(ours.xyxy, ours.scores, theirs, np.asarray(scores, np.float64)))


def matched(ours: np.ndarray, scores: np.ndarray, theirs: np.ndarray, their_scores: np.ndarray) -> Iterator[Difference]:
    """Differences of two sets of boxes (N, 4) and scores (N,), in whatever order; infinite where one alone is empty."""
    yield Difference(what="number of boxes", largest=abs(len(ours) - len(theirs)), allowed=0)
    if not len(ours) or not len(theirs):
        far = 0.0 if len(ours) == len(theirs) else np.inf
        yield Difference(what="corners of boxes", largest=far, allowed=2, unit=" px")
        return
    distances = np.abs(ours[:, None] - theirs[None]).max(-1)
    nearest = distances.argmin(1)
    yield Difference(what="corners of boxes", largest=float(distances.min(1).max()), allowed=2, unit=" px")
    apart = float(np.abs(scores - their_scores[nearest]).max())
    yield Difference(what="scores of boxes", largest=apart, allowed=2e-2)


def _corners(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Centres and sides as shares of the frame (N, 4) to corners in pixels."""
    centres, sides = boxes.reshape(-1, 4)[:, :2], boxes.reshape(-1, 4)[:, 2:]
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1) * np.array([width, height] * 2)
