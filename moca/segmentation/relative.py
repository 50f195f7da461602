"""Scores without a scale: how much better a sound fits than a bank of other sounds does.

Cosines of one encoder lie around .3 for a match, those of another around .6, and all its sounds may agree with one
frame more than with the next. What is left, once the mean over other sounds is taken away and the rest is counted in
their standard deviations, can be compared: between encoders, frames and regions.

Shapes: N regions (patches or proposals) of one frame, K sounds of the bank, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moca.errors import InputError

LEAST_SPREAD = 1e-6  # cosines that differ by less are equal but for rounding


@dataclass(frozen=True, kw_only=True)
class SoundBank:
    """Embeddings of other sounds, which a frame's own sound is compared with."""

    embeddings: np.ndarray
    """(K, E) float32 of unit length, by the encoder they are for."""
    names: tuple[str, ...]
    """What each is, in a word or two."""
    fingerprint: str
    """16 hex digits that stand for the sounds and the encoder."""

    def __post_init__(self) -> None:
        shape = self.embeddings.shape
        if len(shape) != 2 or len(self.names) != shape[0] or shape[0] < 2:
            raise InputError(
                f"a bank must hold at least 2 sounds with a name each, got embeddings {shape} and {len(self.names)} "
                "names; add sounds."
            )

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the regions of one frame say of its own sound, beside the sounds of a bank."""

    own: np.ndarray
    """(N,) float, cosine of each region with the frame's own sound."""
    others: np.ndarray
    """(N, K) float, with every sound of the bank."""

    @property
    def spread(self) -> float:
        """Standard deviation of the bank's cosines around their mean over the bank, over all regions of the frame.

        The unit of `scores`. One number a frame: it changes no order within the frame, and it scales with the cosines.
        """
        if not self.others.size:
            return LEAST_SPREAD
        around = self.others - self.others.mean(1, keepdims=True)
        return max(float(np.sqrt(np.mean(np.square(around, dtype=np.float64)))), LEAST_SPREAD)

    @cached_property
    def scores(self) -> np.ndarray:
        """(N,) float64: by how many `spread`s the own sound agrees better with a region than the bank does on average.

        0 is an average sound; unbounded. Cosines a * c + b, with a > 0 and any b, have the same scores as cosines c.
        """
        return (self.own - self.others.mean(1)) / self.spread

    def rank(self, region: int) -> float:
        """Share of the bank that agrees less with a region than the own sound, in [0, 1]: 1 best, about 0.5 by chance.

        A sound of the bank that agrees exactly as well counts as half.
        """
        others, own = self.others[region], self.own[region]
        return float((np.count_nonzero(others < own) + 0.5 * np.count_nonzero(others == own)) / len(others))

    def better(self, region: int, names: tuple[str, ...], *, most: int = 3) -> tuple[str, ...]:
        """Names of sounds of the bank that agree more with a region than the own one, best first, each once."""
        others = self.others[region]
        order = np.argsort(-others, kind="stable")
        return tuple(dict.fromkeys(names[k] for k in order if others[k] > self.own[region]))[:most]

    def pooled(self, regions: np.ndarray) -> Comparison:
        """Several regions as one: the mean of their cosines. regions: (M,) whole numbers, at least one."""
        return Comparison(own=self.own[regions].mean(keepdims=True), others=self.others[regions].mean(0)[None])


def compare(regions: np.ndarray, sound: np.ndarray, bank: SoundBank) -> Comparison:
    """Cosines of regions with a sound and with a bank.

    regions: (..., E) of unit length, taken as N in a row; sound: (E,) of unit length.
    """
    flat = regions.reshape(-1, regions.shape[-1])
    return Comparison(own=flat @ sound, others=flat @ bank.embeddings.T)
