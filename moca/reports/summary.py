"""What a video's steps come to, in a reader's words: the cards, the verdict and the reasons of its page."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from moca.reports.captions import format_time
from moca.reports.chart import StepRow
from moca.reports.templating import level_in_words, steps_in_words

_NUMBER = re.compile(r"(?<![\w.])-?(?:\d+(?:\.\d+)?|inf)(?![\w.]*\w)")


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


def verdict(reasons: Sequence[tuple[str, int]], total: int) -> str | None:
    """One plain sentence when there is nothing to see, and why; None when there is something.

    reasons: why masks are empty, and in how many steps, of total steps.
    """
    if not total:
        return "There is nothing to show: the video gave no steps."
    if sum(count for _, count in reasons) < total:
        return None
    if len(reasons) == 1:
        steps = "the only step" if total == 1 else f"every one of the {total} steps"
        return f"All masks are empty: in {steps} the reason is “{reasons[0][0]}”."
    parts = ", ".join(f"“{reason}” in {steps_in_words(count)}" for reason, count in reasons)
    return f"All masks are empty: {parts}."


def cards(rows: Sequence[StepRow]) -> list[tuple[str, str, str]]:
    """The figures at the top of the page: (label, figure, note)."""
    empty = sum(row.reason is not None for row in rows)
    masked = [row for row in rows if row.reason is None]
    loudest = max((row.level_dbfs for row in rows), default=-math.inf)
    scores = sorted(row.score for row in rows if math.isfinite(row.score))
    return [
        ("Steps", f"{len(rows)}", _span(rows)),
        ("With a mask", f"{len(masked)}", _share(len(masked), len(rows))),
        ("Empty mask", f"{empty}", _share(empty, len(rows))),
        ("Mean mask area", _mean_area(masked), "of the frame, where there is a mask"),
        ("Loudest step", level_in_words(loudest), "RMS level of its audio"),
        ("Median gate score", f"{scores[len(scores) // 2]:.2f}" if scores else "–", _score_note(scores)),
    ]


def _share(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.0f} % of the steps" if whole else "no steps"


def _span(rows: Sequence[StepRow]) -> str:
    return f"{format_time(rows[0].start_s)} to {format_time(rows[-1].end_s)}" if rows else "none were read"


def _mean_area(masked: Sequence[StepRow]) -> str:
    return f"{100.0 * sum(row.area for row in masked) / len(masked):.1f} %" if masked else "–"


def _score_note(scores: Sequence[float]) -> str:
    if not scores:
        return "computed in no step"
    return f"{scores[0]:.2f} to {scores[-1]:.2f} in {steps_in_words(len(scores))}".replace("-", "−")
