"""The report's HTML. No script, no external resource; every text from outside passes through `escape`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from moca.reports.captions import format_level, format_time
from moca.reports.chart import StepRow, draw_chart, escape
from moca.reports.gallery import Picture, data_url, draw_gallery
from moca.reports.style import STYLE
from moca.version import __version__


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the page shows; `ReportBuilder` describes the fields. reasons: (reason, steps)."""

    title: str
    info: Mapping[str, object]
    notes: Sequence[str]
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    rows: Sequence[StepRow]
    pictures: Sequence[tuple[StepRow, Picture]]
    reasons: Sequence[tuple[str, int]]
    links: Mapping[str, str]


def render_page(page: Page) -> str:
    """The complete HTML document."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(page.title)} · MoCA-AVS</title>",
        f"<style>{STYLE}</style></head><body>",
        *_header(page),
        "<main>",
        *(_banner("warning", note) for note in page.notes),
        *_verdict(page),
        *_summary(page),
    ]
    if page.rows:
        shown = {row.index for row, _ in page.pictures}
        parts += _chart(draw_chart(page.rows, shown))
        parts += draw_gallery(page.pictures, len(page.rows))
    parts += [
        *_table("Settings", page.settings),
        *_table("Versions", page.versions),
        "</main>",
        f"<footer>Made by MoCA-AVS {escape(__version__)}. The page is complete in itself: nothing is loaded "
        "from elsewhere, except the overlay video beside it where there is one.</footer>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _header(page: Page) -> Iterator[str]:
    yield '<header><p class="kicker">Which pixels make the sound</p>'
    yield f"<h1>{escape(page.title)}</h1>"
    if page.info:
        yield '<dl class="facts">'
        for label, value in page.info.items():
            yield f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        yield "</dl>"
    if page.links:
        links = (f'<a href="{_href(name)}">{escape(label)}</a>' for label, name in page.links.items())
        yield f'<p class="files"><span>Beside this page</span> {" ".join(links)}</p>'
    yield "</header>"


def _banner(kind: str, text: str) -> str:
    sign = {"warning": "!", "empty": "∅"}[kind]
    return (
        f'<p class="banner {kind}" role="note"><span class="sign" aria-hidden="true">{sign}</span>'
        f"<span>{escape(text)}</span></p>"
    )


def _verdict(page: Page) -> Iterator[str]:
    """One plain sentence when there is nothing to see, and why."""
    total = len(page.rows)
    if not total:
        yield _banner("empty", "There is nothing to show: the video gave no steps.")
    elif sum(count for _, count in page.reasons) == total:
        steps = "the only step" if total == 1 else f"every one of the {total} steps"
        if len(page.reasons) == 1:
            yield _banner("empty", f"All masks are empty: in {steps} the reason is “{page.reasons[0][0]}”.")
        else:
            parts = ", ".join(f"“{reason}” in {_steps(count)}" for reason, count in page.reasons)
            yield _banner("empty", f"All masks are empty: {parts}.")


def _summary(page: Page) -> Iterator[str]:
    rows = page.rows
    empty = sum(row.reason is not None for row in rows)
    masked = [row for row in rows if row.reason is None]
    loudest = max((row.level_dbfs for row in rows), default=-math.inf)
    scores = sorted(row.score for row in rows if math.isfinite(row.score))
    cards = [
        ("Steps", f"{len(rows)}", _span(rows)),
        ("With a mask", f"{len(masked)}", _share(len(masked), len(rows))),
        ("Empty mask", f"{empty}", _share(empty, len(rows))),
        ("Mean mask area", _mean_area(masked), "of the frame, where there is a mask"),
        ("Loudest step", format_level(loudest).replace("-", "−"), "RMS level of its audio"),
        ("Median gate score", f"{scores[len(scores) // 2]:.2f}" if scores else "–", _score_note(scores)),
    ]
    yield f'<section class="hero{" with-video" if "overlay" in page.links else ""}" aria-label="Summary">'
    if "overlay" in page.links:
        yield _video(page)
    yield '<div><dl class="cards">'
    for label, figure, note in cards:
        yield f'<div><dt>{label}</dt><dd><b>{escape(figure)}</b><span class="note">{note}</span></dd></div>'
    yield "</dl>"
    if page.reasons:
        yield '<h2 class="small">Why masks are empty</h2><ul class="reasons">'
        for reason, count in page.reasons[:12]:
            share = 100.0 * count / len(rows)
            yield f'<li><span class="bar" aria-hidden="true"><i style="width:{share:.1f}%"></i></span>'
            yield f"<span>{escape(reason)}</span><b>{_steps(count)}</b></li>"
        if len(page.reasons) > 12:
            yield f"<li><span>and {len(page.reasons) - 12} more reasons, each as rare or rarer</span></li>"
        yield "</ul>"
    yield "</div></section>"


def _video(page: Page) -> str:
    source = _href(page.links["overlay"])
    poster = next((picture.mask for _, picture in page.pictures if picture.mask), None)
    attribute = f' poster="{data_url(poster)}"' if poster else ""
    return (
        f'<figure class="video"><video src="{source}" controls preload="metadata"{attribute}>'
        f'<a href="{source}">Overlay video</a></video>'
        "<figcaption>The whole video with its sound; tinted pixels make the sound.</figcaption></figure>"
    )


def _chart(svg: str) -> Iterator[str]:
    yield '<section class="card"><h2>Over time</h2>'
    yield (
        '<p class="legend"><span class="key"></span>empty mask'
        '<span class="hint">Rest the pointer on a step for its figures; click to see its pictures.</span></p>'
    )
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="Chart">{svg}</div></section>'


def _table(title: str, values: Mapping[str, object]) -> Iterator[str]:
    if values:
        yield f'<details class="card"><summary>{title} <span class="count">{len(values)}</span></summary>'
        yield "<table>"
        for name, value in values.items():
            yield f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        yield "</table></details>"


def _href(name: str) -> str:
    """Always relative to the page, whatever the name: './' cannot be followed by a scheme or a host."""
    return "./" + quote(name.encode("utf-8", "surrogateescape"), safe="/")


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _share(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.0f} % of the steps" if whole else "no steps"


def _span(rows: Sequence[StepRow]) -> str:
    return f"{format_time(rows[0].start_s)} to {format_time(rows[-1].end_s)}" if rows else "none were read"


def _mean_area(masked: Sequence[StepRow]) -> str:
    return f"{100.0 * sum(row.area for row in masked) / len(masked):.1f} %" if masked else "–"


def _score_note(scores: Sequence[float]) -> str:
    if not scores:
        return "computed in no step"
    return f"{scores[0]:.2f} to {scores[-1]:.2f} in {_steps(len(scores))}".replace("-", "−")
