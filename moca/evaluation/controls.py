"""The same clips under other conditions: without their sound, or with somebody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from moca.errors import InputError

if TYPE_CHECKING:
    from moca.core.step import Step


class Clip(Protocol):
    """What can be evaluated; `moca.data.avsbench.AVSClip` is one."""

    name: str
    category: str

    def steps(self) -> Iterator[Step]: ...
    def truths(self) -> Iterator[np.ndarray | None]:
        """(H, W) per step, bool, or class numbers where a protocol wants them; None where it is not annotated."""
        ...

    def fingerprint(self) -> str:
        """Changes whenever the clip's content may have."""
        ...


@dataclass(frozen=True, kw_only=True)
class ControlClip:
    """A clip with its own pictures and masks and somebody else's sound; see `muted` and `swapped`."""

    clip: Clip
    """Whose pictures and ground truth these are."""
    donor: Clip | None
    """Whose sound is heard; None for digital silence."""

    @property
    def name(self) -> str:
        return self.clip.name

    @property
    def category(self) -> str:
        return self.clip.category

    @property
    def boxes(self) -> Any:
        """The clip's own, where its data set has boxes."""
        return self.clip.boxes

    def truths(self) -> Iterator[np.ndarray | None]:
        return self.clip.truths()

    def fingerprint(self) -> str:
        donor = self.donor.fingerprint() if self.donor else "silence"
        return hashlib.sha256(f"{self.clip.fingerprint()}|{donor}".encode()).hexdigest()

    def steps(self) -> Iterator[Step]:
        donated = [(step.audio, step.sample_rate_hz) for step in self.donor.steps()] if self.donor else []
        for position, step in enumerate(self.clip.steps()):
            if donated:
                audio, rate_hz = donated[position % len(donated)]
                yield replace(step, audio=audio, sample_rate_hz=rate_hz)
            else:
                yield replace(step, audio=None if step.audio is None else np.zeros_like(step.audio))


def muted(clip: Clip) -> ControlClip:
    """The same pictures with digital silence of the same length; every mask should be empty."""
    return ControlClip(clip=clip, donor=None)


def swapped(clip: Clip, other: Clip) -> ControlClip:
    """The same pictures with another clip's sound, step by step (from the start again if it is shorter)."""
    return ControlClip(clip=clip, donor=other)


def swap_all(clips: Sequence[Clip]) -> list[ControlClip]:
    """Every clip with the sound of another one, never its own, and of another category wherever that can be.

    Clips sorted by category are rotated by the size of the largest category, which moves every clip out of
    its category if none holds more than half of them, and as many as can be otherwise. Clips without
    categories are rotated by one. Deterministic; each sound is used once.
    """
    if len(clips) < 2:
        raise InputError(f"the swapped control needs at least 2 clips, got {len(clips)}; evaluate more clips.")
    order = sorted(range(len(clips)), key=lambda index: clips[index].category)
    categories = [clip.category for clip in clips]
    largest = max(categories.count(category) for category in set(categories))
    shift = largest if largest < len(clips) else 1
    donors = {index: order[(rank + shift) % len(order)] for rank, index in enumerate(order)}
    return [swapped(clip, clips[donors[index]]) for index, clip in enumerate(clips)]


CONTROLS: dict[str, Callable[[Sequence[Clip]], list[ControlClip]]] = {
    "muted": lambda clips: [muted(clip) for clip in clips],
    "swapped": swap_all,
}
