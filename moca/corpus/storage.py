"""The files of a corpus: frames.npy and waves.npy, corpus.json that marks it finished, broken.csv."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from moca.core.files import write_csv_whole, write_json_whole, written_together
from moca.corpus.decoding import read_part
from moca.corpus.sources import ReadingConfig, Rows
from moca.errors import InputError

FORMAT = 1
RECORD = "corpus.json"
ARRAYS = ("frames.npy", "waves.npy")
BROKEN = "broken.csv"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of one source."""

    name: str
    """Of the source."""
    stamp: str | None
    """Of its files, see `Source.stamp`."""
    times_s: tuple[float, ...] = ()
    """When its rows are shown; none for a broken one."""
    broken: str | None = None
    """Why it could not be used, in one line; None for a good one."""
    rows_at: Path | int | None = None
    """Where its rows are while a corpus is built: a part, or the first row in the corpus built before."""

    @property
    def key(self) -> tuple[str, str | None]:
        """What must be the same for the entry to hold."""
        return self.name, self.stamp


@dataclass(frozen=True, kw_only=True)
class Record:
    """The content of corpus.json."""

    reading: ReadingConfig
    """How the videos were read."""
    entries: tuple[Entry, ...]
    """Every source, in order."""
    fingerprint: str
    """Of the rows."""


class Fingerprint:
    """SHA-256 over the frames and the waves, taken up piece by piece, and the number of the video of each row."""

    def __init__(self) -> None:
        self._frames, self._waves = hashlib.sha256(), hashlib.sha256()

    def add(self, frames: np.ndarray, waves: np.ndarray) -> None:
        """Take up the next rows."""
        self._frames.update(np.ascontiguousarray(frames))
        self._waves.update(np.ascontiguousarray(waves, "<i2"))

    def of(self, videos: np.ndarray, frame: Sequence[int], wave: Sequence[int]) -> str:
        """16 hex digits; frame, wave: shapes of one row."""
        whole = hashlib.sha256(f"{tuple(frame)}{tuple(wave)}".encode())
        for part in (self._frames.digest(), self._waves.digest(), np.ascontiguousarray(videos, "<i8").tobytes()):
            whole.update(part)
        return whole.hexdigest()[:16]


def read_record(folder: Path) -> Record | None:
    """What corpus.json says, None where there is none; InputError for another format or another file."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        number = stored["format"]
        if number == FORMAT:
            return _parsed(stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path} must be what build_corpus writes, it cannot be understood; choose another folder."
        ) from None
    raise InputError(f"{path} must have format {FORMAT}, it has {number!r}; choose another folder.")


def _parsed(stored: dict[str, Any]) -> Record:
    entries, first = [], 0
    for video in stored["videos"]:
        times_s = tuple(video.get("times_s", ()))
        entries.append(Entry(**video | {"times_s": times_s, "rows_at": first if times_s else None}))
        first += len(times_s)
    reading = ReadingConfig(**stored["settings"])
    return Record(reading=reading, entries=tuple(entries), fingerprint=stored["fingerprint"])


def join(
    folder: Path, entries: Iterable[Entry], reading: ReadingConfig, earlier: tuple[np.ndarray, np.ndarray] | None
) -> None:
    """Write the arrays and the record of all entries, in order, each file whole and the record last.

    earlier: frames and waves of the corpus built before, which entries with a row number as `rows_at` are in.
    """
    used = [entry for entry in entries if entry.broken is None]
    videos = np.repeat(np.arange(len(used)), [len(entry.times_s) for entry in used])
    frame, wave = (reading.image_size, reading.image_size, 3), (reading.samples,)
    digest = Fingerprint()
    with written_together(*(folder / name for name in ARRAYS)) as temporary:
        with temporary[0].open("wb") as frames, temporary[1].open("wb") as waves:
            _write_header(frames, np.uint8, (len(videos), *frame))
            _write_header(waves, np.int16, (len(videos), *wave))
            for entry in used:
                rows = _rows(entry, earlier)
                # Written, not mapped: on a full disk a mapped file ends the process instead of raising an error.
                frames.write(rows.frames.tobytes())
                waves.write(rows.waves.tobytes())
                digest.add(rows.frames, rows.waves)
        (folder / RECORD).unlink(missing_ok=True)  # until all are in place, the corpus is not finished
    stored = {
        "format": FORMAT,
        "settings": asdict(reading),
        "fingerprint": digest.of(videos, frame, wave),
        "videos": [_stored(entry) for entry in entries],
    }
    write_json_whole(folder / RECORD, stored, indent=None)


def write_broken(folder: Path, entries: Iterable[Entry]) -> None:
    """Write broken.csv, a line for every source that could not be used; none, no file."""
    rows = [(entry.name, entry.broken) for entry in entries if entry.broken is not None]
    if not rows:
        (folder / BROKEN).unlink(missing_ok=True)
        return
    write_csv_whole(folder / BROKEN, ("video", "reason"), rows)


def _write_header(file: BinaryIO, dtype: type, shape: tuple[int, ...]) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _rows(entry: Entry, earlier: tuple[np.ndarray, np.ndarray] | None) -> Rows:
    if isinstance(entry.rows_at, Path):
        return read_part(entry.rows_at)
    rows = slice(entry.rows_at, entry.rows_at + len(entry.times_s))
    return Rows(earlier[0][rows], earlier[1][rows], np.array(entry.times_s))


def _stored(entry: Entry) -> dict[str, Any]:
    what = {"times_s": list(entry.times_s)} if entry.broken is None else {"broken": entry.broken}
    return {"name": entry.name, "stamp": entry.stamp, **what}
