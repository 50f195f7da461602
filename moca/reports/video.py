"""A self-contained page about one segmented video: figures, time line, and the steps themselves.

The builder is fed step by step and never holds the pictures of more than `max_steps` steps, as small JPEGs;
when more arrive it keeps every second one and from then on takes half as many. The figures of every step are
kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from moca.core.files import write_text_whole
from moca.core.maps import shrink_mask, size_within
from moca.core.settings import flattened
from moca.core.step import StepResult
from moca.errors import InputError
from moca.reports.captions import UNKNOWN_REASON
from moca.reports.chart import StepRow
from moca.reports.gallery import Picture
from moca.reports.page import Page, render_page
from moca.reports.painting import COARSE_COLOUR, paint_heat, paint_mask, paint_proposals
from moca.reports.pictures import jpeg

if TYPE_CHECKING:
    from moca.core.step import Step

THUMBNAIL_PX = 420  # longer side
_JPEG_QUALITY = 82
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d+(?:\.\d+)?|inf)(?![\w.]*\w)")


class ReportBuilder:
    """Collects the steps of one video and writes them as one HTML file.

    title: usually the video's file name. settings: name -> value or nested mapping, listed at the end of the
    page. info: label -> value for the header (size, rate, duration, model, licence). notes: warnings, shown
    before everything else. versions: package -> version. max_steps: steps shown with pictures, at least 1.
    """

    def __init__(
        self,
        title: str,
        settings: Mapping[str, object],
        info: Mapping[str, object],
        notes: Sequence[str],
        max_steps: int = 60,
        *,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        if max_steps < 1:
            raise InputError(f"max_steps must be at least 1 (steps shown with pictures), got {max_steps}.")
        self._title = title
        self._settings, self._info, self._notes = dict(flattened(settings)), dict(info), tuple(notes)
        self._versions = dict(versions or {})
        self._max_steps = max_steps
        self._stride = 1
        self._rows: list[StepRow] = []
        self._pictures: dict[int, Picture] = {}  # by position in _rows

    def add(self, step: Step, result: StepResult) -> None:
        """Take one step; neither the frame nor the result is kept."""
        position = len(self._rows)
        if position % self._stride == 0:
            self._pictures[position] = _picture(step.frame, result)
        self._rows.append(_row(result))
        while len(self._pictures) > self._max_steps:
            self._stride *= 2
            self._pictures = {at: p for at, p in self._pictures.items() if at % self._stride == 0}

    def note(self, text: str) -> None:
        """Add a warning that only came up while the steps were made."""
        self._notes = (*self._notes, text)

    def write(self, path: str | Path, *, links: Mapping[str, str] | None = None) -> None:
        """Write the page, completely or not at all.

        links: label -> name of a file or folder beside the page, such as "masks" -> "masks/"; the video under
        the label "overlay" is also embedded.
        """
        page = Page(
            title=self._title,
            info=self._info,
            notes=self._notes,
            settings=self._settings,
            versions=self._versions,
            rows=self._rows,
            pictures=[(self._rows[at], picture) for at, picture in self._pictures.items()],
            reasons=summarise_reasons(row.reason for row in self._rows),
            links=dict(links or {}),
        )
        write_text_whole(Path(path), render_page(page))


def summarise_reasons(reasons: Iterable[str | None]) -> list[tuple[str, int]]:
    """Count reasons, most frequent first; those that differ in numbers only count as one.

    None is no reason and is left out. Where a number differs, its smallest and largest value are named.

    >>> summarise_reasons(["level -72 dBFS", None, "level -80 dBFS", "no audio"])
    [('level -80 to -72 dBFS', 2), ('no audio', 1)]
    """
    counts: Counter[tuple[str, ...]] = Counter()  # by the words between the numbers
    ranges: dict[tuple[str, ...], list[tuple[str, str]]] = {}  # smallest and largest, per number
    for reason in reasons:
        if reason is None:
            continue
        words, numbers = tuple(_NUMBER.split(reason)), _NUMBER.findall(reason)
        known = ranges.get(words, [(number, number) for number in numbers])
        ranges[words] = [
            (min(low, number, key=float), max(high, number, key=float))
            for (low, high), number in zip(known, numbers, strict=True)
        ]
        counts[words] += 1
    summary = []
    for words, count in counts.most_common():
        texts = [low if float(low) == float(high) else f"{low} to {high}" for low, high in ranges[words]]
        parts = zip(words, [*texts, ""], strict=True)
        summary.append(("".join(word + text for word, text in parts), count))
    return summary


def _row(result: StepResult) -> StepRow:
    area = float(result.mask.mean())
    return StepRow(
        index=result.index,
        start_s=float(result.start_s),
        end_s=float(result.end_s),
        level_dbfs=float(result.level_dbfs),
        score=float(result.score),
        area=area,
        reason=None if area else result.reason or UNKNOWN_REASON,
    )


def _picture(frame: np.ndarray, result: StepResult) -> Picture:
    """Frame, heat map, mask and, where there are some, proposals as small JPEGs; shrunk first: outlines stay crisp."""
    size = size_within(frame.shape[:2], THUMBNAIL_PX)[::-1]
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    heat = cv2.resize(np.nan_to_num(result.heat).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mask = shrink_mask(result.mask, size[::-1])
    return Picture(
        width=size[0],
        height=size[1],
        frame=jpeg(small, _JPEG_QUALITY),
        heat=jpeg(paint_heat(small, heat), _JPEG_QUALITY),
        mask=jpeg(paint_mask(small, mask), _JPEG_QUALITY) if mask.any() else None,
        frame_s=float(result.frame_s),
        segments=len(result.segments),
        **_stages(small, result),
    )


def _stages(small: np.ndarray, result: StepResult) -> dict[str, Any]:
    """The coarse mask and the proposals on a small frame, and what they come to; nothing where none were made."""
    proposals = result.proposals
    if result.coarse is None or proposals is None:
        return {}
    size = small.shape[:2]
    masks = [shrink_mask(mask, size) for mask in proposals.masks]
    return {
        "coarse": jpeg(paint_mask(small, shrink_mask(result.coarse, size), colour=COARSE_COLOUR), _JPEG_QUALITY),
        "proposals": jpeg(paint_proposals(small, masks, proposals.matched), _JPEG_QUALITY),
        "proposed": len(proposals),
        "matched": len(proposals.matched),
    }
