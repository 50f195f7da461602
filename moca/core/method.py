"""What every method looks like: frames and sound in, masks and scores out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from moca.core.step import Step, StepResult


class Method(Protocol):
    """Frames and audio in, masks and scores out; MoCA and every comparison method look like this.

    Several threads may share one: segmenting changes nothing of it.
    """

    name: str
    """What tables call it."""
    settings: dict[str, Any]
    """All that a result depends on besides the video, as JSON values; "model" names the weights."""
    notice: str | None
    """What a user must know before believing the masks, or None."""
    licence: str
    """What may be done with them."""

    def segment_steps(self, steps: Iterable[Step]) -> Iterator[StepResult]:
        """Yield one result per step, in order, holding no more than a few steps in memory."""
        ...
