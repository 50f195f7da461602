"""Who plays: which classes are in the picture and which of them are heard, for every kind of scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moca.errors import InputError
from moca.stage.objects import CLASSES

KINDS: tuple[str, ...] = ("single", "s4", "ms3", "silent", "offscreen", "noise")

# Smallest and largest area of an object as a part of the frame, by number of objects.
_AREAS = {1: (0.04, 0.30), 2: (0.035, 0.20), 3: (0.03, 0.13)}


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Which classes a scene has."""

    objects: tuple[str, ...]
    """Those in the picture, back to front."""
    sounding: tuple[str, ...]
    """Those of them that are heard at some time."""
    heard: tuple[str, ...]
    """All in the sound track, off-screen ones included."""
    area: tuple[float, float]
    """Smallest and largest size of an object, as a part of the frame."""


def draw_cast(rng: np.random.Generator, kind: str, *, lead: str | None = None) -> Cast:
    """Random cast of a kind; no class appears twice.

    lead: class that must sound ("single", "s4", "ms3"), must be off screen ("offscreen") or must be in the
    picture ("silent", "noise"); random when None. InputError for an unknown kind or class.
    """
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}; choose one of these.")
    if lead is not None and lead not in CLASSES:
        raise InputError(f"lead must be one of {', '.join(CLASSES)}, got {lead!r}; choose one of these.")
    order = [CLASSES[number] for number in rng.permutation(len(CLASSES))]
    if lead is not None:
        order.remove(lead)
        order.insert(0, lead)
    if kind == "single":
        return Cast(objects=(order[0],), sounding=(order[0],), heard=(order[0],), area=(0.1, 0.33))
    if kind == "s4":
        shown, sounding = 1 + int(rng.choice(3, p=[0.35, 0.4, 0.25])), 1
    elif kind == "ms3":
        shown = int(rng.choice([2, 3]))
        sounding = int(rng.choice([1, 2, 3], p=[0.3, 0.5, 0.2])) if shown == 3 else int(rng.integers(1, 3))
    else:
        shown, sounding = 1 + int(rng.choice(3, p=[0.4, 0.4, 0.2])), 0
    if kind == "offscreen":
        chosen, heard = order[1 : 1 + shown], (order[0],)
    else:
        chosen, heard = order[:shown], tuple(order[:sounding])
    objects = tuple(chosen[number] for number in rng.permutation(shown))
    return Cast(objects=objects, sounding=() if kind == "offscreen" else heard, heard=heard, area=_AREAS[shown])
