"""A method on a data set, with its controls: run, score, resume, and write the table.

mIoU comes from a method's hard masks, the threshold sweep of F from its heat maps. A step for which the
method gives a reason why its mask is empty counts as heat 0 everywhere: saying "nothing sounds" is one
decision, and both metrics see it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from moca.errors import InputError
from moca.files import write_text_whole
from moca.metrics.accumulators import BATCH_VIDEOS, AVSBenchScores, VideoScores, score_video
from moca.results import Method
from moca.version import __version__

if TYPE_CHECKING:
    from moca.media.video import Step

FORMAT = 1

COLUMNS = {
    "f_batch_free": ("F, batch-free", "mean F curve over all sounding frames, then its best threshold"),
    "f_mask": ("F of masks", "mean F of the hard masks over sounding frames, no threshold searched"),
    "miou_plain": ("mIoU, plain", "a frame where nothing sounds counts 1 for an empty mask, else 0"),
    "false_positive_area": (
        "false area",
        "mean masked share of frames where nothing sounds; lower is better",
    ),
    "mask_area": ("area", "mean masked share of all frames; 0 is right when muted"),
    "videos": ("clips", "clips counted"),
    "frames": ("frames", "annotated frames counted"),
    "sounding_frames": ("sounding", "frames among them in which something sounds"),
}


class Clip(Protocol):
    """What can be evaluated; `moca.data.avsbench.AVSClip` is one."""

    name: str
    category: str

    def steps(self) -> Iterator[Step]: ...
    def truths(self) -> Iterator[np.ndarray | None]:
        """(H, W) bool per step; None where it is not annotated."""
        ...

    def fingerprint(self) -> str:
        """Changes whenever the clip's content may have."""
        ...


@dataclass(frozen=True, kw_only=True)
class ControlClip:
    """A clip with its own pictures and masks and somebody else's sound; see `muted` and `swapped`."""

    clip: Clip
    donor: Clip | None
    """Whose sound is heard; None for digital silence."""

    @property
    def name(self) -> str:
        return self.clip.name

    @property
    def category(self) -> str:
        return self.clip.category

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
    order = sorted(range(len(clips)), key=lambda position: clips[position].category)
    categories = [clip.category for clip in clips]
    largest = max(categories.count(category) for category in set(categories))
    shift = largest if largest < len(clips) else 1
    partner = {place: order[(rank + shift) % len(order)] for rank, place in enumerate(order)}
    return [swapped(clip, clips[partner[place]]) for place, clip in enumerate(clips)]


CONTROLS: dict[str, Callable[[Sequence[Clip]], list[ControlClip]]] = {
    "muted": lambda clips: [muted(clip) for clip in clips],
    "swapped": swap_all,
}


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip's own metrics, named as in `AVSBenchScores.compute` with one video per batch."""

    name: str
    category: str
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """One method on one set of clips.

    metrics: see `AVSBenchScores.compute`. settings: the method's own, {} if it has none. controls: the same
    clips under each control that was run.
    """

    method: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    clips: tuple[ClipScore, ...]
    controls: dict[str, EvaluationResult] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict in which None stands for a metric that does not exist (NaN)."""
        clips = [{"name": clip.name, "category": clip.category, **_without_nan(clip.metrics)} for clip in self.clips]
        return {
            "method": self.method,
            "settings": self.settings,
            "metrics": _without_nan(self.metrics),
            "controls": {name: result.to_json() for name, result in self.controls.items()},
            "clips": clips,
        }


def evaluate(
    method: Method,
    clips: Iterable[Clip],
    *,
    controls: Iterable[str] = (),
    variants: Mapping[str, Method] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: str | Path | None = None,
    batch_videos: int | tuple[int, ...] = BATCH_VIDEOS,
) -> EvaluationResult:
    """Run a method on every clip and score it.

    controls: names among CONTROLS; the same method hears other sound. variants: methods that are controls
    themselves, such as {"frozen": ..., "image only": ...}, run on the unchanged clips. progress(done, total)
    is called after every clip. cache: a folder that keeps one small file per finished clip, so that a stopped
    run continues; entries belong to the method's name and `settings` (a JSON-able dict the method must then
    have), this version and the clip's files. Wrong arguments are refused before any clip is run.
    """
    clips, controls, variants = list(clips), tuple(controls), dict(variants or {})
    _check(clips, controls, variants)
    batches = AVSBenchScores(batch_videos).batch_videos  # refused here, not after the last clip
    runs = [(None, method, clips)]
    runs += [(name, method, CONTROLS[name](clips)) for name in controls]
    runs += [(name, variant, clips) for name, variant in variants.items()]
    stores = [_Cache(Path(cache), runner) if cache is not None else None for _, runner, _ in runs]
    done, results = 0, {}
    for (name, runner, heard), store in zip(runs, stores, strict=True):
        videos = []
        for clip in heard:
            videos.append(store.score(clip) if store else _score_clip(runner, clip))
            done += 1
            if progress:
                progress(done, len(clips) * len(runs))
        results[name] = _result(runner, clips, videos, batches)
    return replace(results.pop(None), controls=results)


def write_results(folder: str | Path, results: Mapping[str, EvaluationResult]) -> tuple[Path, Path, Path]:
    """Write results.json (everything), results.md (the table) and results.csv (the same rows).

    results: by the label shown in the first column. Returns the three paths. No file is ever half-written.
    """
    if not results:
        raise InputError("a table needs at least 1 result, got 0; evaluate a method first.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (label, control, measured.metrics)
        for label, result in results.items()
        for control, measured in {"none": result, **result.controls}.items()
    ]
    metrics = list(dict.fromkeys(key for _, _, values in rows for key in values))
    document = {"format": FORMAT, "results": {label: result.to_json() for label, result in results.items()}}
    uncontrolled = [label for label, result in results.items() if not result.controls]
    texts = {
        "results.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
        "results.md": _markdown(rows, metrics, uncontrolled),
        "results.csv": _csv(rows, metrics),
    }
    for name, text in texts.items():
        write_text_whole(folder / name, text)
    return tuple(folder / name for name in texts)


class _Cache:
    """Finished clips of one method on disk."""

    def __init__(self, root: Path, method: Method) -> None:
        settings = getattr(method, "settings", None)
        if settings is None:
            raise InputError(
                f"resuming needs to know what results depend on, method {method.name} has no settings; "
                "give it a `settings` dict or evaluate without a cache."
            )
        depends = {"format": FORMAT, "version": __version__, "method": method.name, "settings": settings}
        self.method = method
        self.folder = root / _digest(json.dumps(depends, sort_keys=True))
        self.folder.mkdir(parents=True, exist_ok=True)

    def score(self, clip: Clip) -> VideoScores:
        """The clip's stored scores, or fresh ones that are then stored."""
        path = self.folder / f"{_digest(clip.fingerprint())}.json"
        try:
            return VideoScores.from_json(json.loads(path.read_text())["scores"])
        except (OSError, ValueError, KeyError, TypeError):  # absent or damaged: score the clip
            scores = _score_clip(self.method, clip)
        write_text_whole(path, json.dumps({"clip": clip.name, "scores": scores.to_json()}))
        return scores


def _check(clips: list[Clip], controls: tuple[str, ...], variants: dict[str, Method]) -> None:
    if not clips:
        raise InputError("evaluation needs at least 1 clip, got 0; choose another split or folder.")
    for name in controls:
        if name not in CONTROLS:
            raise InputError(f"control must be one of {', '.join(CONTROLS)}, got {name!r}; drop or rename it.")
    names = [*controls, *variants]
    if len(set(names)) < len(names) or "none" in names:
        raise InputError(f"controls and variants need distinct names, none of them 'none', got {names}; rename.")


def _score_clip(method: Method, clip: Clip) -> VideoScores:
    truths, results = list(clip.truths()), list(method.segment_steps(clip.steps()))
    if len(results) != len(truths):
        raise InputError(
            f"a method must return one result per step, {method.name} returned {len(results)} for the "
            f"{len(truths)} of clip {clip.name}; mend the method."
        )
    pairs = [(truth, result) for truth, result in zip(truths, results, strict=True) if truth is not None]
    if not pairs:
        raise InputError(f"a clip needs at least 1 annotated frame, {clip.name} has 0; leave it out.")
    for truth, result in pairs:
        if result.mask.shape != truth.shape or result.heat.shape != truth.shape:
            raise InputError(
                f"masks and heat maps must have the ground truth's size, clip {clip.name} step "
                f"{result.index} has {truth.shape} and got {result.mask.shape} and {result.heat.shape}; "
                "give frames and masks of one size."
            )
    heats = [np.zeros_like(result.heat) if result.reason is not None else result.heat for _, result in pairs]
    return score_video(
        np.stack([result.mask for _, result in pairs]),
        np.stack(heats),
        np.stack([truth for truth, _ in pairs]),
    )


def _result(
    method: Method, clips: list[Clip], videos: list[VideoScores], batch_videos: tuple[int, ...]
) -> EvaluationResult:
    clip_scores = tuple(
        ClipScore(name=clip.name, category=clip.category, metrics=_metrics([video], (1,)))
        for clip, video in zip(clips, videos, strict=True)
    )
    return EvaluationResult(
        method=method.name,
        settings=dict(getattr(method, "settings", {})),
        metrics=_metrics(videos, batch_videos),
        clips=clip_scores,
    )


def _metrics(videos: list[VideoScores], batch_videos: tuple[int, ...]) -> dict[str, float]:
    scores = AVSBenchScores(batch_videos)
    for video in videos:
        scores.add(video)
    return scores.compute()


def _column(metric: str) -> tuple[str, str]:
    """Title and meaning of a metric."""
    kind, _, batch = metric.partition("_batch")
    if batch.isdigit():
        title = {"miou": "mIoU", "f": "F"}[kind]
        return f"{title}, batch {batch}", f"AVSBench's official {title} with {batch} clip(s) per test batch"
    return COLUMNS[metric]


def _markdown(rows: list[tuple], metrics: list[str], uncontrolled: list[str]) -> str:
    header = ["method", "control", *(_column(metric)[0] for metric in metrics)]
    lines = ["# Results", "", _row(header), _row(["---", "---", *("---:" for _ in metrics)])]
    for label, control, values in rows:
        lines.append(_row([label, control, *(_shown(values.get(metric, math.nan)) for metric in metrics)]))
    lines += ["", *(f"- {title}: {meaning}." for title, meaning in map(_column, metrics))]
    if uncontrolled:
        lines += ["", f"No control was run for: {', '.join(uncontrolled)}."]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "n/a" if math.isnan(value) else f"{value:.4f}"


def _csv(rows: list[tuple], metrics: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "control", *metrics])
    for label, control, values in rows:
        writer.writerow([label, control, *(_without_nan(values).get(metric) for metric in metrics)])
    return text.getvalue()


def _without_nan(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in metrics.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
