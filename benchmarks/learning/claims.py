"""What was hoped for and what was measured, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

KINDS = {"s4": "S4", "ms3": "MS3"}
READINGS = ("frozen, projected tokens", "frozen, last block's values", "frozen, last two blocks' values")
Results = dict[tuple[str, str], list[dict]]


def claims(results: Results) -> list[list[str]]:
    """Lines of (what, where, hoped for, measured, verdict); those whose rows were not run are left out."""
    lines = []
    for words, where, target, measured in _claims(results):
        if measured is None:
            continue
        verdict = "" if target is None else ("met" if measured >= target else "missed")
        hoped = "" if target is None else f"{target:.2f}"
        lines.append([words, where, hoped, f"{measured:.3f}", verdict])
    if (area := false_area(results)) is not None:
        verdict = "met" if area <= 0.02 else "missed"
        words = "moca, dense: mean false-positive area over silence, noise and off-screen sound (at most)"
        lines.append([words, "", "0.02", f"{area:.3f}", verdict])
    return lines


def _claims(results: Results) -> Iterator[tuple[str, str, float | None, float | None]]:
    hoped = {"s4": 0.10, "ms3": 0.06}
    for kind, short in KINDS.items():
        frozen, own, snapped = (
            (row, key) for row, key in (("frozen", "own"), ("moca", "own"), ("moca", "own, snapped"))
        )
        yield (
            "dense: moca as it ships (snapped) over frozen",
            short,
            hoped[kind],
            _gap(results, "dense", kind, snapped, frozen),
        )
        yield "the same, neither snapped", short, hoped[kind], _gap(results, "dense", kind, own, frozen)
        ceiling = ("moca with true masks (ceiling)", "own")
        yield (
            "its ceiling: trained with true masks, neither snapped",
            short,
            None,
            _gap(results, "dense", kind, ceiling, frozen),
        )
        both = ("moca", "own, snapped"), ("frozen", "own, snapped")
        yield "the same, both snapped", short, None, _gap(results, "dense", kind, *both)
    for kind, short in KINDS.items():
        scored = [(value(results, "class", row, kind, "own"), row) for row in READINGS]
        known = [pair for pair in scored if pair[0] is not None]
        if not known:
            continue
        best = max(known)[1]
        target = {"s4": 0.0, "ms3": 0.03}[kind]
        pair = ("moca", "own"), (best, "own")
        yield (
            f"class token: moca over the best frozen reading ({best}), neither snapped",
            short,
            target,
            _gap(results, "class", kind, *pair),
        )
        pair = ("moca", "own, snapped"), (best, "own, snapped")
        yield "the same, both snapped", short, None, _gap(results, "class", kind, *pair)
        pair = ("moca", "own, snapped"), (READINGS[0], "own")
        yield (
            "class token: moca as it ships over frozen projected tokens",
            short,
            0.25,
            _gap(results, "class", kind, *pair),
        )
        pair = ("moca", "own"), (READINGS[0], "own")
        yield "the same, neither snapped", short, 0.25, _gap(results, "class", kind, *pair)
    for kind, short in KINDS.items():
        pair = ("moca", "own"), ("moca", "adapters swapped")
        yield (
            "dense: cost of another sound in the adapters alone",
            short,
            {"s4": 0.15, "ms3": 0.06}[kind],
            _gap(results, "dense", kind, *pair),
        )
        yield "class token: the same", short, None, _gap(results, "class", kind, *pair)


def value(results: Results, encoder: str, row: str, kind: str, key: str) -> float | None:
    """Mean mIoU over seeds; None where it was not measured."""
    scores = [run["test"][kind][key]["iou"] for run in results.get((encoder, row), []) if key in run["test"][kind]]
    return mean(scores) if scores else None


def false_area(results: Results) -> float | None:
    """Mean masked share of the clips in which nothing in the picture sounds, behind the gates, over kinds and seeds."""
    runs = results.get(("dense", "moca"), [])
    areas = [run["test"]["false"][kind]["area"] for run in runs for kind in ("silent", "noise", "offscreen")]
    return mean(areas) if areas else None


def _gap(results: Results, encoder: str, kind: str, more: tuple[str, str], less: tuple[str, str]) -> float | None:
    high, low = value(results, encoder, more[0], kind, more[1]), value(results, encoder, less[0], kind, less[1])
    return None if high is None or low is None else high - low
