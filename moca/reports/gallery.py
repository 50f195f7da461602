"""The report's steps: their pictures side by side. Every text from outside passes through `escape`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moca.reports.captions import format_level, format_time, meter_fill
from moca.reports.chart import StepRow, escape


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """The pictures of one step as JPEG bytes, width x height pixels; mask is None where it is empty.

    coarse, proposals: None where no mask proposals were made; else proposed of them were, and matched match.
    """

    width: int
    height: int
    frame: bytes
    heat: bytes
    mask: bytes | None
    frame_s: float
    segments: int
    coarse: bytes | None = None
    proposals: bytes | None = None
    proposed: int = 0
    matched: int = 0


def draw_gallery(pictures: Sequence[tuple[StepRow, Picture]], total: int) -> Iterator[str]:
    """HTML of the steps shown, of `total` that there are.

    Where one of them has mask proposals, every step has room for the coarse mask and the proposals, too.
    """
    shown = len(pictures)
    count = f"all {total}" if shown == total > 1 else f"{shown} of {total}, evenly spaced"
    staged = any(picture.proposals for _, picture in pictures)
    stages = "<span>Coarse mask</span><span>Proposals</span>" if staged else ""
    yield f'<section class="card"><h2>Steps <span class="count">{count if total > 1 else "1"}</span></h2>'
    if staged:
        yield (
            '<p class="note">Proposals are outlined, each in its own colour; those that match the coarse mask keep the '
            "frame’s colours and make the mask.</p>"
        )
    yield (
        f'<div class="row head{" staged" if staged else ""}" aria-hidden="true"><span></span><span>Frame</span>'
        f'<span>Heat <i class="ramp"></i> score per pixel, 0 to 1</span>{stages}<span>Mask</span></div>'
    )
    for row, picture in pictures:
        yield from _gallery_row(row, picture, staged)
    yield "</section>"


def _gallery_row(row: StepRow, picture: Picture, staged: bool) -> Iterator[str]:
    time = format_time(picture.frame_s)
    score = "–" if math.isnan(row.score) else f"{row.score:.3f}".replace("-", "−")
    level = format_level(row.level_dbfs).replace("-", "−")
    fill = 100.0 * meter_fill(row.level_dbfs)
    yield f'<article class="row{" staged" if staged else ""}" id="step-{row.index}"><div class="meta"><h3>{time}</h3>'
    yield f'<span class="meter" aria-hidden="true"><i style="width:{fill:.0f}%"></i></span><dl>'
    yield f"<dt>Step</dt><dd>{row.index}</dd><dt>Level</dt><dd>{level}</dd><dt>Score</dt><dd>{score}</dd>"
    yield f"<dt>Area</dt><dd>{100.0 * row.area:.1f} %</dd>"
    if picture.segments:
        yield f"<dt>Segments</dt><dd>{picture.segments}</dd>"
    if picture.proposals:
        yield f"<dt>Match</dt><dd>{picture.matched} of {picture.proposed}</dd>"
    yield "</dl></div>"
    shots = [
        ("Frame", _image(picture.frame, picture, f"Frame at {time}")),
        ("Heat", _image(picture.heat, picture, f"Heat map at {time}: score per pixel")),
        *_stage_shots(picture, time),
        ("Mask", _mask_shot(row, picture, time)),
    ]
    if staged:
        place = "" if picture.proposals else ' class="last"' if picture.mask else ' class="wide"'
        places = [*[""] * (len(shots) - 1), place]
        parts = zip(shots, places, strict=True)
        yield from (f"<figure{at}>{shot}<figcaption>{name}</figcaption></figure>" for (name, shot), at in parts)
    else:
        yield from (shot for _, shot in shots)
    yield "</article>"


def _stage_shots(picture: Picture, time: str) -> Iterator[tuple[str, str]]:
    if picture.coarse and picture.proposals:
        yield "Coarse mask", _image(picture.coarse, picture, f"Coarse mask at {time}")
        found = f"{picture.matched} of {picture.proposed} match"
        yield f"Proposals: {found}", _image(picture.proposals, picture, f"Proposals at {time}: {found}")


def _mask_shot(row: StepRow, picture: Picture, time: str) -> str:
    if picture.mask is None:
        ratio = f"aspect-ratio:{picture.width}/{picture.height}"
        return f'<div class="blank" style="{ratio}"><p><b>Empty mask</b>{escape(row.reason or "")}</p></div>'
    return _image(picture.mask, picture, f"Mask at {time}: {100.0 * row.area:.1f} % of the frame is tinted")


def _image(data: bytes, picture: Picture, alt: str) -> str:
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="{data_url(data)}" {size} alt="{escape(alt)}">'


def data_url(jpeg: bytes) -> str:
    """A JPEG as the address of itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
