"""A self-contained page about one segmented video: figures, time line, and the steps themselves.

The builder is fed step by step and never holds the pictures of more than `max_steps` steps, as small JPEGs;
when more arrive it keeps every second one and from then on takes half as many. The figures of every step are
kept. The page has no script and needs no other file; templates/video.html lays it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from moca.core.changing import flattened
from moca.core.files import write_text_whole
from moca.core.step import Step, StepResult
from moca.errors import InputError
from moca.reports.captions import UNKNOWN_REASON
from moca.reports.chart import StepRow, draw_chart
from moca.reports.summary import cards, summarise_reasons, verdict
from moca.reports.templating import render
from moca.reports.thumbnails import Thumbnails, thumbnails
from moca.version import __version__


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
        self._pictures: dict[int, Thumbnails] = {}  # by position in _rows

    def add(self, step: Step, result: StepResult) -> None:
        """Take one step; neither the frame nor the result is kept."""
        position = len(self._rows)
        if position % self._stride == 0:
            self._pictures[position] = thumbnails(step.frame, result)
        self._rows.append(_row(result))
        while len(self._pictures) > self._max_steps:
            self._stride *= 2
            self._pictures = {
                position: picture for position, picture in self._pictures.items() if position % self._stride == 0
            }

    def note(self, text: str) -> None:
        """Add a warning that only came up while the steps were made."""
        self._notes = (*self._notes, text)

    def write(self, path: str | Path, *, links: Mapping[str, str] | None = None) -> None:
        """Write the page, completely or not at all.

        links: label -> name of a file or folder beside the page, such as "masks" -> "masks/"; the video under
        the label "overlay" is also embedded.
        """
        write_text_whole(Path(path), self._render(dict(links or {})))

    def _render(self, links: Mapping[str, str]) -> str:
        pictures = [(self._rows[position], picture) for position, picture in self._pictures.items()]
        total, reasons = len(self._rows), summarise_reasons(row.reason for row in self._rows)
        return render(
            "video.html",
            title=self._title,
            info=self._info,
            links=links,
            notes=self._notes,
            verdict=verdict(reasons, total),
            cards=cards(self._rows),
            reasons=reasons,
            poster=next((picture.mask for _, picture in pictures if picture.mask), None),
            total=total,
            chart=draw_chart(self._rows, {row.index for row, _ in pictures}) if total else None,
            pictures=pictures,
            staged=any(picture.proposals for _, picture in pictures),
            count=_count(len(pictures), total),
            settings=self._settings,
            versions=self._versions,
            version=__version__,
        )


def _count(shown: int, total: int) -> str:
    """How many of the steps are shown with pictures."""
    if total <= 1:
        return "1"
    return f"all {total}" if shown == total else f"{shown} of {total}, evenly spaced"


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
