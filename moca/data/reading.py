"""What the readers of all data sets share: tables, pictures, steps of one second, files that must be there."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from moca.core.step import Step
from moca.data.audio import SAMPLE_RATE_HZ, read_wav, step_slice
from moca.errors import InputError

FRAME_AT_S = 15 / 16
"""Where in its second a frame was taken: the official script samples 16 per second and keeps the last."""

Column = tuple[str, int]
"""Header of a column, and its position should the header say otherwise."""


def read_columns(path: Path, columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    """Some columns of every row of a csv with a header, stripped; known by their header, else by their position.

    Empty lines and a byte order mark do not matter. Raises InputError, in one line, for a file that cannot be read, a
    column that is not there and a row that is too short (with its line).
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [title.strip().lower() for title in next(rows, [])]
            positions = [_position(path, header, column) for column in columns]
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) < len(header):
                    raise InputError(
                        f"{path.name} must have {len(header)} columns in every row, line {rows.line_num} has "
                        f"{len(row)}; repair the line."
                    )
                yield tuple(row[position].strip() for position in positions)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} must be a csv file, it cannot be read ({reason}); copy it again.") from None


def _position(path: Path, header: list[str], column: Column) -> int:
    title, position = column
    if title in header:
        return header.index(title)
    if position < len(header):
        return position
    raise InputError(
        f"{path.name} must have a column {title!r}, its header is {header}; name the column or put it at "
        f"place {position + 1}."
    )


def open_picture(path: Path) -> Image.Image:
    """A decoded picture; InputError, in one line, for a file that is none."""
    try:
        image = Image.open(path)
        image.load()
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"frames and masks must be images, {path} cannot be read ({reason}); copy it again.") from None
    return image


def load_frame(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, a copy that may be written to."""
    with open_picture(path) as image:
        return np.array(image.convert("RGB"))


def second_steps(
    frames: Sequence[Path], audio: Path, load: Callable[[Path], np.ndarray] = load_frame
) -> Iterator[Step]:
    """A clip of stills as every method sees it: one frame and its second of sound at a time.

    audio: WAV, read at 16 kHz; the last second of it is padded, a second without any gives None.
    """
    samples = read_wav(audio)
    for index, path in enumerate(frames):
        yield Step(
            index=index,
            start_s=float(index),
            end_s=float(index + 1),
            frame_s=index + FRAME_AT_S,
            frame=load(path),
            audio=step_slice(samples, index * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ),
            sample_rate_hz=SAMPLE_RATE_HZ,
        )


def digest_of_files(said: str, paths: Iterable[Path | None]) -> str:
    """Hex digest of what is said of a clip and of the place, size and time of its files."""
    digest = hashlib.sha256(said.encode())
    for path in paths:
        stat = path.stat() if path is not None else None
        digest.update(f"|{path}|{stat and (stat.st_size, stat.st_mtime_ns)}".encode())
    return digest.hexdigest()


def files_by_name(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its name; of two with one name, the first in the order of their paths.

    One walk instead of a look for each clip: VGGSound's csv lists 200,000.
    """
    paths: dict[str, Path] = {}
    for parent, subfolders, names in os.walk(folder):
        subfolders.sort()
        for name in names:
            paths.setdefault(name, Path(parent, name))
    return paths


def check_files(needed: Sequence[Path], folder: Path, what: str) -> None:
    """InputError, in one line, if files are missing: how many, and the first five, relative to folder."""
    missing = [str(path.relative_to(folder)) for path in needed if not path.is_file()]
    if missing:
        more = ", ..." if len(missing) > 5 else ""
        raise InputError(
            f"{what} needs {len(needed)} files in {folder}, {len(missing)} are missing: "
            f"{', '.join(missing[:5])}{more}; unpack the data set again."
        )
