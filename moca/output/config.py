"""What `moca segment` reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from moca.core.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class OutputConfig(Settings):
    """What is read of a video, and what is written besides the masks."""

    steps_per_s: float = setting(
        1.0,
        help="Frames looked at per second.",
        above=0,
        most=100,
        hint="the paper uses 1",
        shown="steps_per_second",
        option=True,
    )
    video_stream: int | None = setting(None, help="Index of the video stream; the best one if left out.", option=True)
    audio_stream: int | None = setting(None, help="Index of the audio stream; the best one if left out.", option=True)
    overlay: bool = setting(True, help="Write overlay.mp4.", option=True)
    report: bool = setting(True, help="Write report.html.", option=True)
    allow_truncated: bool = setting(
        False,
        help="Use what is there of files that stop before their declared length, instead of refusing them.",
        option=True,
    )
