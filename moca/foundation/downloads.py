"""Weights fetched, verified and removed: whole and right, or not there at all.

A file grows in a part beside its place, which a broken connection, an interrupt or a crash leaves behind and the next
run goes on with. It gets its name when its SHA-256 is right. What is wrong here is one line.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import filelock

from moca.core.files import write_text_whole
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.foundation.manifest import RECORD_FILE, Entry, dump_record, read_record, weights_home
from moca.foundation.resuming import ResumingDownloader, size_of

HUB_PATTERNS = ("*.json", "*.txt", "*.safetensors")  # nothing that could hold a program
HUB_TIMEOUT_S = 30.0
LOCAL_TROUBLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOTDIR)


def fetch(entry: Entry, *, progress: Progress = silent, **options: float) -> bool:
    """Bring a model of the manifest here; False when it was here, whole and right, and nothing was done.

    options: timeout_s, retries and wait_s of `ResumingDownloader`. A second process that fetches the same model waits
    for the first. Raises InputError, in one line, for a full disk, a folder that may not be written, a server out of
    reach, and a file that is not the right one; what was here before is then untouched.
    """
    if not faults(entry, progress=progress):
        return False
    with in_home(), alone(entry, progress):
        if not faults(entry, progress=progress):  # another process has brought it meanwhile
            return False
        if entry.kind == "hub":
            _fetch_hub(entry, progress)
        else:
            _fetch_file(entry, ResumingDownloader(size=entry.bytes, progress=progress, **options))
        return True


def faults(entry: Entry, *, progress: Progress = silent) -> list[str]:
    """What is wrong with a model on this machine, one line each; none when everything is there and unchanged.

    A file must have the manifest's SHA-256; those of a hub repository the sizes, and where the hub keeps them the
    SHA-256, that the hub gave; a slim copy without its original the SHA-256 that it was written with.
    """
    if not entry.place.exists() and entry.is_slim:
        from moca.foundation.imagebind.slim import slim_fault  # torch comes with it

        return [fault] if (fault := slim_fault(entry.slim_place, progress=progress)) else []
    if not entry.place.exists():
        return [f"{entry.place} is not there"]
    if entry.kind == "file":
        return _fault(entry.place, entry.bytes, entry.sha256, progress)
    record = read_record(entry)
    if record is None:
        return [f"{entry.place} must be complete, its download was not finished"]
    return _hub_faults(entry.place, record["files"], progress)


def _hub_faults(folder: Path, files: dict[str, dict], progress: Progress) -> list[str]:
    return [
        line
        for name, known in files.items()
        for line in _fault(folder / name, known["bytes"], known["sha256"], progress)
    ]


def _fault(path: Path, size: int, sha256: str | None, progress: Progress) -> list[str]:
    """A line when a file has not this size or this SHA-256 (None: any)."""
    if size_of(path) != size:
        return [f"{path} must have {size:,} bytes, got {size_of(path):,}"]
    digest = _digest(path, progress) if sha256 else None
    return [] if digest == sha256 else [f"{path} must have SHA-256 {sha256}, got {digest}"]


def remove(entry: Entry) -> int:
    """Delete a model, its slim copy and what an interrupted download left; bytes freed, 0 when there was nothing."""
    if not weights_home().is_dir():
        return 0
    with in_home(), alone(entry, None):
        freed = 0
        for path in (entry.place, part_of(entry), entry.slim_place):
            if path.is_dir() and not path.is_symlink():
                freed += sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
                shutil.rmtree(path)
            elif path.is_symlink() or path.exists():
                freed += path.lstat().st_size
                path.unlink()
    return freed


def part_of(entry: Entry) -> Path:
    """Where an unfinished download of a file lies."""
    return entry.place.with_name(f"{entry.place.name}.part")


def _fetch_file(entry: Entry, download: ResumingDownloader) -> None:
    part = part_of(entry)
    _check_space(entry, entry.bytes - size_of(part))
    download(entry.url, part)
    digest = _digest(part, download.progress)
    if digest != entry.sha256:
        part.unlink()
        raise InputError(
            f"{entry.file} must have SHA-256 {entry.sha256}, got {digest} from {entry.url}; the download was deleted, "
            "fetch it again or place the right file by hand."
        )
    part.replace(entry.place)


def _fetch_hub(entry: Entry, progress: Progress) -> None:
    from huggingface_hub import HfApi, snapshot_download

    folder = entry.place
    with _hub_errors(entry):
        info = HfApi().model_info(entry.hub, revision=entry.revision, files_metadata=True, timeout=HUB_TIMEOUT_S)
    wanted = [file for file in info.siblings if _is_wanted(file.rfilename)]
    # The hub knows the SHA-256 of its large files only.
    files = {
        file.rfilename: {"bytes": file.size, "sha256": file.lfs.sha256 if file.lfs is not None else None}
        for file in wanted
    }
    if "config.json" not in files or not any(name.endswith(".safetensors") for name in files):
        raise InputError(
            f"{entry.hub} must hold config.json and safetensors, got {', '.join(files) or 'neither'}; set a revision "
            "that has them in the manifest (no other format is fetched)."
        )
    for path in [folder / name for name in files if _hub_faults(folder, {name: files[name]}, progress)]:
        path.unlink(missing_ok=True)  # the hub's client would take a file that it once fetched for right
    _check_space(entry, sum(known["bytes"] - size_of(folder / name) for name, known in files.items()))
    with _hub_errors(entry):
        snapshot_download(entry.hub, revision=info.sha, local_dir=folder, allow_patterns=sorted(files))
    if wrong := _hub_faults(folder, files, progress):
        raise InputError(f"{wrong[0]}; run the same command again.")
    write_text_whole(folder / RECORD_FILE, dump_record(entry, info.sha, files))


def _is_wanted(name: str) -> bool:
    """Whether a file of a hub repository belongs to the model: at its top level, and of a kind that runs nothing."""
    return Path(name).name == name and any(fnmatch(name, pattern) for pattern in HUB_PATTERNS)


@contextmanager
def _hub_errors(entry: Entry) -> Iterator[None]:
    """Whatever goes wrong in the hub's client as one line; its kinds of errors change with its versions."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in LOCAL_TROUBLE:
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(
            f"{entry.hub} cannot be fetched from the Hugging Face hub: {reason.rstrip('.:')}; check the connection "
            "and run the same command again."
        ) from None


@contextmanager
def in_home() -> Iterator[None]:
    """A weights folder that cannot be made or written, or a full disk, as one line."""
    try:
        weights_home().mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"{weights_home()} must be a folder that can be written, got {error.strerror or error}; free it, or "
            "choose another with MOCA_WEIGHTS."
        ) from None


@contextmanager
def alone(entry: Entry, progress: Progress | None) -> Iterator[None]:
    """Hold a model's lock, so that one process at a time changes it; the lock ends with its process.

    progress: told while waiting for another one; None refuses instead of waiting.
    """
    lock = filelock.FileLock(weights_home() / f".{entry.name}.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        if progress is None:
            raise InputError(f"{entry.name} must not be in use, another process fetches it; wait for it.") from None
        progress("waiting for another process", 0, entry.size)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_space(entry: Entry, needed: int) -> None:
    free = shutil.disk_usage(weights_home()).free
    if needed > free:
        raise InputError(
            f"{entry.name} needs {needed / 1e9:,.2f} GB in {weights_home()}, which has {free / 1e9:,.2f} GB free; free "
            "some, or choose another folder with MOCA_WEIGHTS."
        )


def _digest(path: Path, progress: Progress) -> str:
    total, done, digest = size_of(path), 0, hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            done += len(block)
            progress("checking", done, total)
    return digest.hexdigest()
