"""From videos to a corpus on disk: every one is decoded once, and a stopped build goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from moca.core.files import alone_in, check_folder
from moca.core.progress import Progress, silent
from moca.core.workers import check_workers
from moca.corpus.corpus import Corpus, read_corpus
from moca.corpus.decoding import Task, decode_all, part_path, read_times, remove_parts
from moca.corpus.sources import ReadingConfig, Source
from moca.corpus.storage import ARRAYS, BROKEN, Entry, Record, join, read_record, write_broken
from moca.data.audio import SAMPLE_RATE_HZ
from moca.errors import InputError


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
    progress: Progress = silent,
) -> Corpus:
    """Decode every source and write frames.npy, waves.npy, corpus.json and, for those that fail, broken.csv.

    sources: as from `find_clips`; their order is the order of the rows, whatever `workers`, the number of
    processes. image_size, sample_rate_hz, step_s, steps_per_video: see `ReadingConfig`. progress: told "reading
    videos", how many are done and how many there are, after every video, those that are finished included.

    A video is decoded once: finished ones are kept in out/parts until all are joined, so a stopped build goes
    on, and a corpus in out serves every video whose name, size and time are the same (at once where all are);
    other settings decode anew. A broken video is tried again once it changes, or with retry_broken. Joining
    needs the room of the corpus twice. Of several processes that build in one folder, one does and the others wait
    for it. Raises InputError, with nothing changed, for bad settings, two sources
    of one name, and an out that holds something else; and where not one source can be used.
    """
    reading = ReadingConfig(
        image_size=image_size, sample_rate_hz=sample_rate_hz, step_s=float(step_s), steps_per_video=steps_per_video
    )
    out, keys = Path(out), [(source.name, source.stamp()) for source in sources]
    _check(sources, reading, workers)
    if _serves(_held(out), keys, reading, retry_broken):
        progress("reading videos", len(sources), len(sources))
        return read_corpus(out)
    _make(out)
    with alone_in(out, progress):
        record = _held(out)
        if not _serves(record, keys, reading, retry_broken):  # unless another process has just built it
            known = _known(record, reading, retry_broken)
            _build(sources, keys, known, out, reading, workers, progress)
        return read_corpus(out)


def _build(
    sources: Sequence[Source],
    keys: Sequence[tuple[str, str | None]],
    known: Sequence[Entry],
    out: Path,
    reading: ReadingConfig,
    workers: int,
    progress: Progress,
) -> None:
    """Decode what is not known and replace what out holds; known: entries of the corpus there that hold."""
    parts = out / "parts"
    earlier = read_corpus(out) if known else None
    parts.mkdir(exist_ok=True)
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


def _check(sources: Sequence[Source], reading: ReadingConfig, workers: int) -> None:
    check_workers(workers)
    if not sources:
        raise InputError("a corpus needs at least one source, got 0; take them from find_clips.")
    names: set[str] = set()
    for source in sources:
        if source.name in names:
            raise InputError(f"every source must have a name of its own, got {source.name!r} twice; rename one.")
        names.add(source.name)
        source.check(reading)


def _held(out: Path) -> Record | None:
    """The record of the corpus in out, None without one; refuses what no build of ours wrote."""
    check_folder(out)
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


def _serves(
    record: Record | None, keys: Sequence[tuple[str, str | None]], reading: ReadingConfig, retry_broken: bool
) -> bool:
    """Whether a corpus built before is, without any decoding, the one that is wanted."""
    if record is None:
        return False
    return keys == [entry.key for entry in record.entries] == [e.key for e in _known(record, reading, retry_broken)]


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
    progress: Progress,
) -> list[Entry]:
    """One entry for every source, in order: known, finished by an earlier build, or decoded now into a part."""
    entries, tasks, stamps = {entry.key: entry for entry in known}, [], dict(keys)
    for source, key in zip(sources, keys, strict=True):
        if key not in entries:
            part = part_path(folder, *key, reading)
            times_s = read_times(part)
            if times_s is None:
                tasks.append(Task(source, reading, part))
            else:
                entries[key] = _finished(key, part, times_s)
    done = len(sources) - len(tasks)
    if done:
        progress("reading videos", done, len(sources))
    with closing(decode_all(tasks, workers)) as outcomes:
        for task, broken in outcomes:
            key = (task.source.name, stamps[task.source.name])
            if broken is None:
                entries[key] = _finished(key, task.part, read_times(task.part))
            else:
                entries[key] = Entry(name=key[0], stamp=key[1], broken=broken)
            done += 1
            progress("reading videos", done, len(sources))
    return [entries[key] for key in keys]


def _finished(key: tuple[str, str | None], part: Path, times_s: np.ndarray) -> Entry:
    return Entry(name=key[0], stamp=key[1], times_s=tuple(times_s.tolist()), rows_at=part)
