"""Files that are either whole or not there."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from moca.core.progress import Progress, silent
from moca.errors import InputError

LOCK = ".lock"
"""File that is in a folder while someone has it alone."""


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary name beside target, renamed to target on success, removed on any failure or interrupt.

    The folder of target is made where it is not there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_native_id()}"  # threads of one process may write the same file
    temporary = target.with_name(f".{target.stem}.{writer}.partial{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def written_together(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """Temporary names for several files; all are complete before the first of them, in their order, is renamed."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(written_whole(target)) for target in reversed(targets))[::-1]


def check_folder(folder: Path) -> None:
    """Raise InputError where a folder neither is nor can be made, as there is a file in its place or above it."""
    there = next((part for part in (folder, *folder.parents) if part.exists()), None)
    if there is not None and not there.is_dir():
        raise InputError(f"{there} must be a folder, it is a file; choose another with -o.")


def refuse_inputs_among(products: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise InputError where a file that is read is a product, or lies in one: writing would replace or remove it.

    products: files and folders that will be written. Other ways to the same file (relative, over .. or a link) count.
    """
    places = {_place(product): product for product in products}
    for given in inputs:
        for place in (_place(given), given.resolve()):
            for part in (place, *place.parents):
                if part in places:
                    raise InputError(
                        f"{given} is read, and {places[part]}, which is written, would take its place; choose another "
                        "folder with -o."
                    )


def _place(path: Path) -> Path:
    """Where a path lies, whether or not it is a link itself."""
    return path.parent.resolve() / path.name


def write_bytes_whole(target: Path, content: bytes) -> None:
    """Write bytes; the folder is made where it is not there."""
    with written_whole(target) as temporary:
        temporary.write_bytes(content)


def write_text_whole(target: Path, text: str) -> None:
    """Write UTF-8 text as it is, line ends included; the folder is made where it is not there."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json_whole(target: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write JSON, ended by a line break; a number that is not finite raises ValueError before anything is written."""
    write_text_whole(target, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def write_csv_whole(target: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a line of titles, lines ended by a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_text_whole(target, text.getvalue())


@contextmanager
def alone_in(folder: Path, progress: Progress = silent) -> Iterator[None]:
    """Have a folder alone among all threads and processes that enter it this way; others wait until this one leaves.

    The folder is made where it is not there. A process that is killed leaves its lock's file behind, which holds
    nobody up. progress is told once where there is somebody to wait for.
    """
    import filelock  # imported late: few commands wait for each other

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        progress(f"waiting for another process to leave {folder}", 0)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # removed while it is held: whoever waits takes hold of a new one
            (folder / LOCK).unlink()
        lock.release()
