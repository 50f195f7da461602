"""Pictures, sounds and tables as whole files: each appears under its name only when it is complete."""

from __future__ import annotations

import csv
import io
import os
import wave
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from moca.stage.synthesis import SAMPLE_RATE_HZ

JPEG_QUALITY = 95


def write_image(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) uint8 RGB or (H, W) uint8 (PIL's mode L) as PNG, or as JPEG where the name ends in .jpg."""
    shown = picture[..., ::-1] if picture.ndim == 3 else picture
    options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY) if path.suffix == ".jpg" else ()
    coded = cv2.imencode(path.suffix, shown, options)[1]
    write_whole(path, lambda part: part.write_bytes(coded.tobytes()))


def write_wave(path: Path, audio: np.ndarray) -> None:
    """16-bit mono WAV at 16 kHz of (S,) float in [-1, 1]."""
    samples = np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2")

    def write(part: Path) -> None:
        with wave.open(str(part), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE_HZ)
            file.writeframes(samples.tobytes())

    write_whole(path, write)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Rows as csv, fields quoted where they must be, lines ended by a line feed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have write fill a temporary name beside path, then rename it; nothing is left behind on a failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(part)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
