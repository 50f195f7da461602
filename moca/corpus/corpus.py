"""The training data on disk: every video decoded once, to square frames and seconds of sound, memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from moca.corpus.sources import FULL_SCALE
from moca.corpus.storage import ARRAYS, RECORD, Fingerprint, read_record
from moca.data.audio import SAMPLE_RATE_HZ
from moca.errors import InputError


@dataclass(frozen=True, eq=False)
class Corpus:
    """N rows of one frame and the sound around it; the rows of a video are adjacent and in the order of time.

    Raises InputError where the arrays do not fit together.
    """

    frames: np.ndarray
    """(N, S, S, 3) uint8 RGB."""
    waves: np.ndarray
    """(N, samples) int16 mono, 32767 for full scale, zeros where there is no sound."""
    videos: np.ndarray
    """(N,) int64, the index in `names` of the video that a row is from."""
    times_s: np.ndarray
    """(N,) float64, when the frame is shown in its video."""
    names: tuple[str, ...]
    """Of the videos."""
    sample_rate_hz: int
    """Of the sound."""
    fingerprint: str
    """16 hex digits that depend on frames, waves and videos."""
    broken: tuple[tuple[str, str], ...] = ()
    """Name of every video that could not be used, and why in one line."""

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


def _kind(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"
