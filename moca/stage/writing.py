"""A whole stage on disk: the layouts of AVSBench (S4, MS3, AVSS) and VGGSound, filled by Soundstage, resumable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from moca.core.files import check_folder, write_text_whole
from moca.core.progress import Progress, silent
from moca.core.workers import check_workers
from moca.errors import InputError
from moca.stage.avss import avss_job
from moca.stage.layout import SPLITS, STEPS, Job, MS3Job, S4Job, write_clip
from moca.stage.objects import CLASSES
from moca.stage.outline import StageConfig
from moca.stage.seeds import generator
from moca.stage.vggsound import vggsound_job
from moca.stage.vggss import vggss_job

STAGE_FORMAT = 1
# Folder of each extra kind; inside, it looks like S4.
EXTRAS = {"silence": "silent", "noise": "noise", "offscreen": "offscreen"}

Counts = tuple[int, int, int]


def write_stage(
    root: str | Path,
    *,
    s4: Counts = (0, 0, 0),
    ms3: Counts = (0, 0, 0),
    avss: Counts = (0, 0, 0),
    vggsound: int = 0,
    vggss: int = 0,
    extras: int = 0,
    seed: int = 0,
    size: int = 224,
    rate_hz: int = 8,
    workers: int = 1,
    progress: Progress = silent,
) -> Path:
    """Write train, val and test clips in the data sets' own layouts; returns root.

    s4, ms3: numbers of (train, val, test) clips of 5 s, in `root/Single-source` and `root/Multi-sources`. avss: the
    same in `root/AVSS`, with a class for every sounding pixel; a quarter are v1s, a quarter v1m (both 5 s), half v2
    (10 s). vggsound: number of training clips in `root/VGGSound`, mp4 files of 5 s (VGGSound's have 10) with one large
    object that sounds, and little else. vggss: number of test clips beside them with boxes of what sounds at VGG-SS's
    annotated frame, which is in the fifth second. extras: number of test clips of each of
    `silence`, `noise` and `offscreen`, folders that look like an AVSBench root with S4 alone and empty masks, for
    counting false positives. size: side in pixels. rate_hz: video frames per second. workers: processes.
    progress counts clips, those that were finished before included.

    Frames, masks (0/255, mode L; S4's train split has the first only), 16 kHz wav, mp4 and csv are written; for AVSS
    JPEG frames, class numbers (mode L) and their colours.
    AVSBench's audio_log_mel pickles are not: this project neither writes nor reads pickles. A clip depends on
    (seed, split, kind, index) and the form alone, so splits are disjoint, and a stage can be continued after
    an interrupt or made larger later: clips that are complete are skipped. `root/stage.json` keeps the
    settings. Raises InputError, with nothing written, for bad counts or settings, a folder that cannot be
    written to, or one that holds anything but a stage of the same settings.
    """
    root = Path(root)
    config = StageConfig(size=size, rate_hz=rate_hz, steps=STEPS)
    generator(seed)  # refuses a bad seed
    single = {"vggsound": vggsound, "vggss": vggss, "extras": extras}
    counts = _checked_counts({"s4": s4, "ms3": ms3, "avss": avss}, single, workers)
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
        write_text_whole(root / "stage.json", json.dumps(settings | {"counts": counts}, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"{root} cannot be written to ({error.strerror}); choose a folder you may write to."
        ) from error
    jobs = list(_jobs(root, counts, int(seed), config))
    entries: dict[int, Any] = {}
    for position, entry in _work(jobs, workers):
        entries[position] = entry
        progress("drawing clips", len(entries), len(jobs))
    _write_lists(jobs, entries)
    return root


def _checked_counts(splits: dict[str, Counts], single: dict[str, int], workers: int) -> dict[str, dict[str, int]]:
    for name, value in splits.items():
        if len(value) != 3 or not all(_is_count(number) for number in value):
            raise InputError(
                f"{name} must be three clip counts (train, val, test) of at least 0, got {value}; "
                f"pass for example (20, 5, 5)."
            )
    for name, value in single.items():
        if not _is_count(value):
            raise InputError(f"{name} must be a clip count of at least 0, got {value!r}; pass for example 5.")
    check_workers(workers)
    if not sum(map(sum, splits.values())) + sum(single.values()):
        raise InputError(
            "a stage needs at least 1 clip, got 0; raise one of s4, ms3, avss, vggsound, vggss and extras."
        )
    counts = {name: dict(zip(SPLITS, value, strict=True)) for name, value in splits.items()}
    counts |= {"vggsound": {"train": single["vggsound"]}, "vggss": {"test": single["vggss"]}}
    return counts | {folder: {"test": single["extras"]} for folder in EXTRAS}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_root(root: Path, settings: dict) -> None:
    check_folder(root)
    record = root / "stage.json"
    if not record.is_file():
        if root.is_dir() and any(not path.name.startswith(".stage.") for path in root.iterdir()):
            raise InputError(f"{root} is not empty and holds no stage (no stage.json); choose an empty or new folder.")
        return
    try:
        held = json.loads(record.read_text(encoding="utf-8"))
        other = next((name for name, value in settings.items() if held[name] != value), None)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{record} must be what a stage writes, and it cannot be understood; choose another folder."
        ) from error
    if other is not None:
        raise InputError(
            f"{root} holds a stage with {other} {held[other]}, got {other} {settings[other]}; choose another folder."
        )


def _jobs(root: Path, counts: dict[str, dict[str, int]], seed: int, config: StageConfig) -> Iterator[Job]:
    for group, splits in counts.items():
        for split, count in splits.items():
            for index in range(count):
                yield _job(root, group, split, index, seed, config)


def _job(root: Path, group: str, split: str, index: int, seed: int, config: StageConfig) -> Job:
    if group == "avss":
        return avss_job(root, split, index, seed, config)
    if group == "vggsound":
        return vggsound_job(root, index, seed, config)
    if group == "vggss":
        return vggss_job(root, index, seed, config)
    drawn = {"split": split, "index": index, "seed": seed, "config": config}
    if group == "ms3":
        return MS3Job(folder=root / "Multi-sources", kind="ms3", **drawn)
    parent = root / group if group in EXTRAS else root
    return S4Job(folder=parent / "Single-source", kind=EXTRAS.get(group, group), **drawn)


def _work(jobs: list[Job], workers: int) -> Iterator[tuple[int, Any]]:
    """Write all clips, here or in other processes; yields (position, entry in the lists) of each, in any order."""
    if workers == 1:
        yield from enumerate(map(write_clip, jobs))
        return
    # spawn: a fork would copy locks held by threads that the child does not have
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))
    with pool:
        try:
            waiting = {pool.submit(write_clip, job): position for position, job in enumerate(jobs)}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_lists(jobs: list[Job], entries: dict[int, Any]) -> None:
    """The lists of every folder, last of all, so that a list never names a clip that is not there."""
    for folder in sorted({job.folder for job in jobs}):
        own = [position for position, job in enumerate(jobs) if job.folder == folder]
        for name, text in jobs[own[0]].lists([entries[position] for position in own]).items():
            write_text_whole(folder / name, text)
