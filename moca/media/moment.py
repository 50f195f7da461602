"""One moment of a video: the frame on show then, and the sound around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from math import ceil
from pathlib import Path

from moca.core.step import Step
from moca.errors import InputError
from moca.media.pictures import Pictures, VideoEnd
from moca.media.sound import Sound
from moca.media.streams import choose_audio, choose_video, open_container


def read_moment(
    path: str | Path,
    time_s: float,
    *,
    audio_s: float = 1.0,
    sample_rate_hz: int = 16_000,
    on_cut_off: Callable[[str], None] | None = None,
) -> Step:
    """The frame on show at time_s and audio_s seconds of sound centred there, as step 0.

    time_s: at least 0; in a shorter video its last frame. audio_s: above 0; near either end of the video the window
    is moved inwards, and in a video shorter than it, it is the whole video. Only what comes before the end of the
    window is decoded. on_cut_off: as in `read_steps`, called where the file is cut off before the end of the window.
    Raises InputError, in one line, as `read_steps` does.
    """
    if not time_s >= 0:
        raise InputError(f"time_s must be at least 0 seconds, got {time_s:g}.")
    if not 0 < audio_s <= 3600:
        raise InputError(f"audio_s must be above 0 and at most 3600 seconds, got {audio_s:g}; 1 is one step.")
    time, length = Fraction(time_s), Fraction(audio_s)
    with ExitStack() as files:
        # Three readers of one file: however its streams are interleaved, none has to wait for another.
        container, ahead, voice = (files.enter_context(open_container(path)) for _ in range(3))
        video = choose_video(container, path, None)
        audio = choose_audio(voice, path, None)
        pictures = Pictures(container, video, path)
        start = max(Fraction(0), time - length / 2)
        end = VideoEnd(ahead, ahead.streams[video.index], path, pictures.zero, on_cut_off).by(start + length)
        start = max(Fraction(0), end - length)
        shown, frame = pictures.on_show(time)
        window = None
        if audio is not None:
            sound = Sound(voice, audio, zero=pictures.zero, sample_rate_hz=sample_rate_hz)
            window = sound.between(ceil(start * sample_rate_hz), ceil(end * sample_rate_hz))
        return Step(
            index=0,
            start_s=float(start),
            end_s=float(end),
            frame_s=float(shown),
            frame=pictures.rgb(frame),
            audio=None if window is None else window[0],
            sample_rate_hz=sample_rate_hz,
        )
