"""Where Soundstage's randomness comes from: local generators, named, never the global one."""

from __future__ import annotations

import hashlib
import zlib
from numbers import Integral

import numpy as np

from moca.errors import InputError


def generator(seed: int, *labels: str | int) -> np.random.Generator:
    """Generator that depends on the seed and the labels alone, not on process, order or earlier draws.

    seed: integer of any size, at least 0 (InputError otherwise). Different labels give independent streams:
    drawing one thing differently leaves the others as they were.
    """
    _check(seed)
    words = [zlib.crc32(label.encode()) if isinstance(label, str) else int(label) for label in labels]
    return np.random.default_rng(np.random.SeedSequence([int(seed), *words]))


def derive_seed(seed: int, split: str, kind: str, index: int) -> int:
    """Seed of one clip or frame of a split: 128 bits of SHA-256 over "seed/split/kind/index".

    Two splits can therefore never share a clip, whatever their sizes, and a split can grow without changing
    the clips it already has.
    """
    _check(seed)
    digest = hashlib.sha256(f"{int(seed)}/{split}/{kind}/{int(index)}".encode()).digest()
    return int.from_bytes(digest[:16], "little")


def _check(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed must be an integer of at least 0, got {seed!r}; pass for example 0.")
