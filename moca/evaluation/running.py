"""A method on a data set, with its controls: run, score, resume, share the work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moca.core.installed import packages
from moca.core.method import Method
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.evaluation.cache import ClipCache, Scored, digest
from moca.evaluation.controls import CONTROLS, Clip
from moca.evaluation.protocols.known import protocol_class
from moca.evaluation.protocols.protocol import EvaluationProtocol, annotated
from moca.evaluation.protocols.segmentation import Segmentation
from moca.evaluation.result import ClipScore, EvaluationResult
from moca.evaluation.statistics import SAMPLES, check_samples, intervals
from moca.evaluation.variants import adjusted
from moca.metrics.accumulators import BATCH_VIDEOS
from moca.version import __version__


def evaluate(
    method: Method,
    clips: Iterable[Clip],
    *,
    protocol: EvaluationProtocol | str = "segmentation",
    controls: Iterable[str] = (),
    variants: Mapping[str, Method] | None = None,
    extras: Mapping[str, Iterable[Clip]] | None = None,
    progress: Progress = silent,
    cache: str | Path | None = None,
    batch_videos: int | tuple[int, ...] = BATCH_VIDEOS,
    shard: tuple[int, int] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    data: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> EvaluationResult | None:
    """Run a method on every clip and score it.

    protocol: what is measured, or "segmentation" (in batches of batch_videos) or "localisation". controls: names
    among CONTROLS; the same method hears other sound. variants: methods that are controls themselves, such as
    {"frozen": ..., "image only": ...}, run on the unchanged clips. extras: by name, clips in which nothing that is
    seen sounds; the method's masks there are false, and are measured by "segmentation". progress: told after every
    clip of every run. samples, seed: of the bootstrap intervals over clips, 0 for none. data: what the clips
    are (JSON values), kept with the result. settings: fields of `SegmentConfig` that the protocol needs; MoCA has them
    in the runs of that protocol, controls included, and the extras are measured with the method as it is.

    cache: a folder that keeps one small file per finished clip, so that a stopped run continues; entries belong to
    the method's name and `settings` (a JSON-able dict the method must then have), the protocol, this version and the
    clip's files. shard: (i, n), from 1: of every n clips in a row score the i-th alone, and return None unless all
    others are in the cache, too. Wrong arguments are refused before any clip is run.
    """
    clips, controls, variants = list(clips), tuple(controls), dict(variants or {})
    extras = {name: list(others) for name, others in (extras or {}).items()}
    _check(clips, controls, variants, extras)
    check_samples(samples)
    _check_shard(shard, cache)
    measure = _protocol(protocol, batch_videos)
    false = Segmentation(batch_videos)
    fitted = adjusted(method, settings or {})
    # Every run: its name, the method, what it is shown, and how that is measured.
    plan = [("", fitted, clips, measure)]
    plan += [(name, fitted, CONTROLS[name](clips), measure) for name in controls]
    plan += [(name, adjusted(variant, settings or {}), clips, measure) for name, variant in variants.items()]
    plan += [(name, method, others, false) for name, others in extras.items()]
    runs = [
        _Run(name=name, method=runner, clips=shown, protocol=protocol, cache=cache)
        for name, runner, shown, protocol in plan
    ]
    _work(runs, shard, progress)
    if not all(run.complete() for run in runs):
        return None
    measured = {run.name: run.result(samples, seed) for run in runs}
    return EvaluationResult(
        **measured[""],
        controls={name: EvaluationResult(**measured[name]) for name in (*controls, *variants)},
        false_positives={name: EvaluationResult(**measured[name]) for name in extras},
        data={**(data or {}), "clips": len(clips), "fingerprint": _data_fingerprint(measured[""]["clips"])},
        bootstrap={"samples": samples, "seed": seed},
        version=__version__,
        packages=packages(),
    )


@dataclass(kw_only=True)
class _Run:
    """One method on one list of clips under one protocol, and what is known of them by now."""

    name: str
    method: Method
    clips: Sequence[Clip]
    protocol: EvaluationProtocol
    cache: str | Path | None

    def __post_init__(self) -> None:
        self.store = ClipCache(Path(self.cache), self.method, self.protocol) if self.cache is not None else None
        self.scored: dict[int, Scored] = {}

    def score(self, index: int) -> None:
        """Score the clip of this number, or read its stored scores; fresh ones are stored."""
        clip = self.clips[index]
        self.scored[index] = self.find(clip) or self._fresh(clip)

    def find(self, clip: Clip) -> Scored | None:
        """The stored scores if the protocol understands them."""
        scored = self.store.find(clip) if self.store else None
        if scored is not None:
            try:
                self.protocol.clip_metrics(scored.sums)
            except (InputError, ValueError, KeyError, TypeError):  # damaged
                return None
        return scored

    def complete(self) -> bool:
        """Whether every clip is scored; what other processes have scored is read."""
        for index, clip in enumerate(self.clips):
            if index not in self.scored:
                scored = self.find(clip)
                if scored is None:
                    return False
                self.scored[index] = scored
        return True

    def result(self, samples: int, seed: int) -> dict[str, Any]:
        """The fields of an `EvaluationResult` that every run has of its own."""
        in_order = [self.scored[index] for index in range(len(self.clips))]
        sums = [scored.sums for scored in in_order]
        clip_scores = tuple(
            ClipScore(
                name=clip.name,
                category=clip.category,
                truth=scored.truth,
                metrics=self.protocol.clip_metrics(scored.sums),
                sums=scored.sums,
            )
            for clip, scored in zip(self.clips, in_order, strict=True)
        )
        return {
            "method": self.method.name,
            "settings": dict(getattr(self.method, "settings", None) or {}),
            "licence": getattr(self.method, "licence", None),
            "protocol": self.protocol.settings,
            "metrics": self.protocol.metrics(sums),
            "intervals": intervals(self.protocol, sums, samples=samples, seed=seed),
            "clips": clip_scores,
        }

    def _fresh(self, clip: Clip) -> Scored:
        results = list(self.method.segment_steps(clip.steps()))
        pairs = annotated(clip, results, self.method.name)
        scored = Scored(sums=self.protocol.score(clip, results), truth=_truth_digest([truth for truth, _ in pairs]))
        if self.store:
            self.store.keep(clip, scored)
        return scored


def _work(runs: list[_Run], shard: tuple[int, int] | None, progress: Progress) -> None:
    """Score every clip of every run, or those of this process's share."""
    first, step = (shard[0] - 1, shard[1]) if shard else (0, 1)
    share = [(run, index) for run in runs for index in range(first, len(run.clips), step)]
    for done, (run, index) in enumerate(share, start=1):
        run.score(index)
        progress("evaluating", done, len(share))


def _protocol(requested: EvaluationProtocol | str, batch_videos: int | tuple[int, ...]) -> EvaluationProtocol:
    if not isinstance(requested, str):
        return requested
    if requested == "semantic":
        raise InputError('protocol "semantic" needs class names; pass moca.evaluation.Semantic(names).')
    return Segmentation(batch_videos) if requested == "segmentation" else protocol_class(requested)()


def _check(clips: list[Clip], controls: tuple[str, ...], variants: dict, extras: dict[str, list[Clip]]) -> None:
    if not clips:
        raise InputError("evaluation needs at least 1 clip, got 0; choose another split or folder.")
    for name in controls:
        if name not in CONTROLS:
            raise InputError(f"control must be one of {', '.join(CONTROLS)}, got {name!r}; drop or rename it.")
    names = [*controls, *variants, *extras]
    if len(set(names)) < len(names) or {"none", ""} & set(names):
        raise InputError(f"controls and variants need distinct names, none of them 'none', got {names}; rename.")
    if empty := [name for name, others in extras.items() if not others]:
        raise InputError(f"extras need at least 1 clip each, got 0 for {', '.join(empty)}; leave them out.")


def _check_shard(shard: tuple[int, int] | None, cache: str | Path | None) -> None:
    if shard is None:
        return
    if not 1 <= shard[0] <= shard[1]:
        raise InputError(f"shard must be (i, n) with i from 1 to n, got {tuple(shard)}; e.g. (1, 4) to (4, 4).")
    if cache is None:
        raise InputError("shards meet in a cache, got none; give all of them the same folder.")


def _truth_digest(truths: list[np.ndarray]) -> str:
    """16 hex digits that stand for a clip's ground truth, the same on every machine."""
    hashed = hashlib.sha256()
    for truth in truths:
        plain = truth.astype(np.uint8) if truth.dtype == bool else truth.astype("<i4")
        hashed.update(f"{plain.shape}".encode() + plain.tobytes())
    return hashed.hexdigest()[:16]


def _data_fingerprint(clips: tuple[ClipScore, ...]) -> str:
    """Stands for the clips and their ground truth in their order, wherever they lie."""
    return digest(json.dumps([[clip.name, clip.category, clip.truth] for clip in clips]))
