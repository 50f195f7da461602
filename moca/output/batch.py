"""Many videos: which ones, where each one's outputs go, what failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moca.core.files import write_text_whole
from moca.core.method import Method
from moca.errors import InputError
from moca.media.collecting import collect_videos
from moca.output.config import OutputConfig
from moca.output.segment_file import Summary, segment_file


@dataclass
class BatchOutcome:
    """What became of every input: finished ones with their summary, failed ones with the reason."""

    done: dict[Path, Summary] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def is_single(inputs: Sequence[Path]) -> bool:
    """Whether one video file was given: its outputs go straight to the output folder."""
    return len(inputs) == 1 and not inputs[0].is_dir()


def output_folders(videos: Sequence[Path], inputs: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where each video's outputs go: out itself for one file, else a folder in out named after the video.

    Below a given folder the tree is kept. Two videos that would share a folder are told apart by their suffix.
    """
    if is_single(inputs):
        return {videos[0]: out}
    folders: dict[Path, Path] = {}
    taken: set[Path] = set()
    for video in videos:
        root = next((given for given in inputs if given.is_dir() and video.is_relative_to(given)), video.parent)
        relative = video.relative_to(root)
        folder = out / relative.with_suffix("")
        if folder in taken:
            folder = out / relative.with_name(relative.name.replace(".", "_"))
        count = 2
        while folder in taken:
            folder, count = folder.with_name(f"{folder.name}_{count}"), count + 1
        folders[video] = folder
        taken.add(folder)
    return folders


def segment_many(
    method: Method,
    inputs: Sequence[Path],
    out: Path,
    config: OutputConfig,
    *,
    overwrite: bool = False,
    on_file: Callable[[Path], Callable[[str, float], None]] = lambda path: lambda stage, share: None,
) -> BatchOutcome:
    """Segment every video; of several, one that fails is noted in out/failures.csv and the rest go on.

    Finished videos with the same settings are not done again. on_file(path) gives the progress callback of a
    file. Run again after mending a video and its line disappears from failures.csv.
    """
    videos = collect_videos(inputs)
    outcome = BatchOutcome()
    for video, target in output_folders(videos, inputs, out).items():
        progress = on_file(video)
        try:
            outcome.done[video] = segment_file(method, video, target, config, overwrite=overwrite, progress=progress)
        except InputError as error:
            if is_single(inputs):
                raise
            outcome.failed[video] = str(error)
    if not is_single(inputs):
        _write_failures(out / "failures.csv", outcome.failed)
    return outcome


def _write_failures(path: Path, failed: dict[Path, str]) -> None:
    if not failed:
        path.unlink(missing_ok=True)
        return
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["video", "error"])
    writer.writerows((str(video), reason) for video, reason in failed.items())
    write_text_whole(path, table.getvalue())
