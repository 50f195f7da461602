"""Everything `moca segment` writes for one video: masks, segments.json, overlay.mp4, report.html."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from moca.errors import InputError
from moca.installed import packages
from moca.media import VideoInfo, probe, read_steps, render_video
from moca.overlays import paint_step
from moca.report import ReportBuilder
from moca.results import StepResult
from moca.rle import encode
from moca.segmenter import Segmenter
from moca.version import __version__

SEGMENTS_FORMAT = 1
PARTIAL = ".moca-partial"
PRODUCTS = (
    "masks",
    "overlay.mp4",
    "report.html",
    "segments.json",
)  # segments.json last: it marks a finished run


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is read and written.

    steps_per_s: frames looked at per second (the paper: 1). video_stream, audio_stream: stream index, None
    for the best one. overlay, report: whether these are written besides the masks.
    """

    steps_per_s: float = 1.0
    video_stream: int | None = None
    audio_stream: int | None = None
    overlay: bool = True
    report: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.steps_per_s <= 100:
            raise InputError(
                f"steps per second must be above 0 and at most 100, got {self.steps_per_s}; the paper uses 1."
            )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One finished video: counts of steps, and of those with a mask; notes a user should read."""

    steps: int
    sounding: int
    notes: tuple[str, ...]
    reused: bool = False


def segment_file(
    segmenter: Segmenter,
    source: Path,
    target: Path,
    config: OutputConfig,
    *,
    overwrite: bool = False,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Summary:
    """Segment one video into the folder target.

    A finished run with the same settings is returned as it is; one with other settings is refused unless
    overwrite. Everything is built in a hidden folder inside target and moved at the end, so an interrupted
    run leaves nothing half-written. progress(stage, share in [0, 1]) is called as work goes on.
    """
    info = probe(source, video_stream=config.video_stream, audio_stream=config.audio_stream)
    settings = run_settings(segmenter, source, config)
    finished = _finished(target, settings, overwrite)
    if finished is not None:
        return finished
    partial = _fresh_partial(target)
    try:
        steps, notes = _write_masks(segmenter, source, info, partial, config, settings, progress)
        if config.overlay:
            _write_overlay(source, info, partial, steps, config, progress)
        document = _document(source, info, settings, steps, notes)
        (partial / "segments.json").write_text(json.dumps(document, indent=1, allow_nan=False))
        (target / "segments.json").unlink(missing_ok=True)  # until all are in place, the run is not finished
        for name in PRODUCTS:
            _replace(partial / name, target / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Summary(steps=len(steps), sounding=_sounding(document), notes=tuple(notes))


def run_settings(segmenter: Segmenter, source: Path, config: OutputConfig) -> dict[str, Any]:
    """What the outputs depend on; two runs with equal settings give equal outputs."""
    stat = source.stat()
    return {
        "version": __version__,
        "source": {"name": source.name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns},
        **segmenter.settings,
        "output": asdict(config),
    }


def _finished(target: Path, settings: dict[str, Any], overwrite: bool) -> Summary | None:
    path = target / "segments.json"
    if overwrite or not path.is_file():
        return None
    try:
        document = json.loads(path.read_text())
        same = document["settings"] == settings
        summary = Summary(
            steps=len(document["steps"]),
            sounding=_sounding(document),
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


def _fresh_partial(target: Path) -> Path:
    try:
        target.mkdir(parents=True, exist_ok=True)
        partial = target / PARTIAL
        shutil.rmtree(partial, ignore_errors=True)  # what an interrupted run left
        (partial / "masks").mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"output folder {target} cannot be written ({error.strerror}); choose a folder you may write to with -o."
        ) from None
    return partial


def _write_masks(
    segmenter: Segmenter,
    source: Path,
    info: VideoInfo,
    partial: Path,
    config: OutputConfig,
    settings: dict[str, Any],
    progress: Callable[[str, float], None],
) -> tuple[list[dict], list[str]]:
    notes = [segmenter.pipeline.notice] if segmenter.pipeline.notice else []
    if info.audio_stream is None:
        notes.append("The video has no audio stream: every mask is empty.")
    report = ReportBuilder(
        title=source.name,
        settings=settings,
        info=_described(info, segmenter),
        notes=notes,
        versions={name: version for name, version in packages().items() if version},
    )
    records: list[dict] = []
    held: list = []
    reading = {"video_stream": config.video_stream, "audio_stream": config.audio_stream}
    steps = _remember(read_steps(source, steps_per_s=config.steps_per_s, **reading), held)
    for result in segmenter.segment_steps(steps):
        step = held.pop(0)
        _write_mask(partial / "masks" / f"{result.index:06d}.png", result.mask)
        records.append(_record(result))
        report.add(step, result)
        progress("segmenting", min(1.0, result.end_s / info.duration_s) if info.duration_s else 0.0)
    if config.report:
        links = {"overlay": "overlay.mp4"} if config.overlay else {}
        report.write(partial / "report.html", links={**links, "segments": "segments.json", "masks": "masks/"})
    return records, notes


def _remember(steps, held: list):
    """Pass steps on, keeping each until its result has come back."""
    for step in steps:
        held.append(step)
        yield step


def _write_mask(path: Path, mask: np.ndarray) -> None:
    ok, data = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    if not ok:
        raise RuntimeError(f"the PNG encoder refused a mask of shape {mask.shape}")
    path.write_bytes(data.tobytes())


def _record(result: StepResult) -> dict:
    segments = [
        {"rle": encode(segment.mask), "score": round(segment.score, 6), "area": int(segment.mask.sum())}
        for segment in result.segments
    ]
    return {
        "index": result.index,
        "start_s": round(result.start_s, 6),
        "end_s": round(result.end_s, 6),
        "frame_s": round(result.frame_s, 6),
        "mask": f"masks/{result.index:06d}.png",
        "area_share": round(float(result.mask.mean()), 6),
        "score": _finite(result.score),
        "level_dbfs": _finite(result.level_dbfs),
        "reason": result.reason,
        "segments": segments,
    }


def _finite(value: float) -> float | None:
    """JSON has no NaN or infinity; None stands for "not computed" and for digital silence."""
    return round(value, 6) if math.isfinite(value) else None


def _write_overlay(
    source: Path,
    info: VideoInfo,
    partial: Path,
    steps: list[dict],
    config: OutputConfig,
    progress: Callable[[str, float], None],
) -> None:
    current = _CurrentStep(partial, steps, (info.height, info.width))

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


class _CurrentStep:
    """The step a moment belongs to, read back from disk so that one mask is in memory at a time."""

    def __init__(self, folder: Path, steps: list[dict], size: tuple[int, int]) -> None:
        self.folder, self.steps, self.size = folder, steps, size
        self.position, self.result = -1, None

    def at(self, time_s: float) -> StepResult:
        position = max(self.position, 0)
        while position + 1 < len(self.steps) and time_s >= self.steps[position + 1]["start_s"] - 1e-9:
            position += 1
        if position != self.position:
            self.position, self.result = position, self._load(self.steps[position])
        return self.result

    def _load(self, step: dict) -> StepResult:
        mask = cv2.imread(str(self.folder / step["mask"]), cv2.IMREAD_GRAYSCALE) > 0
        level, score = step["level_dbfs"], step["score"]
        return StepResult(
            index=step["index"],
            start_s=step["start_s"],
            end_s=step["end_s"],
            frame_s=step["frame_s"],
            mask=mask,
            heat=np.zeros(self.size, np.float32),
            score=float("nan") if score is None else score,
            level_dbfs=float("-inf") if level is None else level,
            reason=step["reason"],
        )


def _document(source: Path, info: VideoInfo, settings: dict, steps: list[dict], notes: list[str]) -> dict:
    return {
        "format": SEGMENTS_FORMAT,
        "source": str(source.name),
        "video": _info(info),
        "settings": settings,
        "notes": notes,
        "steps": steps,
    }


def _described(info: VideoInfo, segmenter: Segmenter) -> dict[str, str]:
    """The video and the model in a reader's words, for the head of the report."""
    rate = "unknown" if info.rate_hz is None else f"{info.rate_hz:g} frames per second"
    sound = "no audio stream"
    if info.audio_stream is not None:
        channels = {1: "mono", 2: "stereo"}.get(info.channels, f"{info.channels} channels")
        sound = f"{info.sample_rate_hz / 1000:g} kHz, {channels} (stream {info.audio_stream})"
    pipeline = segmenter.pipeline
    return {
        "Size": f"{info.width} x {info.height} pixels",
        "Rate": rate,
        "Duration": "unknown" if info.duration_s is None else f"{info.duration_s:.1f} s",
        "Sound": sound,
        "Model": f"{pipeline.name}, {'with adapters' if pipeline.adapted else 'frozen encoder alone'}",
        "Licence of the result": pipeline.licence,
    }


def _info(info: VideoInfo) -> dict:
    fields = asdict(replace(info, path=Path(info.path.name)))
    return {**fields, "path": str(fields["path"])}


def _sounding(document: dict) -> int:
    return sum(step["reason"] is None for step in document["steps"])


def _replace(source: Path, target: Path) -> None:
    """Move a finished product into place; one that this run did not make is removed, so none is stale."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.exists():
        target.unlink()
    if source.exists():
        os.replace(source, target)
