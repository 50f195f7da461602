"""Video in: one frame and its sound per step, streamed, on one clock.

Time zero is the moment the first frame of the video stream is shown; sound is placed by its own time stamps.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import count
from math import ceil
from pathlib import Path

from moca.core.step import Step
from moca.errors import InputError
from moca.media.pictures import Pictures, VideoEnd
from moca.media.sound import Sound
from moca.media.streams import (
    VideoInfo,
    audio_streams,
    choose_audio,
    choose_video,
    declared_duration_s,
    frame_rate,
    open_container,
    video_streams,
)

__all__ = ["Step", "VideoInfo", "probe", "read_steps"]

# Containers round times to 1 ms; a remainder this short is rounding, not a step.
_ROUNDING_S = Fraction(2, 1000)


def probe(path: str | Path, *, video_stream: int | None = None, audio_stream: int | None = None) -> VideoInfo:
    """What the file holds, from its header and its first frame. Raises InputError as `read_steps` does."""
    with open_container(path) as container:
        video = choose_video(container, path, video_stream)
        audio = choose_audio(container, path, audio_stream)
        pictures = Pictures(container, video, path)
        rate = frame_rate(video)
        return VideoInfo(
            path=Path(path),
            width=pictures.width,
            height=pictures.height,
            rate_hz=None if rate is None else float(rate),
            duration_s=declared_duration_s(container, video),
            rotation_deg=pictures.turn.degrees,
            video_stream=video.index,
            audio_stream=None if audio is None else audio.index,
            video_streams=tuple(stream.index for stream in video_streams(container)),
            audio_streams=tuple(stream.index for stream in audio_streams(container)),
            sample_rate_hz=None if audio is None else audio.codec_context.sample_rate,
            channels=None if audio is None else audio.codec_context.layout.nb_channels,
        )


def read_steps(
    path: str | Path,
    *,
    steps_per_s: float = 1.0,
    sample_rate_hz: int = 16_000,
    frame_at: float = 0.5,
    video_stream: int | None = None,
    audio_stream: int | None = None,
    on_cut_off: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Cut a video into steps and yield them in order, holding one step in memory whatever the length.

    steps_per_s: above 0, at most 1000. frame_at: where in the step its frame is taken, 0 start to 1 end: the
    frame on show at start + frame_at * length by its time stamp, so a variable frame rate needs no care.
    A last, shorter step is yielded when more than 2 ms of it exist; its frame is taken within what exists.
    video_stream, audio_stream: indices as in `VideoInfo`; default the best. Sound after the video is ignored.

    The file is opened and its first frame decoded at once, so InputError (nothing to read there, no video, no
    such stream, no frame that decodes) comes from the call, not from the loop. Damaged packets are passed
    over; a file that stops before its declared end is read as far as it goes. Then, with its last steps, on_cut_off
    is called with one sentence about that, by the thread that takes the steps; it may raise an error to stop the
    reading. None gives a CutOffWarning instead.

    >>> for step in read_steps("clip.mp4"):                       # doctest: +SKIP
    ...     print(step.start_s, step.frame.shape, step.audio is None)
    """
    if not 0 < steps_per_s <= 1000:
        raise InputError(f"steps_per_s must be above 0 and at most 1000, got {steps_per_s:g}.")
    if not 0 <= frame_at <= 1:
        raise InputError(f"frame_at must be between 0 (start of a step) and 1 (its end), got {frame_at:g}.")
    if not 1000 <= sample_rate_hz <= 384_000:
        raise InputError(f"sample_rate_hz must be between 1000 and 384000, got {sample_rate_hz}.")
    length = 1 / Fraction(steps_per_s).limit_denominator(1_000_000)
    with ExitStack() as files:
        # Three readers of one file: however its streams are interleaved, none has to wait for another.
        container, ahead, voice = (files.enter_context(open_container(path)) for _ in range(3))
        video = choose_video(container, path, video_stream)
        audio = choose_audio(voice, path, audio_stream)
        pictures = Pictures(container, video, path)
        end = VideoEnd(ahead, ahead.streams[video.index], path, pictures.zero, on_cut_off)
        sound = None
        if audio is not None:
            sound = Sound(voice, audio, zero=pictures.zero, sample_rate_hz=sample_rate_hz)
        return _steps(files.pop_all(), pictures, end, sound, length, Fraction(frame_at), sample_rate_hz)


def _steps(
    files: ExitStack,
    pictures: Pictures,
    video_end: VideoEnd,
    sound: Sound | None,
    length: Fraction,
    frame_at: Fraction,
    sample_rate_hz: int,
) -> Iterator[Step]:
    with files:
        for index in count():
            start = index * length
            end = video_end.by(start + length)
            if index and end - start <= _ROUNDING_S:
                return
            time, frame = pictures.on_show(start + frame_at * (end - start))
            window = None
            if sound is not None:
                window = sound.between(ceil(start * sample_rate_hz), ceil(end * sample_rate_hz))
            yield Step(
                index=index,
                start_s=float(start),
                end_s=float(end),
                frame_s=float(time),
                frame=pictures.rgb(frame),
                audio=None if window is None else window[0],
                sample_rate_hz=sample_rate_hz,
            )
            if end < start + length:
                return
