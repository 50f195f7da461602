"""Pictures and sounds of a stage as whole files, and its tables as text."""

from __future__ import annotations

import csv
import io
import wave
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from moca.core.files import write_bytes_whole, written_whole
from moca.stage.synthesis import SAMPLE_RATE_HZ

JPEG_QUALITY = 95


def write_image(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) uint8 RGB or (H, W) uint8 (PIL's mode L) as PNG, or as JPEG where the name ends in .jpg."""
    shown = picture[..., ::-1] if picture.ndim == 3 else picture
    options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY) if path.suffix == ".jpg" else ()
    coded = cv2.imencode(path.suffix, shown, options)[1]
    write_bytes_whole(path, coded.tobytes())


def write_wave(path: Path, audio: np.ndarray) -> None:
    """16-bit mono WAV at 16 kHz of (S,) float in [-1, 1]."""
    samples = np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2")
    with written_whole(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(samples.tobytes())


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Rows as csv, fields quoted where they must be, lines ended by a line feed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
