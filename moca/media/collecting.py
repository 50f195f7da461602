"""Which files a user means: those given, and every video below a folder but those that moca wrote itself.

The one kind of video that moca writes for people to watch is the overlay of a segmented video. Its name, and the names
that tell a run's folder, are declared here, so that what looks for videos and what writes them agree. The clips of a
stage are data, like any other videos.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from moca.errors import InputError

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
)
OVERLAY = "overlay.mp4"
"""Name of the painted copy of a segmented video, in the folder of its run."""
SEGMENTS = "segments.json"
"""Name of the file that a finished run has."""
PARTIAL = ".moca-partial"
"""Name of the folder in which an unfinished run builds its products; inside the folder of the run."""


def collect_videos(inputs: Sequence[Path]) -> list[Path]:
    """Files as given, and every video file below a given folder, sorted.

    Each file comes once, by the first of its names, whatever other ways to it (relative, over .. or a link) are given.
    Hidden files and folders are passed over, and so are the overlays of runs of `moca segment`, finished or not; one
    that is given by its own name is taken. Raises InputError for an input that does not exist, or a folder without a
    single video file.
    """
    videos: dict[Path, Path] = {}
    for given in inputs:
        if given.is_dir():
            candidates = sorted(_visible_videos(given))
            inside = [path for path in candidates if not is_overlay_of_run(path)]
            if not inside:
                but = " but overlays that moca wrote" if candidates else ""
                suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
                raise InputError(f"folder {given} must hold at least one video file ({suffixes}), has none{but}.")
        elif given.exists():
            inside = [given]
        else:
            raise InputError(f"{given} does not exist; give a video file or a folder of videos.")
        for path in inside:
            videos.setdefault(path.resolve(), path)
    return list(videos.values())


def is_overlay_of_run(path: Path) -> bool:
    """Whether a file is the overlay of a run: it has the name, and lies where a run is finished or under way."""
    return path.name == OVERLAY and ((path.parent / SEGMENTS).is_file() or (path.parent / PARTIAL).is_dir())


def _visible_videos(root: Path) -> Iterator[Path]:
    """Every file below root with a video's suffix that is neither hidden nor in a hidden folder."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".") and path.is_file():
                yield path
