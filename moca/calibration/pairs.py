"""Pairs of a frame and a sound: the frame's own, another video's, none, and noise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from moca.calibration.noise import coloured_noise
from moca.core.step import Step

MATCHING, SWAPPED, NOISE, SILENT, OFFSCREEN = "matching", "swapped", "noise", "silent", "off-screen"
AUDIBLE = (SWAPPED, NOISE, OFFSCREEN)
"""Classes of negatives that a gate must stop; silence is stopped by its level."""
MEANINGS = {
    SWAPPED: "another video's sound; by chance it may be of the very kind that is seen",
    NOISE: "coloured noise, which may sound like a fountain or the wind",
    SILENT: "digital silence, which its level stops before any gate",
    OFFSCREEN: "videos in which nothing that is seen makes the sound",
}


class Sounding(Protocol):
    """Frames with their sound: a corpus, or anything with these."""

    frames: np.ndarray
    waves: np.ndarray
    sample_rate_hz: int

    def sound(self, rows: int) -> np.ndarray: ...


def steps_of(corpus: Sounding, rows: np.ndarray, *, heard: np.ndarray | None = None) -> list[Step]:
    """One step per row; heard: the rows whose sound is played instead."""
    sources = rows if heard is None else heard
    length_s = corpus.waves.shape[1] / corpus.sample_rate_hz
    return [
        Step(
            index=index,
            start_s=index * length_s,
            end_s=(index + 1) * length_s,
            frame_s=(index + 0.5) * length_s,
            frame=np.asarray(corpus.frames[row]),
            audio=corpus.sound(int(source)),
            sample_rate_hz=corpus.sample_rate_hz,
        )
        for index, (row, source) in enumerate(zip(rows, sources, strict=True))
    ]


def pairs_of(steps: Sequence[Step], donors: Sequence[Step], *, name: str, seed: int = 0) -> dict[str, list[Step]]:
    """By kind, the pairs that are made of the steps of one video that have sound.

    steps: at least one. donors: steps of another video whose sounds are swapped in, from the start again where they
    are fewer; without any there are no swapped pairs. name: the video's, which with seed rules its noise. Of silence
    there is one pair: all are alike.
    """
    noise = [coloured_noise(step.audio.size, step.sample_rate_hz, _stream(seed, name, step.index)) for step in steps]
    pairs = {
        MATCHING: list(steps),
        NOISE: [replace(step, audio=wave) for step, wave in zip(steps, noise, strict=True)],
        SILENT: [replace(steps[0], audio=np.zeros_like(steps[0].audio))],
    }
    if donors:
        heard = [donors[position % len(donors)] for position in range(len(steps))]
        pairs[SWAPPED] = [
            replace(step, audio=donor.audio, sample_rate_hz=donor.sample_rate_hz)
            for step, donor in zip(steps, heard, strict=True)
        ]
    return pairs


def content_print(steps: Sequence[Step]) -> str:
    """16 hex digits that stand for frames and sounds, wherever they lie."""
    digest = hashlib.sha256()
    for step in steps:
        digest.update(f"{step.frame.shape}".encode() + np.ascontiguousarray(step.frame).tobytes())
        digest.update(np.ascontiguousarray(step.audio, "<f4").tobytes())
    return digest.hexdigest()[:16]


def _stream(seed: int, name: str, index: int) -> np.random.Generator:
    """A random stream of its own for a step of a video."""
    key = np.frombuffer(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest(), "<u4").tolist()
    return np.random.default_rng([seed, *key, index])
