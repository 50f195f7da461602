"""Settings of `moca calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moca.core.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig(Settings):
    """At which rate gates are set, and from how many frames."""

    false_positive_rate: float = setting(
        0.05,
        help="Share of frames with a sound of something else that may get a mask all the same.",
        above=0,
        below=1,
        hint="0.05 suits most uses",
        option=True,
    )
    frames: int = setting(
        500,
        help="Frames with sound that are looked at, from videos in random order.",
        least=20,
        most=100_000,
        option=True,
    )
    steps_per_video: int = setting(
        10, help="Most frames of one video, spread evenly over its length.", least=1, option=True
    )
    by: Literal["rank", "score", "both"] = setting(
        "rank",
        help="What the gates of a model ask that has no read-out, or chooses proposals by their crops: the rank of the "
        "sound among the bank for the frame's best proposal, or patches (rank); its score there, in standard "
        "deviations of the bank where scores are relative (score); or both.",
        option=True,
    )
    seed: int = setting(0, help="Rules the order of the videos and the noise.", least=0, option=True)
