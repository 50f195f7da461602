"""What each frozen model does for the method: one small protocol a role, arrays in and arrays out.

Which model serves in a role is said by `moca.foundation.catalogue`.

Frames are RGB uint8 (H, W, 3) of any size. Boxes are float32 (N, 4): x0, y0, x1, y1 in pixels of the frame, corners
on the edges of pixels, so that 0, 0, W, H is the whole frame. Scores are float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Frames = np.ndarray | Sequence[np.ndarray]
"""RGB uint8 (B, H, W, 3), which may be memory-mapped, or a sequence of (H, W, 3) of any sizes."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """N boxes of one frame, best first."""

    xyxy: np.ndarray
    """(N, 4) float32 in pixels."""
    scores: np.ndarray
    """(N,) float32 in [0, 1]."""
    labels: tuple[str, ...] | None = None
    """The words that each box answers to, or None where the detector knows no words."""

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True, kw_only=True)
class Masks:
    """N masks of one frame, in the order of their prompts unless told otherwise."""

    masks: np.ndarray
    """(N, H, W) bool."""
    scores: np.ndarray
    """(N,) float32, the IoU that the model expects its mask to have."""
    stability: np.ndarray
    """(N,) float32 in [0, 1], IoU of the mask with itself at a higher and a lower threshold."""

    def __len__(self) -> int:
        return len(self.masks)


class ImageFeatures(Protocol):
    """Frames to features (DINO)."""

    width: int

    def features(self, frames: Frames) -> np.ndarray:
        """One feature a frame, (B, D) float32."""

    def patches(self, frames: Frames) -> np.ndarray:
        """Features of a grid of patches, (B, G, G, D) float32."""


class AudioTagger(Protocol):
    """Sounds to what is heard (AST)."""

    labels: tuple[str, ...]

    def tag(self, waves: np.ndarray | Sequence[np.ndarray], *, sample_rate_hz: int) -> np.ndarray:
        """Probability of every label for every sound, (B, len(labels)) float32 in [0, 1]."""


class ObjectDetector(Protocol):
    """Boxes of whatever is an object, without words (OWLv2's objectness)."""

    def detect(self, frames: Frames, *, threshold: float, limit: int, nms_iou: float | None) -> list[Boxes]:
        """At most `limit` boxes a frame that score at least `threshold`, best first.

        Of two boxes that overlap by more than nms_iou the better one is kept; None keeps both.
        """


class WordDetector(Protocol):
    """Boxes of what some words name (Grounding DINO)."""

    def detect(
        self,
        frames: Frames,
        words: Sequence[Sequence[str]],
        *,
        box_threshold: float,
        text_threshold: float,
        nms_iou: float | None = None,
    ) -> list[Boxes]:
        """Boxes of every frame for its own words, with labels, best first; no words give no boxes.

        Of two boxes that overlap by more than nms_iou the better one is kept; None keeps both.
        """


class MaskPredictor(Protocol):
    """Masks from prompts (SAM): a frame is encoded once and asked as often as needed."""

    def encode(self, frames: Frames) -> list[Any]:
        """What the model keeps of every frame: one opaque value each, to hand to the methods below."""

    def from_boxes(self, encoded: Any, boxes: np.ndarray) -> Masks:
        """One mask a box (N, 4)."""

    def from_points(self, encoded: Any, points: np.ndarray) -> Masks:
        """Three masks a point (N, 2), x and y in pixels: those of point 0 first, 3 N in all."""
