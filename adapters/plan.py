"""Which image block meets which audio block.

The paper writes of 12 image and 6 audio blocks; the released ImageBind-Huge has 32 and 12. A plan is
therefore made for any pair of depths, and both trunks are cut in the same way:

    last         image blocks 26..31 with audio blocks 6..11   (six blocks of ImageBind-Huge; the default)
    first        image blocks 0..5 with audio blocks 0..5
    interleaved  image blocks 4, 9, 15, 20, 25, 31 with audio blocks 1, 3, 5, 7, 9, 11
"""

import itertools
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import AdapterError

Placement = Literal["last", "first", "interleaved"]


@dataclass(frozen=True)
class Plan:
    """Adapted image blocks and, for each of them, the audio block it listens to. Blocks count from 0."""

    image_blocks: tuple[int, ...]
    """Adapted image blocks, strictly rising."""
    audio_blocks: tuple[int, ...]
    """One audio block per adapted image block, never falling; repeats where the audio trunk is shorter."""

    def __post_init__(self) -> None:
        for name in ("image_blocks", "audio_blocks"):
            blocks = getattr(self, name)
            if not isinstance(blocks, list | tuple):
                raise AdapterError(f"{name} must be a list of block numbers, got {blocks!r}; give a list.")
            object.__setattr__(self, name, tuple(blocks))
        image, audio = self.image_blocks, self.audio_blocks
        if not image or len(image) != len(audio):
            raise AdapterError(
                "a plan needs at least one image block and one audio block for each, "
                f"got {len(image)} and {len(audio)}; pair every image block with an audio block."
            )
        if not all(isinstance(block, int) and block >= 0 for block in image + audio):
            raise AdapterError(f"blocks are whole numbers from 0, got {list(image)} and {list(audio)}; count from 0.")
        if any(later <= earlier for earlier, later in itertools.pairwise(image)):
            raise AdapterError(f"image_blocks must rise strictly, got {list(image)}; sort them and drop repeats.")
        if any(later < earlier for earlier, later in itertools.pairwise(audio)):
            raise AdapterError(f"audio_blocks must never fall, got {list(audio)}; sort them.")

    def check(self, image_depth: int, audio_depth: int) -> None:
        """Refuse towers that lack a planned block."""
        for kind, blocks, depth in (
            ("image", self.image_blocks, image_depth),
            ("audio", self.audio_blocks, audio_depth),
        ):
            if blocks[-1] >= depth:
                raise AdapterError(
                    f"{kind}_blocks must lie below {depth} for an {kind} tower of {depth} blocks, "
                    f"got {blocks[-1]}; make the plan for these towers."
                )


def make_plan(placement: Placement, blocks: int, image_depth: int, audio_depth: int) -> Plan:
    """Plan `blocks` adapters (1 to image_depth) in trunks of the given depths.

    "last" and "first" take the blocks at that end; "interleaved" spreads them evenly and always takes the
    last one. Audio blocks are chosen by the same rule; with more adapters than audio blocks, all audio
    blocks are used in rising order, each about equally often. Source: MoCA table 6.

    >>> make_plan("last", 2, image_depth=6, audio_depth=4)
    Plan(image_blocks=(4, 5), audio_blocks=(2, 3))
    """
    if placement not in get_args(Placement):
        known = ", ".join(get_args(Placement))
        raise AdapterError(f"placement must be one of {known}, got {placement!r}; choose one of them.")
    for kind, depth in (("image", image_depth), ("audio", audio_depth)):
        if not isinstance(depth, int) or depth < 1:
            raise AdapterError(
                f"{kind}_depth must be a whole number of at least 1, got {depth!r}; give the tower's depth."
            )
    if not isinstance(blocks, int) or not 1 <= blocks <= image_depth:
        raise AdapterError(
            f"blocks must be between 1 and {image_depth} for an image tower of {image_depth} blocks, "
            f"got {blocks!r}; change the number of adapted blocks."
        )
    image = _choose(placement, blocks, image_depth)
    if blocks > audio_depth:
        audio = tuple(index * audio_depth // blocks for index in range(blocks))
    else:
        audio = _choose(placement, blocks, audio_depth)
    return Plan(image, audio)


def _choose(placement: Placement, blocks: int, depth: int) -> tuple[int, ...]:
    if placement == "last":
        return tuple(range(depth - blocks, depth))
    if placement == "first":
        return tuple(range(blocks))
    return tuple((index + 1) * depth // blocks - 1 for index in range(blocks))
