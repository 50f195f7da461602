"""The clips that an evaluation's report shows: which ones, and their pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from moca.core.files import write_bytes_whole
from moca.core.maps import shrink_mask
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.evaluation.cache import ClipCache
from moca.evaluation.protocols.protocol import decided_heat
from moca.reports.painting import Colour, paint_heat, paint_mask
from moca.reports.thumbnails import jpeg

if TYPE_CHECKING:
    from moca.core.method import Method
    from moca.core.step import StepResult
    from moca.evaluation import Clip, EvaluationProtocol, EvaluationResult

Item = TypeVar("Item")
TRUTH_COLOUR: Colour = (60, 220, 120)
CELL_PX = 128
"""Height of one picture; a frame wider than four times its height is lower, at that width."""
CELL_MIN_PX = 16
"""Least width and height of one picture; a narrower frame is stretched."""
CELL_MAX_WIDTH_PX = 4 * CELL_PX
FRAMES = 5
"""Most frames shown of a clip."""
_JPEG_QUALITY = 80


def chosen_clips(result: EvaluationResult, count: int, *, worst_first: bool = False) -> list[int]:
    """Indices in `result.clips` of the clips to show, sorted by the protocol's metric of a clip, those without it last.

    Best first, and where there are more than count, evenly spaced from the best to the worst; worst_first: the count
    worst ones. Raises InputError for a negative count.
    """
    if count < 0:
        raise InputError(f"the gallery must show at least 0 clips, got {count}; 0 leaves it out.")
    metric = result.measured_by.clip_main
    lower = result.measured_by.column(metric).better == "lower"
    sign = 1 if lower == (not worst_first) else -1

    def rank(index: int) -> tuple[bool, float, int]:
        value = result.clips[index].metrics[metric]
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value, index

    order = sorted(range(len(result.clips)), key=rank)
    if worst_first or count >= len(order):
        return order[:count]
    return _spaced(order, count)


def _spaced(items: Sequence[Item], count: int) -> list[Item]:
    """At most count items, evenly spaced from the first to the last; the first alone where count is 1."""
    if count >= len(items):
        return list(items)
    return [items[round(number * (len(items) - 1) / max(1, count - 1))] for number in range(count)]


def clip_pictures(
    method: Method,
    clips: Sequence[Clip],
    indices: Iterable[int],
    *,
    protocol: EvaluationProtocol,
    cache: str | Path | None = None,
    progress: Progress = silent,
) -> dict[int, bytes]:
    """JPEG of the clips at these indices, by index: see `draw_clip`.

    An evaluation keeps no masks, so the method runs once more on these clips; with a cache (that of `evaluate`) their
    pictures are kept there and a second report draws nothing anew. progress counts clips.
    """
    indices = list(indices)
    store = ClipCache(Path(cache), method, protocol) if cache is not None else None
    pictures = {}
    for done, index in enumerate(indices, start=1):
        path = store.path(clips[index], ".jpg") if store else None
        if path is not None and path.is_file():
            pictures[index] = path.read_bytes()
        else:
            pictures[index] = draw_clip(clips[index], list(method.segment_steps(clips[index].steps())))
            if path is not None:
                write_bytes_whole(path, pictures[index])
        progress("drawing clips", done, len(indices))
    return pictures


def draw_clip(clip: Clip, results: Sequence[StepResult]) -> bytes:
    """A JPEG of a clip: a column for each of up to five annotated frames, evenly spaced; results: one for each step.

    From top to bottom: the ground truth outlined, the method's mask, its heat map (black is 0, yellow is 1).
    """
    shown = [
        (step.frame, truth != 0, result)
        for step, truth, result in zip(clip.steps(), clip.truths(), results, strict=True)
        if truth is not None
    ]
    columns = [np.vstack(_cells(*step)) for step in _spaced(shown, FRAMES)]
    picture = np.hstack([column for column in columns if column.shape[0] == columns[0].shape[0]])
    return jpeg(picture, _JPEG_QUALITY)


def _cells(frame: np.ndarray, truth: np.ndarray, result: StepResult) -> list[np.ndarray]:
    """The truth, the mask and the heat map of a frame, one picture each."""
    height, width = _cell_size(*frame.shape[:2])
    way = cv2.INTER_AREA if frame.shape[0] > height else cv2.INTER_LINEAR
    small = cv2.resize(frame, (width, height), interpolation=way)
    heat = np.nan_to_num(decided_heat(result)).astype(np.float32)
    return [
        paint_mask(small, shrink_mask(truth, (height, width)), colour=TRUTH_COLOUR, alpha=0.15),
        paint_mask(small, shrink_mask(result.mask, (height, width))),
        paint_heat(small, cv2.resize(heat, (width, height), interpolation=way)),
    ]


def _cell_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the picture of a frame."""
    scale = min(CELL_PX / height, CELL_MAX_WIDTH_PX / width)
    return max(CELL_MIN_PX, round(height * scale)), max(CELL_MIN_PX, round(width * scale))
