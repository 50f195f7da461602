"""Everything `moca segment` writes for one video: masks, segments.json, overlay.mp4, report.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from moca.core.files import check_folder, refuse_inputs_among, write_json_whole
from moca.core.installed import packages
from moca.core.method import Method
from moca.core.progress import Progress, silent
from moca.core.step import Step
from moca.errors import InputError
from moca.media import VideoInfo, probe, read_steps, render_video
from moca.media.collecting import OVERLAY, SEGMENTS
from moca.output.config import OutputConfig
from moca.output.products import (
    MASKS,
    REPORT,
    Summary,
    finished_run,
    move_products,
    placed_products,
    product_paths,
    refuse_foreign,
)
from moca.output.records import StoredSteps
from moca.output.segments_json import count_sounding, described, nothing_passes, segments_document
from moca.output.unfinished import UnfinishedRun
from moca.reports.captions import paint_step
from moca.reports.video import ReportBuilder
from moca.version import __version__


def segment_file(
    method: Method,
    source: Path,
    target: Path,
    config: OutputConfig,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Segment one video into the folder target.

    A finished run with the same settings is returned as it is; one with other settings is refused unless
    overwrite, and a target whose products would replace source is refused in any case. Everything is built in a hidden
    folder inside target and moved at the end, so a stopped run leaves nothing half-written there, and the next one with
    the same settings goes on after its last finished step. Files with the names of products that come to target
    meanwhile are refused like those that were there before; what was built is kept.
    progress counts seconds of the video. Notes are the method's notice, that there is no sound, that the file is cut
    off, and that no cosine reaches a threshold; warnings that a method raises are not caught.
    """
    check_folder(target)
    refuse_inputs_among(product_paths(target), [source])
    info = probe(source, video_stream=config.video_stream, audio_stream=config.audio_stream)
    settings = run_settings(method, source, config)
    finished = None if overwrite else finished_run(target, settings)
    if finished is not None:
        return finished
    placed = placed_products(target)  # before it is known whether the run that was stopped had these settings
    run = UnfinishedRun(target, settings)
    try:
        notes = _write_masks(method, source, info, run, config, settings, progress)
        if config.overlay:
            _write_overlay(source, run, config, progress)
    except InputError:
        run.discard()
        raise
    document = segments_document(info, settings, run.records, notes)
    write_json_whole(run.folder / SEGMENTS, document)
    if not overwrite:
        refuse_foreign(target, placed)
    move_products(run.folder, target)
    run.discard()
    return Summary(steps=len(run.records), sounding=count_sounding(document), notes=tuple(notes))


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


def _write_masks(
    method: Method,
    source: Path,
    info: VideoInfo,
    run: UnfinishedRun,
    config: OutputConfig,
    settings: dict[str, Any],
    progress: Progress,
) -> list[str]:
    """Segment the steps that are not finished, and write the report of all; returns the notes."""
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
    cut_off: list[str] = []
    streams = {"video_stream": config.video_stream, "audio_stream": config.audio_stream}
    steps = read_steps(source, steps_per_s=config.steps_per_s, on_cut_off=cut_off.append, **streams)
    for result, step in zip(run.finished_steps(), steps, strict=False):
        report.add(step, result)
    waiting: list[Step] = []
    for result in method.segment_steps(_remembered(steps, waiting)):
        run.add(result)
        report.add(waiting.pop(0), result)
        progress("segmenting", result.end_s, info.duration_s)
    for sentence in cut_off:
        if not config.allow_truncated:
            problem = sentence.removesuffix(".")
            raise InputError(f"{problem}: mend it, or pass --allow-truncated to use what is there.")
        notes.append(sentence)
        report.note(sentence)
    if sentence := nothing_passes(run.records):
        notes.append(sentence)
        report.note(sentence)
    if config.report:
        links = {"overlay": OVERLAY} if config.overlay else {}
        report.write(run.folder / REPORT, links={**links, "segments": SEGMENTS, "masks": f"{MASKS}/"})
    return notes


def _remembered(steps: Iterator[Step], waiting: list[Step]) -> Iterator[Step]:
    """Pass steps on; each waits in the list until its result has come back."""
    for step in steps:
        waiting.append(step)
        yield step


def _write_overlay(source: Path, run: UnfinishedRun, config: OutputConfig, progress: Progress) -> None:
    stored = StoredSteps(run.folder, run.records)

    def paint(frame: np.ndarray, time_s: float) -> np.ndarray:
        return paint_step(frame, stored.on_show(time_s))

    streams = {"video_stream": config.video_stream, "audio_stream": config.audio_stream}
    render_video(source, run.folder / OVERLAY, paint, **streams, progress=progress)
