"""A whole stage on disk: AVSBench's S4 and MS3 layouts, filled by Soundstage, resumable."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import cv2

from moca.errors import InputError
from moca.stage.clip import StageConfig
from moca.stage.layout import SPLITS, STEPS, Job, write_clip, write_whole
from moca.stage.objects import CLASSES
from moca.stage.seeds import generator

STAGE_FORMAT = 1
# Folder of each extra kind; inside, it looks like S4.
EXTRAS = {"silence": "silent", "noise": "noise", "offscreen": "offscreen"}
MAX_WORKERS = 256

Counts = tuple[int, int, int]


def write_stage(
    root: str | Path,
    *,
    s4: Counts = (0, 0, 0),
    ms3: Counts = (0, 0, 0),
    extras: int = 0,
    seed: int = 0,
    size: int = 224,
    rate_hz: int = 8,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write train, val and test clips of 5 s in AVSBench's own layout; returns root.

    s4, ms3: numbers of (train, val, test) clips, in `root/Single-source` and `root/Multi-sources`. extras:
    number of test clips of each of `silence`, `noise` and `offscreen`, folders that look like an AVSBench
    root with S4 alone and empty masks, for counting false positives. size: side in pixels. rate_hz: video
    frames per second. workers: processes. progress(done, total) is called after every clip, those found
    finished included.

    Frames, masks (0/255, mode L; S4's train split has the first only), 16 kHz wav, mp4 and csv are written.
    AVSBench's audio_log_mel pickles are not: this project neither writes nor reads pickles. A clip depends on
    (seed, split, kind, index) and the form alone, so splits are disjoint, and a stage can be continued after
    an interrupt or made larger later: clips that are complete are skipped. `root/stage.json` keeps the
    settings. Raises InputError, with nothing written, for bad counts or settings, a folder that cannot be
    written to, or one that holds anything but a stage of the same settings.
    """
    root = Path(root)
    config = StageConfig(size=size, rate_hz=rate_hz, steps=STEPS)
    generator(seed)  # refuses a bad seed
    counts = _checked_counts(s4, ms3, extras, workers)
    settings = {
        "format": STAGE_FORMAT,
        "seed": int(seed),
        "size": size,
        "rate_hz": rate_hz,
        "steps": STEPS,
        "classes": list(CLASSES),
    }
    _check_root(root, settings)
    try:
        root.mkdir(parents=True, exist_ok=True)
        _write_text(root / "stage.json", json.dumps(settings | {"counts": counts}, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"{root} cannot be written to ({error.strerror}); choose a folder you may write to."
        ) from error
    jobs = list(_jobs(root, counts, int(seed), config))
    for done, _ in enumerate(_work(jobs, workers), start=1):
        if progress is not None:
            progress(done, len(jobs))
    _write_lists(root, jobs)
    return root


def _checked_counts(s4: Counts, ms3: Counts, extras: int, workers: int) -> dict[str, dict[str, int]]:
    for name, value in (("s4", s4), ("ms3", ms3)):
        if len(value) != 3 or not all(_is_count(number) for number in value):
            raise InputError(
                f"{name} must be three clip counts (train, val, test) of at least 0, got {value}; "
                f"pass for example (20, 5, 5)."
            )
    if not _is_count(extras):
        raise InputError(f"extras must be a clip count of at least 0, got {extras!r}; pass for example 5.")
    if not _is_count(workers) or not 1 <= workers <= MAX_WORKERS:
        raise InputError(f"workers must be from 1 to {MAX_WORKERS}, got {workers!r}; choose for example 2.")
    if not sum(s4) + sum(ms3) + extras:
        raise InputError("a stage needs at least 1 clip, got 0; raise one of s4, ms3 and extras.")
    counts = {kind: dict(zip(SPLITS, value, strict=True)) for kind, value in (("s4", s4), ("ms3", ms3))}
    return counts | {folder: {"test": extras} for folder in EXTRAS}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_root(root: Path, settings: dict) -> None:
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} cannot be written to (it is a file); choose a folder.")
    found = root / "stage.json"
    if not found.is_file():
        if root.is_dir() and any(path.suffix != ".partial" for path in root.iterdir()):
            raise InputError(f"{root} is not empty and holds no stage (no stage.json); choose an empty or new folder.")
        return
    try:
        held = json.loads(found.read_text(encoding="utf-8"))
        other = next((name for name, value in settings.items() if held[name] != value), None)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{found} must be what a stage writes, and it cannot be understood; choose another folder."
        ) from error
    if other is not None:
        raise InputError(
            f"{root} holds a stage with {other} {held[other]}, got {other} {settings[other]}; choose another folder."
        )


def _jobs(root: Path, counts: dict[str, dict[str, int]], seed: int, config: StageConfig) -> Iterator[Job]:
    for group, splits in counts.items():
        folder = root / ("Multi-sources" if group == "ms3" else "Single-source")
        if group in EXTRAS:
            folder = root / group / "Single-source"
        kind = EXTRAS.get(group, group)
        for split, count in splits.items():
            for index in range(count):
                yield Job(folder=folder, kind=kind, split=split, index=index, seed=seed, config=config)


def _work(jobs: list[Job], workers: int) -> Iterable[bool]:
    """Write all clips, here or in other processes; yields once per clip, in any order."""
    if workers == 1:
        yield from map(write_clip, jobs)
        return
    # spawn: a fork would copy locks held by threads that the child does not have
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))
    with pool:
        try:
            for future in as_completed([pool.submit(write_clip, job) for job in jobs]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_lists(root: Path, jobs: list[Job]) -> None:
    """The csv of every folder, last of all, so that a list never names a clip that is not there."""
    for folder in sorted({job.folder for job in jobs}):
        own = [job for job in jobs if job.folder == folder]
        if own[0].kind == "ms3":
            rows = [("video_id", "split"), *((job.name, job.split) for job in own)]
            _write_csv(folder / "ms3_meta_data.csv", rows)
        else:
            # AVSBench's name of the second column is not known; its loaders read the others by name
            rows = [("name", "start", "category", "split")]
            rows += [(job.name, "0", job.category, job.split) for job in own]
            _write_csv(folder / "s4_meta_data.csv", rows)


def _write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    _write_text(path, text.getvalue())


def _write_text(path: Path, text: str) -> None:
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
