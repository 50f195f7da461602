"""Which files a user means: those given, and every video below a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moca.errors import InputError

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
)


def collect_videos(inputs: Sequence[Path]) -> list[Path]:
    """Files as given, and every video file below a given folder, sorted; each once.

    Raises InputError for an input that does not exist, or a folder without a single video file.
    """
    found: dict[Path, None] = {}
    for given in inputs:
        if given.is_dir():
            inside = sorted(path for path in given.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
            inside = [path for path in inside if path.is_file() and not path.name.startswith(".")]
            if not inside:
                raise InputError(
                    f"folder {given} must hold at least one video file ({', '.join(sorted(VIDEO_SUFFIXES))}), has none."
                )
            found.update(dict.fromkeys(inside))
        elif given.exists():
            found[given] = None
        else:
            raise InputError(f"{given} does not exist; give a video file or a folder of videos.")
    return list(found)
