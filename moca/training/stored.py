"""What is prepared once and found again by every run: files whose names tell all that their content rests on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moca.core.files import written_whole


def content_name(kind: str, **rests_on: Any) -> str:
    """A file's name: its kind and 16 hex digits that change with any of the given values.

    rests_on: JSON values, also nested ones; all that the content depends on.

    >>> content_name("sounds", corpus="c1") != content_name("sounds", corpus="c2")
    True
    """
    text = json.dumps(rests_on, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def array_digest(array: np.ndarray) -> str:
    """16 hex digits of an array's shape, type and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape};".encode())
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:16]


def stored_array(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in a .npy file; it is made and written, whole, where there is none or only a damaged one."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        array = make()
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
    return array
