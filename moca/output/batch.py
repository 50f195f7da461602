"""Many videos: which ones, where each one's outputs go, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moca.core.files import check_folder, refuse_inputs_among, write_csv_whole
from moca.core.method import Method
from moca.core.progress import Progress, named, silent
from moca.errors import InputError
from moca.media.collecting import collect_videos
from moca.output.config import OutputConfig
from moca.output.products import Summary, product_paths
from moca.output.segment_file import segment_file

FAILURES = "failures.csv"
"""Name of the list of videos that could not be segmented, in the output folder of several."""
COLUMNS = ("video", "error")


@dataclass
class BatchOutcome:
    """What became of every input."""

    done: dict[Path, Summary] = field(default_factory=dict)
    """Finished videos."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Videos that could not be segmented, with the reason."""


def is_single(inputs: Sequence[Path]) -> bool:
    """Whether one video file was given: its outputs go straight to the output folder."""
    return len(inputs) == 1 and not inputs[0].is_dir()


def run_folders(inputs: Sequence[Path], out: Path) -> dict[Path, Path]:
    """The videos that are meant and the folder of each one's run: out itself for one file, else one inside it.

    That folder is named after the video alone, whatever others are there: its path below the folder that was given,
    with "_" for the last dot, so `videos/deep/clip.mp4` goes to `out/deep/clip_mp4`. A file given by name counts from
    its own folder where it lies below no given one; how paths are written makes no difference. Raises InputError as
    `collect_videos` does, for two videos that would share a folder, and for one that a run would replace, and
    where out is a file.
    """
    check_folder(out)
    videos = collect_videos(inputs)
    if is_single(inputs):
        refuse_inputs_among(product_paths(out), videos)
        return {videos[0]: out}
    roots = sorted((given.resolve() for given in inputs if given.is_dir()), key=lambda root: len(root.parts))
    owners: dict[Path, Path] = {}
    for video in videos:
        place = video.parent.resolve() / video.name  # a video that is a link has its own name, and lies where that does
        root = next((root for root in roots if place.is_relative_to(root)), place.parent)
        path = place.relative_to(root)
        folder = out / path.with_name(f"{path.stem}_{path.suffix[1:]}" if path.suffix else path.name)
        if folder in owners:
            raise InputError(
                f"every video must have a place of its own in {out}, {owners[folder]} and {video} would both be "
                f"written to {folder}; give a folder that holds both, or one of them with another -o."
            )
        owners[folder] = video
    refuse_inputs_among([out / FAILURES, *(path for folder in owners for path in product_paths(folder))], videos)
    _refuse_foreign_list(out / FAILURES)
    return {video: folder for folder, video in owners.items()}


def segment_many(
    method: Method,
    inputs: Sequence[Path],
    out: Path,
    config: OutputConfig,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BatchOutcome:
    """Segment every video; of several, one that fails is noted in out/failures.csv and the rest go on.

    Finished videos with the same settings are not done again. progress counts seconds of a video, whose name comes
    before what is done. Run again after mending a video and its line disappears from failures.csv.
    """
    outcome = BatchOutcome()
    for video, target in run_folders(inputs, out).items():
        shown = named(video.name, progress)
        try:
            outcome.done[video] = segment_file(method, video, target, config, overwrite=overwrite, progress=shown)
        except InputError as error:
            if is_single(inputs):
                raise
            outcome.failed[video] = str(error)
    if not is_single(inputs):
        _write_failures(out / FAILURES, outcome.failed)
    return outcome


def _refuse_foreign_list(path: Path) -> None:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            ours = stream.readline() == ",".join(COLUMNS) + "\n"
    except OSError:  # it is not there, or cannot be read, which writing will tell
        return
    if not ours:
        raise InputError(f"{path} is from elsewhere; rename it, or choose another folder with -o.")


def _write_failures(path: Path, failed: dict[Path, str]) -> None:
    if failed:
        write_csv_whole(path, COLUMNS, [(str(video), reason) for video, reason in failed.items()])
    else:
        path.unlink(missing_ok=True)
