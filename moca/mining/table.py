"""The neighbour table on disk: built block by block, goes on after a stop, made anew when anything it rests on changed.

A folder holds:

    table.json             format, fingerprint and settings; written last, so its presence means finished
    indices.npy            (N, K) int64
    similarities.npy       (N, K) float32
    parts-FINGERPRINT/     finished blocks of a table under way; removed at the end

N rows, K neighbours. Every file is written whole, and nothing in a file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moca.core.files import write_json_whole, written_whole
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.mining.config import MiningConfig
from moca.mining.features import blocks, check_videos
from moca.mining.search import NeighbourSearch, index_kind

FORMAT = 1
RECORD = "table.json"
SEARCH_ROWS = 4096
"""Rows of one block, the most that a stopped build loses."""
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class NeighbourTable:
    """The neighbours of every row, most similar first; arrays that were read from disk are memory-mapped."""

    indices: np.ndarray
    """(N, K) int64."""
    similarities: np.ndarray
    """(N, K) float32 cosines in [-1, 1]."""
    fingerprint: str
    """Of what the table rests on, see `table_fingerprint`."""


def table_fingerprint(features: np.ndarray, config: MiningConfig, videos: np.ndarray | None = None) -> str:
    """Short SHA-256 of everything a table depends on: the features as float32, K, the kind of index, the videos.

    "auto" counts as the index it stands for. `hard_negatives` does not enter, since it draws from a finished
    table; nor does `source`, which is in the features already; nor do videos that are not excluded.
    """
    settings = {
        "format": FORMAT,
        "shape": list(features.shape),
        "neighbours": config.neighbours,
        "exclude_same_video": config.exclude_same_video,
        "index": index_kind(config.index, len(features)),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for _, values in blocks(features):
        digest.update(values)
    if config.exclude_same_video:
        digest.update(_needed_videos(videos, len(features)))
    return digest.hexdigest()[:16]


def build_table(
    features: np.ndarray,
    config: MiningConfig,
    folder: str | Path,
    *,
    videos: np.ndarray | None = None,
    progress: Progress = silent,
) -> NeighbourTable:
    """The neighbours of every row, on disk; a finished table of the same fingerprint is read instead of built.

    features: (N, D) float, also memory-mapped, from `mining_features` or any other source. folder: of this one table;
    it is made, and a table that rests on something else is replaced there once the new one is complete. videos: (N,)
    number of the video of each row, needed when `config.exclude_same_video`. progress: told "neighbours", the rows
    done and N after every block, and once at the start where a stopped build goes on. Raises InputError before
    anything is written.
    """
    folder = Path(folder)
    count = len(features)
    fingerprint = table_fingerprint(features, config, videos)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the neighbour table needs a folder, {folder} is a file; choose another place.")
    earlier = _finished(folder)
    if earlier is not None and earlier.fingerprint == fingerprint:
        return earlier
    parts = folder / f"parts-{fingerprint}"
    starts = range(0, count, SEARCH_ROWS)
    waiting = [start for start in starts if _read_part(parts, start) is None]
    if len(waiting) < len(starts):
        progress("neighbours", _rows_done(waiting, count), count)
    if waiting:
        search = _search(features, config, parts, videos)
    for position, start in enumerate(waiting, start=1):
        nearest = search.nearest(np.arange(start, min(start + SEARCH_ROWS, count)))
        with written_whole(_part(parts, start)) as temporary:
            np.savez(temporary, indices=nearest[0], similarities=nearest[1])
        progress("neighbours", _rows_done(waiting[position:], count), count)
    finished = [_read_part(parts, start) for start in starts]
    indices, similarities = (np.concatenate(half) for half in zip(*finished, strict=True))
    _finish(folder, NeighbourTable(indices, similarities, fingerprint), config)
    return read_table(folder)


def read_table(folder: str | Path) -> NeighbourTable:
    """A finished table, memory-mapped. Raises InputError when there is none or it is damaged."""
    table = _finished(Path(folder))
    if table is None:
        raise InputError(f"{folder} must hold a finished neighbour table, got none or a damaged one; build it again.")
    return table


def _needed_videos(videos: np.ndarray | None, count: int) -> np.ndarray:
    if videos is None:
        raise InputError(
            "exclude_same_video needs the video of every frame, got videos None; give their numbers or set "
            "exclude_same_video to false."
        )
    return check_videos(videos, count)


def _search(features: np.ndarray, config: MiningConfig, parts: Path, videos: np.ndarray | None) -> NeighbourSearch:
    """The search of one table.

    The centres of its lists are kept beside the blocks: trained again, they could differ in the last digit, and the
    second half of a stopped build from its first.
    """
    videos = _needed_videos(videos, len(features)) if config.exclude_same_video else None
    centres_file = parts / "centres.npy"
    centres = _read_array(centres_file)
    search = NeighbourSearch(features, config.neighbours, videos=videos, index=config.index, centres=centres)
    parts.mkdir(parents=True, exist_ok=True)
    if centres is None and search.centres is not None:
        _write_array(centres_file, search.centres)
    return search


def _finish(folder: Path, table: NeighbourTable, config: MiningConfig) -> None:
    """Replace what the folder holds; its record goes first, so that a stop in between leaves no mixture."""
    (folder / RECORD).unlink(missing_ok=True)
    _write_array(folder / "indices.npy", table.indices)
    _write_array(folder / "similarities.npy", table.similarities)
    record = {
        "format": FORMAT,
        "fingerprint": table.fingerprint,
        "shape": list(table.indices.shape),
        "index": index_kind(config.index, len(table.indices)),
        "exclude_same_video": config.exclude_same_video,
    }
    write_json_whole(folder / RECORD, record)
    for parts in folder.glob("parts-*"):
        shutil.rmtree(parts)


def _finished(folder: Path) -> NeighbourTable | None:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        known, shape, fingerprint = record["format"] == FORMAT, record["shape"], record["fingerprint"]
    except (*UNREADABLE, TypeError):
        return None
    arrays = [_read_array(folder / f"{name}.npy") for name in ("indices", "similarities")]
    whole = all(array is not None and list(array.shape) == shape for array in arrays)
    return NeighbourTable(*arrays, fingerprint) if known and whole else None


def _part(parts: Path, start: int) -> Path:
    return parts / f"rows-{start:09d}.npz"


def _read_part(parts: Path, start: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A finished block, or None where there is none that can be read."""
    try:
        with np.load(_part(parts, start), allow_pickle=False) as stored:
            return stored["indices"], stored["similarities"]
    except UNREADABLE:
        return None


def _read_array(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE:
        return None


def _write_array(path: Path, array: np.ndarray) -> None:
    with written_whole(path) as temporary:
        np.save(temporary, array)


def _rows_done(waiting: list[int], count: int) -> int:
    """Rows of all blocks but the waiting ones; the last block may be short."""
    return count - sum(min(SEARCH_ROWS, count - start) for start in waiting)
