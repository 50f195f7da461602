"""The training data on disk: every video decoded once, to square frames and seconds of sound, memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from moca.corpus.decoding import Task, decode_all, part_path, read_times, remove_parts
from moca.corpus.sources import FULL_SCALE, ReadingConfig, Source
from moca.corpus.storage import ARRAYS, BROKEN, RECORD, Entry, Fingerprint, Record, join, read_record, write_broken
from moca.data.audio import SAMPLE_RATE_HZ
from moca.errors import InputError

MAX_WORKERS = 256
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Corpus:
    """N rows of one frame and the sound around it; the rows of a video are adjacent and in the order of time.

    frames: (N, S, S, 3) uint8 RGB. waves: (N, samples) int16 mono, 32767 for full scale, zeros where there is no
    sound. videos: (N,) int64, the place in `names` of the video a row is from. times_s: (N,) float64, when the
    frame is shown in its video. names: of the videos. fingerprint: 16 hex digits that depend on frames, waves
    and videos. broken: name of every video that could not be used, and why in one line.
    Raises InputError where these do not fit together.
    """

    frames: np.ndarray
    waves: np.ndarray
    videos: np.ndarray
    times_s: np.ndarray
    names: tuple[str, ...]
    sample_rate_hz: int
    fingerprint: str
    broken: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        count, shape = len(self.frames), self.frames.shape
        if self.frames.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or 0 in shape:
            raise InputError(f"frames must be (N, S, S, 3) uint8 with N and S above 0, got {_kind(self.frames)}.")
        if self.waves.dtype != np.int16 or self.waves.ndim != 2 or len(self.waves) != count:
            raise InputError(f"waves must be ({count}, samples) int16, a row for every frame, got {_kind(self.waves)}.")
        for name, dtype in (("videos", np.int64), ("times_s", np.float64)):
            if (array := getattr(self, name)).dtype != dtype or array.shape != (count,):
                raise InputError(
                    f"{name} must be ({count},) {dtype.__name__}, one for every frame, got {_kind(array)}."
                )
        runs = self.videos[np.flatnonzero(np.diff(self.videos, prepend=-1))]
        if not np.array_equal(runs, np.arange(len(self.names))):
            raise InputError(
                f"videos must count up from 0 to {len(self.names) - 1}, one number for every name and the rows of a "
                f"video adjacent, got {' '.join(map(str, runs[:8]))}{' ...' * (len(runs) > 8)}; sort the rows by video."
            )
        if ((np.diff(self.times_s) < 0) & (np.diff(self.videos) == 0)).any():
            raise InputError("times_s must not fall within a video; sort the rows of each video by time.")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.frames)

    def sound(self, rows: np.ndarray | int | slice) -> np.ndarray:
        """The waves of some rows, (..., samples) float32 in [-1, 1]."""
        return np.maximum(self.waves[rows].astype(np.float32) / FULL_SCALE, -1)


def corpus_from_arrays(
    frames: np.ndarray,
    waves: np.ndarray,
    videos: np.ndarray | None = None,
    *,
    times_s: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """A corpus of arrays that are there already, such as drawn scenes; shapes as in `Corpus`, nothing is copied.

    videos: by default every row is a video of its own. times_s: by default zeros. names: by default the numbers
    of the videos. Raises InputError where they do not fit together.

    >>> corpus = corpus_from_arrays(np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16_000), np.int16))
    >>> len(corpus), corpus.names
    (2, ('0', '1'))
    """
    videos = np.arange(len(frames)) if videos is None else np.asarray(videos)
    videos = videos.astype(np.int64) if videos.dtype.kind in "iu" else videos
    corpus = Corpus(
        frames=frames,
        waves=waves,
        videos=videos,
        times_s=np.zeros(len(frames)) if times_s is None else np.asarray(times_s, np.float64),
        names=tuple(map(str, range(len(np.unique(videos))) if names is None else names)),
        sample_rate_hz=sample_rate_hz,
        fingerprint="",
    )
    digest = Fingerprint()
    for first in range(0, len(frames), 1024):
        digest.add(frames[first : first + 1024], waves[first : first + 1024])
    return replace(corpus, fingerprint=digest.of(videos, frames.shape[1:], waves.shape[1:]))


def read_corpus(folder: str | Path) -> Corpus:
    """A corpus that `build_corpus` finished, its frames and waves memory-mapped; their bytes are not checked again.

    Raises InputError, in one line, for a folder without one, another format, or files that do not fit together.
    """
    folder = Path(folder)
    record = read_record(folder)
    if record is None:
        raise InputError(f"{folder} holds no finished corpus (no {RECORD}); build one there first.")
    used = [entry for entry in record.entries if entry.broken is None]
    try:
        frames, waves = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in ARRAYS)
        return Corpus(
            frames=frames,
            waves=waves,
            videos=np.repeat(np.arange(len(used)), [len(entry.times_s) for entry in used]),
            times_s=np.array([time_s for entry in used for time_s in entry.times_s], np.float64),
            names=tuple(entry.name for entry in used),
            sample_rate_hz=record.reading.sample_rate_hz,
            fingerprint=record.fingerprint,
            broken=tuple((entry.name, entry.broken) for entry in record.entries if entry.broken is not None),
        )
    except (OSError, EOFError, ValueError) as error:  # InputError is a ValueError
        reason = " ".join(str(error).split()).removesuffix(".")
        files = ", ".join((*ARRAYS, RECORD))
        raise InputError(f"{folder} holds a damaged corpus ({reason}); delete {files} and build it again.") from None


def build_corpus(
    sources: Sequence[Source],
    out: str | Path,
    *,
    image_size: int,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    step_s: float = 1.0,
    steps_per_video: int = 10,
    workers: int = 1,
    retry_broken: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Decode every source and write frames.npy, waves.npy, corpus.json and, for those that fail, broken.csv.

    sources: as from `find_clips`; their order is the order of the rows, whatever `workers`, the number of
    processes. image_size, sample_rate_hz, step_s, steps_per_video: see `ReadingConfig`. progress(done, total)
    is called after every video, those found finished included.

    A video is decoded once: finished ones are kept in out/parts until all are joined, so a stopped build goes
    on, and a corpus in out serves every video whose name, size and time are the same (at once where all are);
    other settings decode anew. A broken video is tried again once it changes, or with retry_broken. Joining
    needs the room of the corpus twice. Raises InputError, with nothing changed, for bad settings, two sources
    of one name, and an out that holds something else; and where not one source can be used.
    """
    reading = ReadingConfig(
        image_size=image_size, sample_rate_hz=sample_rate_hz, step_s=float(step_s), steps_per_video=steps_per_video
    )
    out, parts = Path(out), Path(out, "parts")
    _check(sources, reading, workers)
    record = _held(out)
    known = _known(record, reading, retry_broken)
    keys = [(source.name, source.stamp()) for source in sources]
    if record is not None and keys == [entry.key for entry in record.entries] == [entry.key for entry in known]:
        if progress is not None:
            progress(len(sources), len(sources))
        return read_corpus(out)
    earlier = read_corpus(out) if known else None
    _make(parts)
    entries = _decode(sources, keys, known, reading, parts, workers, progress)
    write_broken(out, entries)
    if all(entry.broken is not None for entry in entries):
        remove_parts(parts)
        raise InputError(
            f"at least one video must be usable, all {len(entries)} are broken (see {out / BROKEN}), the first: "
            f"{entries[0].broken}"
        )
    join(out, entries, reading, None if earlier is None else (earlier.frames, earlier.waves))
    remove_parts(parts)
    return read_corpus(out)


def _check(sources: Sequence[Source], reading: ReadingConfig, workers: int) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MAX_WORKERS:
        raise InputError(f"workers must be a whole number from 1 to {MAX_WORKERS}, got {workers!r}.")
    if not sources:
        raise InputError("a corpus needs at least one source, got 0; take them from find_clips.")
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            raise InputError(f"every source must have a name of its own, got {source.name!r} twice; rename one.")
        seen.add(source.name)
        source.check(reading)


def _held(out: Path) -> Record | None:
    """The record of the corpus in out, None without one; refuses what no build of ours wrote."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} must be a folder, it is a file; choose another.")
    record = read_record(out)
    foreign = [name for name in ARRAYS if (out / name).exists()]
    if record is None and foreign and not (out / "parts").is_dir():
        raise InputError(f"{out} already has {' and '.join(foreign)} from elsewhere; choose another folder.")
    return record


def _known(record: Record | None, reading: ReadingConfig, retry_broken: bool) -> list[Entry]:
    """The entries of a corpus built before that hold under these settings."""
    if record is None or record.reading != reading:
        return []
    return [entry for entry in record.entries if not (retry_broken and entry.broken is not None)]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{folder} cannot be written to ({reason}); choose a folder you may write to.") from None


def _decode(
    sources: Sequence[Source],
    keys: Sequence[tuple[str, str | None]],
    known: Sequence[Entry],
    reading: ReadingConfig,
    folder: Path,
    workers: int,
    progress: Progress | None,
) -> list[Entry]:
    """One entry for every source, in order: known, finished by an earlier build, or decoded now into a part."""
    found, tasks, stamps = {entry.key: entry for entry in known}, [], dict(keys)
    for source, key in zip(sources, keys, strict=True):
        if key not in found:
            part = part_path(folder, *key, reading)
            times_s = read_times(part)
            if times_s is None:
                tasks.append(Task(source, reading, part))
            else:
                found[key] = _finished(key, part, times_s)
    done = len(sources) - len(tasks)
    if progress is not None and done:
        progress(done, len(sources))
    with closing(decode_all(tasks, workers)) as outcomes:
        for task, broken in outcomes:
            key = (task.source.name, stamps[task.source.name])
            if broken is None:
                found[key] = _finished(key, task.part, read_times(task.part))
            else:
                found[key] = Entry(name=key[0], stamp=key[1], broken=broken)
            done += 1
            if progress is not None:
                progress(done, len(sources))
    return [found[key] for key in keys]


def _finished(key: tuple[str, str | None], part: Path, times_s: np.ndarray) -> Entry:
    return Entry(name=key[0], stamp=key[1], times_s=tuple(times_s.tolist()), rows_at=part)


def _kind(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"
