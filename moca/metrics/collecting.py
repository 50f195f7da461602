"""What the accumulators share: scored videos, each at its place in the test set."""

from __future__ import annotations

from typing import Generic, TypeVar

from moca.errors import InputError

Scored = TypeVar("Scored")


class ByPlace(Generic[Scored]):
    """Videos by their place in the test set, so that shards merge into the serial result in any order."""

    def __init__(self) -> None:
        self._videos: dict[int, Scored] = {}

    def __len__(self) -> int:
        return len(self._videos)

    def add(self, video: Scored, *, index: int | None = None) -> None:
        """Keep a scored video at place `index` of the test set; by default after the last one."""
        index = max(self._videos, default=-1) + 1 if index is None else index
        if index in self._videos:
            raise InputError(f"every video counts once, video {index} is already scored; give it its own index.")
        self._videos[index] = video

    def merge(self, other: ByPlace[Scored]) -> None:
        """Take over the videos of another shard; refuses, unchanged, if a video is in both."""
        both = sorted(self._videos.keys() & other._videos.keys())
        if both:
            raise InputError(
                f"every video counts once, {len(both)} are in both shards (first: {both[0]}); "
                "give videos their index in the whole test set."
            )
        self._videos |= other._videos

    def in_order(self) -> list[Scored]:
        """The videos in the order of the test set; raises InputError if there is none."""
        if not self._videos:
            raise InputError(
                "at least 1 video must be scored before metrics exist, got 0; call add() or update() first."
            )
        return [self._videos[index] for index in sorted(self._videos)]
