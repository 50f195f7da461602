"""Masks as COCO run-length strings, byte for byte what pycocotools writes.

A mask is read column by column; `counts` are the lengths of its runs, starting with a run of background (0
long when the first pixel is set). From the fourth count on, the difference to the count two before is stored.
Each number becomes characters of 5 bits, lowest first, plus a continuation bit 32, offset by 48; bit 16 of
the last character is the sign. Source: `rleToString` and `rleFrString` in cocoapi's common/maskApi.c.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moca.errors import InputError

MAX_PIXELS = 2**31 - 1
_PLACES = 7  # characters a number may take: 35 bits hold any difference of two counts


def encode(mask: np.ndarray) -> dict[str, object]:
    """mask (H, W) bool -> {"size": [H, W], "counts": ASCII string}, ready for JSON.

    Raises InputError for another dtype or number of axes, and for a mask without pixels.

    >>> encode(np.array([[False, True], [False, True]]))
    {'size': [2, 2], 'counts': '22'}
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise InputError(f"mask must be (H, W) bool, got shape {mask.shape} {mask.dtype}; compare it first (mask > 0).")
    height, width = mask.shape
    _check_size(height, width)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(edges, prepend=0, append=flat.size)
    if flat[0]:
        counts = np.concatenate([[0], counts])
    return {"size": [height, width], "counts": _to_string(counts.astype(np.int64))}


def decode(rle: Mapping[str, object]) -> np.ndarray:
    """{"size": [H, W], "counts": string or bytes} -> mask (H, W) bool; the inverse of `encode`.

    Everything is checked before the mask is allocated. Raises InputError for a size out of range, a character
    outside the alphabet, a string that ends inside a number, or counts that do not add up to H * W.
    """
    size, counts = rle["size"], rle["counts"]
    if not isinstance(counts, str | bytes):
        raise InputError(
            f"counts must be a compressed COCO string, got {type(counts).__name__}; "
            "compress it first (pycocotools: frPyObjects)."
        )
    height, width = (int(side) for side in size)
    _check_size(height, width)
    runs = _from_string(counts.encode("utf-8") if isinstance(counts, str) else counts)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise InputError(
            f"counts must be non-negative and add up to {height} x {width} = {height * width} pixels, "
            f"got {int(runs.sum())}; the string belongs to another size or is damaged."
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise InputError(
            f"a mask needs sides of at least 1 and at most {MAX_PIXELS} pixels, got {height} x {width}; "
            "check the frame size."
        )


def _to_string(counts: np.ndarray) -> str:
    """counts (M,) int64 -> compressed string."""
    deltas = counts.copy()
    deltas[3:] -= counts[1:-2]
    rest = deltas[:, None] >> (5 * np.arange(_PLACES))  # (M, places); arithmetic shift keeps the sign
    bits = rest & 31
    more = (rest >> 5) != np.where(bits & 16, -1, 0)
    used = np.concatenate([np.ones((len(counts), 1), bool), more[:, :-1]], axis=1)
    characters = (bits + 32 * more + 48)[used]
    return characters.astype(np.uint8).tobytes().decode("ascii")


def _from_string(text: bytes) -> np.ndarray:
    """Compressed string -> counts (M,) int64; not yet checked against a size."""
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise InputError(
            "counts must be a complete string of characters '0' to 'o' (COCO's compressed form), "
            f"got {text[:40].decode('ascii', 'backslashreplace')!r}; "
            "the file is damaged or in another format."
        )
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _PLACES:
        raise InputError(
            f"a number in counts may take at most {_PLACES} characters, got {lengths.max()}; the file is damaged."
        )
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    counts = np.add.reduceat((codes & 31) << (5 * places), starts)
    counts -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
