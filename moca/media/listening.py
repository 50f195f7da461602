"""The sound of a file alone, with or without pictures: wav, mp3 and the like, or a video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np

from moca.errors import InputError
from moca.media.collecting import VIDEO_SUFFIXES
from moca.media.sound import Sound
from moca.media.streams import choose_audio, open_container

SOUND_SUFFIXES = frozenset(f".{name}" for name in ("aac", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav"))
"""Files of sound alone that are looked for in a folder."""


def collect_sounds(folder: Path) -> list[Path]:
    """Every file below a folder that may hold sound, a video or sound alone, sorted; hidden ones are passed over.

    Raises InputError, in one line, for a folder that is not there or has no such file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} must be a folder of videos or sounds, which it is not; give one.")
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if not name.startswith(".")]
    known = VIDEO_SUFFIXES | SOUND_SUFFIXES
    if not (kept := sorted(path for path in found if path.suffix.lower() in known and path.is_file())):
        raise InputError(
            f"folder {folder} must hold at least one video or sound file ({', '.join(sorted(known))}), has none."
        )
    return kept


def read_sound(path: str | Path, *, window_s: float = 1.0, sample_rate_hz: int = 16_000) -> Iterator[np.ndarray]:
    """The sound of a file, window by window: (n,) float32 mono in [-1, 1], n samples of window_s seconds.

    The last window is filled up with silence; pauses of the recording that fill one are left out. Nothing comes of a
    file without sound. Memory: one window. Raises InputError for a file that cannot be read.
    """
    samples = round(window_s * sample_rate_hz)
    with open_container(path) as container:
        stream = choose_audio(container, path)
        if stream is None:
            return
        zero = Fraction(stream.start_time or 0) * (stream.time_base or 0)
        sound = Sound(container, stream, zero=zero, sample_rate_hz=sample_rate_hz)
        for index in count():
            window = sound.between(index * samples, (index + 1) * samples)
            if window is not None:
                yield window[0]
            if sound.ended:
                return
