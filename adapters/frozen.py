"""The frozen side: what a tower must offer, and what the adapters hear of a sound.

Shape legend: B batch, L tokens (La of audio), D width (Da of audio).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .readings import SelfSelf


class Tower(Protocol):
    """What a frozen transformer must offer. Block numbers count from 0."""

    width: int
    depth: int

    def tokens(self, inputs: Tensor) -> Tensor:
        """The stem: (B, L, D) tokens entering block 0, the class token first."""

    def attend(self, block: int, x: Tensor) -> Tensor:
        """The attention branch MHA(norm(x)), without adding x."""

    def feed(self, block: int, x: Tensor) -> Tensor:
        """The feed-forward branch MLP(norm(x)), without adding x."""

    def values(self, block: int, x: Tensor) -> Tensor:
        """The attention's value path, projected out: no mixing of tokens, no residual."""

    def self_self_attend(self, block: int, x: Tensor, by: SelfSelf) -> Tensor:
        """The attention branch with tokens compared by their queries, keys or values alone, without adding x."""


@dataclass(frozen=True, kw_only=True)
class AudioContext:
    """What the adapters hear of B audios: frozen audio tokens, without a graph."""

    pairs: Mapping[int, tuple[Tensor, Tensor]]
    """For every audio block of the plan: X_a entering it and Y_a after its attention, each (B, La, Da)."""
    tokens: Tensor
    """Tokens leaving the last audio block, (B, La, Da)."""

    def __len__(self) -> int:
        return len(self.tokens)

    def select(self, index: Tensor) -> "AudioContext":
        """The audios at the given positions, in that order; repeats let one audio serve several images.

        index: integer tensor (N,) on any device. Returns a context of N audios.
        """
        index = index.to(self.tokens.device)
        return AudioContext(
            pairs={block: (x.index_select(0, index), y.index_select(0, index)) for block, (x, y) in self.pairs.items()},
            tokens=self.tokens.index_select(0, index),
        )
