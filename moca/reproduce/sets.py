"""The test clips of a data set and how they are scored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.corpus.sources import evenly_spread
from moca.evaluation import Clip, EvaluationProtocol
from moca.evaluation.datasets import DATASETS, read_data


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Test clips of one data set, and how they are measured."""

    name: str
    """A key of `moca.evaluation.datasets.DATASETS`."""
    clips: tuple[Clip, ...]
    protocol: EvaluationProtocol
    about: dict[str, Any] = field(default_factory=dict)
    """What the clips are, as JSON values."""
    notes: tuple[str, ...] = ()
    """What a reader should know of them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `SegmentConfig` that the protocol needs."""

    @property
    def title(self) -> str:
        """The data set as a reader knows it."""
        return DATASETS[self.name].title

    def fingerprint(self) -> str:
        """Hex digits that change when a clip is added, removed or written again."""
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(f"{clip.name}|{clip.fingerprint()};".encode())
        return digest.hexdigest()[:16]


def read_set(
    name: str,
    root: Path,
    *,
    model: str = "mini",
    tagger: str | None = None,
    device: str = "auto",
    most: int | None = None,
) -> ClipSet:
    """The test split of a data set below root.

    model, tagger, device: where AVSS's classes are told by the sound, for methods that do not tell them; without a
    tagger it is the model's, see `moca.evaluation.datasets.tagger_of`. most: take no more clips, spread evenly over the
    set. Raises InputError, in one line, where the data set is not there or not whole.
    """
    data = read_data(name, root, model=model, tagger=tagger, device=device)
    chosen = sorted(evenly_spread(len(data.clips), len(data.clips) if most is None else most))
    return ClipSet(
        name=name,
        clips=tuple(data.clips[index] for index in chosen),
        protocol=data.protocol,
        about={**data.about, "listed": len(data.clips)},
        notes=data.notes,
        settings=data.settings,
    )
