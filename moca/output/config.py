"""What `moca segment` reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is read and written.

    steps_per_s: frames looked at per second (the paper: 1). video_stream, audio_stream: stream index, None
    for the best one. overlay, report: whether these are written besides the masks.
    allow_truncated: segment what is there of a file that stops before its declared length, instead of refusing it.
    """

    steps_per_s: float = 1.0
    video_stream: int | None = None
    audio_stream: int | None = None
    overlay: bool = True
    report: bool = True
    allow_truncated: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.steps_per_s <= 100:
            raise InputError(
                f"steps per second must be above 0 and at most 100, got {self.steps_per_s}; the paper uses 1."
            )
