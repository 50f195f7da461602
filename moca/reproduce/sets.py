"""The test clips of a data set and how they are scored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.corpus.sources import evenly_spread
from moca.evaluation import Clip, EvaluationProtocol
from moca.evaluation.datasets import read_data
from moca.reproduce.tables import DATA


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Clips of one data set with their protocol.

    name: of the data set, see `DATA`. about: what they are, as JSON values. notes: what a reader should know of them.
    """

    name: str
    clips: tuple[Clip, ...]
    protocol: EvaluationProtocol
    about: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The data set as a reader knows it."""
        return DATA[self.name].title

    def fingerprint(self) -> str:
        """Hex digits that change when a clip is added, removed or written again."""
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(f"{clip.name}|{clip.fingerprint()};".encode())
        return digest.hexdigest()[:16]


def read_set(name: str, root: Path, *, model: str = "mini", device: str = "auto", most: int | None = None) -> ClipSet:
    """The test split of a data set below root.

    model, device: where AVSS's classes are told by the sound, for methods that do not tell them. most: take no more
    clips, spread evenly over the set. Raises InputError, in one line, where the data set is not there or not whole.
    """
    found = read_data(name, root, tagger="ast" if model == "huge" else "mini", device=device)
    kept = sorted(evenly_spread(len(found.clips), len(found.clips) if most is None else most))
    return ClipSet(
        name=name,
        clips=tuple(found.clips[at] for at in kept),
        protocol=found.protocol,
        about={**found.about, "listed": len(found.clips)},
        notes=found.notes,
    )
