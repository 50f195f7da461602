"""Which videos there are to train on: a folder of them, AVSBench's or a stage's, or what VGGSound's csv lists."""

from __future__ import annotations

import warnings
from pathlib import Path

from moca.corpus.sources import AVSBenchSource, Source, VideoSource
from moca.data.avsbench import SUBSETS, read_avsbench
from moca.data.vggsound import read_vggsound
from moca.errors import InputError
from moca.media.collecting import collect_videos

_ACCEPTED = "give a folder of videos, AVSBench's folder, or VGGSound's csv with --clips"


def find_clips(path: str | Path, *, clips: str | Path | None = None, split: str = "train") -> list[Source]:
    """The videos to train on, in a fixed order.

    path: a folder in AVSBench's layout, as `moca stage` writes it (S4, MS3 or both; one of them where path is
    its own folder), VGGSound's csv, with `clips` the folder of its clips, or else a folder of videos at any
    depth. split: which part of AVSBench or VGGSound; a folder of videos has none. Clips that VGGSound lists
    and the folder lacks are told in one UserWarning. Labels and masks are not part of a source.

    Raises InputError, in one line, where nothing can be used.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; {_ACCEPTED}.")
    if path.is_file():
        return _vggsound(path, clips, split)
    if clips is not None:
        raise InputError(f"--clips goes with VGGSound's csv, {path} is a folder; leave --clips out or give the csv.")
    subsets = [name for name in SUBSETS if _holds_subset(path, name)]
    if subsets:
        return [
            AVSBenchSource(name=f"{subset}/{clip.name}", clip=clip)
            for subset in subsets
            for clip in read_avsbench(path, subset, split)
        ]
    return [VideoSource(name=video.relative_to(path).as_posix(), path=video) for video in collect_videos([path])]


def _vggsound(table: Path, clips: str | Path | None, split: str) -> list[Source]:
    if table.suffix.lower() != ".csv":
        raise InputError(f"{table} is a file and no csv; {_ACCEPTED}.")
    if clips is None:
        raise InputError(f"{table} needs the folder that holds its clips; name it with --clips.")
    listing = read_vggsound(table, clips, split)
    if listing.missing:
        listed = len(listing.clips) + len(listing.missing)
        first = ", ".join(listing.missing[:3]) + (", ..." if len(listing.missing) > 3 else "")
        warnings.warn(
            f"{table.name} lists {listed} {split} clips, {len(listing.missing)} of them are not in {clips} and are "
            f"left out: {first}",
            stacklevel=3,
        )
    return [VideoSource(name=clip.name, path=clip.path) for clip in listing.clips]


def _holds_subset(root: Path, subset: str) -> bool:
    """Whether root is one of the folders that `read_avsbench` takes for this subset."""
    layout = SUBSETS[subset]
    folders = [root, root / layout.folder, *([root.parent] if root.name == layout.data else [])]
    return any((folder / layout.csv).is_file() for folder in folders)
