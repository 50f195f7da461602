"""One file per decoded video, so that a stopped build goes on where it was; decoding in one process or several."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import numpy as np

from moca.core.files import written_whole
from moca.corpus.sources import ReadingConfig, Rows, Source
from moca.errors import InputError

_NAME = "[0-9a-f]" * 32
CRASHED = "its decoding ended the whole process; mend or replace it."


class Task(NamedTuple):
    """A source, how it is read, and the part its rows are written to."""

    source: Source
    reading: ReadingConfig
    part: Path


def part_path(folder: Path, name: str, stamp: str | None, reading: ReadingConfig) -> Path:
    """Where the rows of a source are kept; another file or another setting gives another name."""
    text = json.dumps([name, stamp, asdict(reading)], sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"


def read_part(path: Path) -> Rows:
    """The rows of a finished part."""
    with np.load(path, allow_pickle=False) as stored:
        return Rows(*(stored[name] for name in Rows._fields))


def read_times(path: Path) -> np.ndarray | None:
    """times_s of a finished part, (n,) float64; None where there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["times_s"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def remove_parts(folder: Path) -> None:
    """Remove the parts, half-written ones too, and the folder where nothing else is in it."""
    for pattern in (f"{_NAME}.npz", f".{_NAME}.*.partial.npz"):
        for path in folder.glob(pattern):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def decode(task: Task) -> str | None:
    """Read a source and write its part, whole. Returns None, or in one line why the source cannot be used."""
    try:
        rows = task.source.read(task.reading)
    except InputError as error:
        return " ".join(str(error).split())
    except Exception as error:  # whatever one file does to a decoder, the others go on
        return " ".join(f"it cannot be decoded ({type(error).__name__}: {error}); mend or replace it.".split())
    with written_whole(task.part) as temporary:
        np.savez(temporary, **rows._asdict())
    return None


def decode_all(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, str | None]]:
    """Decode every task in `workers` processes; yields each with the outcome of `decode`, in any order.

    With more than one process even a file that crashes the decoder is found out and costs no other one.
    Close the iterator to stop before its end.
    """
    if workers == 1:
        for task in tasks:
            yield task, decode(task)
        return
    left = deque(tasks)
    while left:
        suspects = deque((yield from _until_a_crash(left, workers, ahead=2 * workers)))
        while suspects:  # one at a time, so that the one to blame is known
            for task in (yield from _until_a_crash(suspects, 1, ahead=1)):
                yield task, CRASHED


def _until_a_crash(left: deque[Task], workers: int, ahead: int) -> Generator[tuple[Task, str | None], None, list[Task]]:
    """Decode what is left, at most `ahead` under way; where a process dies, return those under way, else none."""
    running: dict[Future, Task] = {}
    # spawn: a fork would copy locks held by threads that the child does not have
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        _check_start(pool)
        try:
            while left or running:
                while left and len(running) < ahead:
                    running[pool.submit(decode, left[0])] = left[0]
                    left.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield running.pop(future), outcome
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return []


def _end_with_parent() -> None:
    """In a worker: end when the parent does. One that is killed, as by a batch system, leaves them waiting forever."""

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _check_start(pool: ProcessPoolExecutor) -> None:
    try:
        pool.submit(int).result()
    except BrokenProcessPool:
        raise InputError(
            "more than one worker needs processes that can start, and they do not; call from under "
            "if __name__ == '__main__': or pass workers=1."
        ) from None
