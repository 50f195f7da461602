"""Finished clips on disk: what lets a stopped evaluation go on, and several processes share one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from moca.core.files import write_json_whole
from moca.core.method import Method
from moca.errors import InputError
from moca.evaluation.controls import Clip
from moca.evaluation.protocols.protocol import EvaluationProtocol, Sums
from moca.version import __version__

CACHE_FORMAT = 3


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One clip as it was measured."""

    sums: Sums
    """From which the metrics of any set with this clip are computed."""
    truth: str
    """Digest of its ground truth."""


class ClipCache:
    """One small file per finished clip of one method under one protocol.

    Entries belong to the method's name and `settings`, the protocol's basis, this version and the clip's files. Any
    number of processes may write to one folder: an entry is there as a whole or not at all.
    """

    def __init__(self, root: Path, method: Method, protocol: EvaluationProtocol) -> None:
        settings = getattr(method, "settings", None)
        if settings is None:
            raise InputError(
                f"resuming needs to know what results depend on, method {method.name} has no settings; "
                "give it a `settings` dict or evaluate without a cache."
            )
        depends = {
            "format": CACHE_FORMAT,
            "version": __version__,
            "method": method.name,
            "settings": settings,
            "protocol": protocol.basis,
        }
        self.folder = root / digest(json.dumps(depends, sort_keys=True))
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, clip: Clip, suffix: str = ".json") -> Path:
        """Where the clip's entry is, or would be."""
        return self.folder / f"{digest(clip.fingerprint())}{suffix}"

    def find(self, clip: Clip) -> Scored | None:
        """The clip's entry; None where there is none, or a damaged one."""
        try:
            entry = json.loads(self.path(clip).read_text())
            return Scored(sums=dict(entry["sums"]), truth=str(entry["truth"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, clip: Clip, scored: Scored) -> None:
        """Write the clip's entry."""
        entry = {"clip": clip.name, "truth": scored.truth, "sums": scored.sums}
        write_json_whole(self.path(clip), entry, indent=None)


def digest(text: str) -> str:
    """24 hex digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
