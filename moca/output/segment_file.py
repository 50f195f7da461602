"""Everything `moca segment` writes for one video: masks, segments.json, overlay.mp4, report.html."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moca.core.installed import packages
from moca.core.method import Method
from moca.core.step import Step
from moca.errors import InputError
from moca.media import CutOffWarning, VideoInfo, probe, read_steps, render_video
from moca.output.config import OutputConfig
from moca.output.segments_json import StoredSteps, count_sounding, described, segments_document
from moca.output.unfinished import PARTIAL, UnfinishedRun
from moca.reports.captions import paint_step
from moca.reports.video import ReportBuilder
from moca.version import __version__

# segments.json comes last: it marks a finished run
PRODUCTS = ("masks", "overlay.mp4", "report.html", "segments.json")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One finished video: counts of steps, and of those with a mask; notes a user should read."""

    steps: int
    sounding: int
    notes: tuple[str, ...]
    reused: bool = False


def segment_file(
    method: Method,
    source: Path,
    target: Path,
    config: OutputConfig,
    *,
    overwrite: bool = False,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Summary:
    """Segment one video into the folder target.

    A finished run with the same settings is returned as it is; one with other settings is refused unless
    overwrite. Everything is built in a hidden folder inside target and moved at the end, so a stopped run leaves
    nothing half-written there, and the next one with the same settings goes on after its last finished step.
    progress(stage, share in [0, 1]) is called as work goes on.
    """
    info = probe(source, video_stream=config.video_stream, audio_stream=config.audio_stream)
    settings = run_settings(method, source, config)
    finished = _finished(target, settings, overwrite)
    if finished is not None:
        return finished
    run = UnfinishedRun(target, settings)
    try:
        steps, notes = _write_masks(method, source, info, run, config, settings, progress)
        if config.overlay:
            _write_overlay(source, info, run.folder, steps, config, progress)
    except InputError:
        run.discard()
        raise
    document = segments_document(info, settings, steps, notes)
    (run.folder / "segments.json").write_text(json.dumps(document, indent=1, allow_nan=False))
    (target / "segments.json").unlink(missing_ok=True)  # until all are in place, the run is not finished
    for name in PRODUCTS:
        _replace(run.folder / name, target / name)
    run.discard()
    progress("done", 1.0)
    return Summary(steps=len(steps), sounding=count_sounding(document), notes=tuple(notes))


def run_settings(method: Method, source: Path, config: OutputConfig) -> dict[str, Any]:
    """What the outputs depend on; two runs with equal settings give equal outputs."""
    stat = source.stat()
    return {
        "version": __version__,
        "source": {"name": source.name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns},
        "method": method.name,
        **method.settings,
        "output": asdict(config),
    }


def _finished(target: Path, settings: dict[str, Any], overwrite: bool) -> Summary | None:
    """The summary of a finished run with these settings, None where there is none; refuses to replace anything else."""
    if overwrite:
        return None
    path = target / "segments.json"
    if not path.is_file():
        _refuse_foreign(target)
        return None
    try:
        document = json.loads(path.read_text())
        same = document["settings"] == settings
        summary = Summary(
            steps=len(document["steps"]),
            sounding=count_sounding(document),
            notes=tuple(document["notes"]),
            reused=True,
        )
    except (ValueError, KeyError, TypeError):
        same, summary = False, None
    if not same:
        raise InputError(
            f"{target} holds a run of another video or with other settings; choose another folder or pass --overwrite."
        )
    return summary


def _refuse_foreign(target: Path) -> None:
    """Refuse a folder whose files would be replaced though no run of ours wrote them."""
    if (target / PARTIAL).is_dir():  # a run that was stopped while it moved its products into place
        return
    if foreign := [name for name in PRODUCTS if (target / name).exists()]:
        raise InputError(
            f"{target} already has {', '.join(foreign)} from elsewhere; choose another folder or pass --overwrite."
        )


def _write_masks(
    method: Method,
    source: Path,
    info: VideoInfo,
    run: UnfinishedRun,
    config: OutputConfig,
    settings: dict[str, Any],
    progress: Callable[[str, float], None],
) -> tuple[list[dict], list[str]]:
    notes = [method.notice] if method.notice else []
    if info.audio_stream is None:
        notes.append("The video has no audio stream: every mask is empty.")
    report = ReportBuilder(
        title=source.name,
        settings=settings,
        info=described(info, method),
        notes=notes,
        versions={name: version for name, version in packages().items() if version},
    )
    reading = {"video_stream": config.video_stream, "audio_stream": config.audio_stream}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        steps = read_steps(source, steps_per_s=config.steps_per_s, **reading)
        for result, step in zip(run.finished_steps(), steps, strict=False):
            report.add(step, result)
        held: list[Step] = []
        for result in method.segment_steps(_remember(steps, held)):
            run.add(result)
            report.add(held.pop(0), result)
            progress("segmenting", min(1.0, result.end_s / info.duration_s) if info.duration_s else 0.0)
    for warning in caught:
        if issubclass(warning.category, CutOffWarning) and not config.allow_truncated:
            problem = str(warning.message).removesuffix(".")
            raise InputError(f"{problem}: mend it, or pass --allow-truncated to use what is there.")
        if issubclass(warning.category, UserWarning):
            notes.append(str(warning.message))
            report.note(str(warning.message))
    if config.report:
        links = {"overlay": "overlay.mp4"} if config.overlay else {}
        report.write(run.folder / "report.html", links={**links, "segments": "segments.json", "masks": "masks/"})
    return run.records, notes


def _remember(steps: Iterator[Step], held: list[Step]) -> Iterator[Step]:
    """Pass steps on, keeping each until its result has come back."""
    for step in steps:
        held.append(step)
        yield step


def _write_overlay(
    source: Path,
    info: VideoInfo,
    partial: Path,
    steps: list[dict],
    config: OutputConfig,
    progress: Callable[[str, float], None],
) -> None:
    current = StoredSteps(partial, steps)

    def paint(frame: np.ndarray, time_s: float) -> np.ndarray:
        return paint_step(frame, current.at(time_s))

    def report_time(time_s: float) -> None:
        progress("writing overlay", min(1.0, time_s / info.duration_s) if info.duration_s else 0.0)

    render_video(
        source,
        partial / "overlay.mp4",
        paint,
        video_stream=config.video_stream,
        audio_stream=config.audio_stream,
        progress=report_time,
    )


def _replace(source: Path, target: Path) -> None:
    """Move a finished product into place; one that this run did not make is removed, so none is stale."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.exists():
        target.unlink()
    if source.exists():
        os.replace(source, target)
