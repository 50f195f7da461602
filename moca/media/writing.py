"""Video out: a new video from frames and sound, or a painted copy of a video with its original sound."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from moca.core.files import written_whole
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.media.encoding import (
    AAC_FRAME,
    AAC_RATES_HZ,
    MAX_SIDE,
    aac_frame,
    add_aac_stream,
    add_picture_stream,
    checked_target,
    encoded_frame,
)
from moca.media.pictures import Pictures
from moca.media.soundtrack import CopiedSound, EncodedSound, can_be_copied
from moca.media.streams import choose_audio, choose_video, declared_duration_s, frame_rate, open_container


def write_video(
    target: str | Path,
    frames: Iterable[np.ndarray],
    *,
    rate_hz: float,
    audio: np.ndarray | None,
    sample_rate_hz: int,
) -> None:
    """Write frames and sound as an mp4 file: H.264 and AAC, the same bytes for the same input.

    frames: (H, W, 3) uint8 RGB, all of one size, at least one; taken one by one, so any number fits.
    rate_hz: frames per second, above 0 and up to 1000. audio: (S,) mono in [-1, 1] starting with the first
    frame, clipped where it goes beyond; None writes no sound. sample_rate_hz: one of AAC_RATES_HZ.
    An odd width or height stays exact (yuv444p). Raises InputError before target is touched; a failure or an
    interrupt while writing leaves what was at target before.
    """
    target = checked_target(target)
    if not 0 < rate_hz <= 1000:
        raise InputError(f"rate_hz must be above 0 and at most 1000 frames per second, got {rate_hz:g}.")
    sound = None if audio is None else _checked_sound(audio, sample_rate_hz)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{target} cannot be written: a video needs at least one frame, got none.")
    _check_frame(first, None, 0)
    with written_whole(target) as temporary:
        _write(temporary, chain([first], frames), Fraction(rate_hz).limit_denominator(1_001_000), sound)


def _write(temporary: Path, frames: Iterator[np.ndarray], rate: Fraction, sound: tuple | None) -> None:
    """Encode frames and sound, interleaved, with one thread and no version or date in the file."""
    import av
    import av.codec.context

    bit_exact = av.codec.context.Flags.bitexact
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(temporary), "w", format="mp4", container_options=options) as container:
        pictures = voice = shape = None
        spoken = 0
        for number, rgb in enumerate(frames):
            _check_frame(rgb, shape, number)
            if pictures is None:
                shape = rgb.shape
                options = {"crf": "18", "preset": "medium", "threads": "1"}
                # Without this, x264's rate control depends on the processor, and on small frames even on the run.
                options["x264-params"] = "cpu-independent=1"
                pictures = add_picture_stream(container, shape[1], shape[0], 1 / rate, rate, **options)
                pictures.codec_context.flags |= bit_exact
                if sound is not None:
                    voice = add_aac_stream(container, sound[1], "mono")
                    voice.codec_context.flags |= bit_exact
            container.mux(pictures.encode(encoded_frame(rgb, pictures, number, 1, threads=1)))
            while voice is not None and spoken < min(len(sound[0]), (number + 1) / rate * sound[1]):
                container.mux(voice.encode(aac_frame(sound[0][None, spoken : spoken + AAC_FRAME], voice, spoken)))
                spoken += AAC_FRAME
        container.mux(pictures.encode(None))
        while voice is not None and spoken < len(sound[0]):  # sound that outlasts the pictures
            container.mux(voice.encode(aac_frame(sound[0][None, spoken : spoken + AAC_FRAME], voice, spoken)))
            spoken += AAC_FRAME
        if voice is not None:
            container.mux(voice.encode(None))


def render_video(
    source: str | Path,
    target: str | Path,
    paint: Callable[[np.ndarray, float], np.ndarray],
    *,
    video_stream: int | None = None,
    audio_stream: int | None = None,
    progress: Progress = silent,
) -> None:
    """Write a painted copy of a video at its own size and frame timing, with its original sound, as mp4.

    paint(frame, time_s) gets every frame upright, (H, W, 3) uint8 RGB, with its time from time zero, and
    returns one of the same shape. Time stamps are kept exactly, a variable frame rate too. Sound is copied
    without loss where mp4 holds its codec, else re-encoded as AAC; without sound the copy has none.
    H.264, yuv420p, or yuv444p where a side is odd (browsers may not play that). progress counts seconds, after
    each frame. Memory does not grow with the length of the video.

    Raises InputError before anything is written: a source that cannot be read, a target that is no mp4 name
    or is the source itself. On failure or interrupt nothing new is left behind.
    """
    file = checked_target(target)
    with ExitStack() as stack:
        container, voice = (stack.enter_context(open_container(source)) for _ in range(2))
        video = choose_video(container, source, video_stream)
        audio = choose_audio(voice, source, audio_stream)
        if file.exists() and file.samefile(source):
            raise InputError(f"{target} is the video that is read; choose another name for the copy.")
        pictures = Pictures(container, video, source)
        if max(pictures.width, pictures.height) > MAX_SIDE:
            size = f"{pictures.width}x{pictures.height}"
            raise InputError(f"a video is written with sides of at most {MAX_SIDE} pixels, {source} has {size}.")
        length_s = declared_duration_s(container, video)
        temporary = stack.enter_context(written_whole(file))

        def report(time_s: float) -> None:
            progress(f"writing {file.name}", time_s, length_s)

        _render(temporary, pictures, video, paint, (voice, audio), report)


def _render(temporary: Path, pictures: Pictures, video, paint, sound: tuple, report: Callable[[float], None]) -> None:
    import av

    rate = frame_rate(video)
    rate = rate if rate is not None and rate <= 1000 else Fraction(25)  # a hint for the encoder, no timing
    base = pictures.time_base
    with av.open(str(temporary), "w", format="mp4", container_options={"movflags": "+faststart"}) as container:
        # No reordered frames (bf=0): with them mp4 cannot say how long each frame of a variable rate is
        # shown, and players cut the end off.
        size = pictures.width, pictures.height
        stream = add_picture_stream(container, *size, base, rate, crf="20", preset="veryfast", bf="0")
        ratio = video.sample_aspect_ratio
        if ratio:
            stream.codec_context.sample_aspect_ratio = 1 / ratio if pictures.turn.swaps_sides else ratio
        track = _sound_track(*sound, container, pictures.zero)
        for time, frame in pictures.timed():
            before = pictures.rgb(frame)
            shape = before.shape
            painted = paint(before, float(time))
            if getattr(painted, "shape", None) != shape or painted.dtype != np.uint8:
                raise ValueError(f"paint must return (H, W, 3) uint8 of shape {shape}, as it was given.")
            duration = frame.duration or max(1, round(1 / rate / base))
            container.mux(stream.encode(encoded_frame(painted, stream, round(time / base), duration)))
            if track is not None:
                track.up_to(time)
            report(float(time))
        container.mux(stream.encode(None))
        if track is not None:
            track.up_to(None)


def _sound_track(source, audio, container, zero: Fraction) -> CopiedSound | EncodedSound | None:
    if audio is None:
        return None
    kind = CopiedSound if can_be_copied(audio) else EncodedSound
    return kind(source, audio, container, zero=zero)


def _checked_sound(audio: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, int] | None:
    """audio as float32 in [-1, 1] with its rate; None where it has no samples."""
    audio = np.asarray(audio)
    if audio.ndim != 1 or audio.dtype.kind != "f":
        raise InputError(f"audio must be one channel of floats, shape (samples,), got {audio.shape} of {audio.dtype}.")
    if sample_rate_hz not in AAC_RATES_HZ:
        raise InputError(
            f"sample_rate_hz must be one of {', '.join(map(str, AAC_RATES_HZ))} (what AAC offers), "
            f"got {sample_rate_hz}; resample first."
        )
    if not np.isfinite(audio).all():
        raise InputError("audio must be finite, got NaN or infinite samples.")
    return (np.clip(audio, -1, 1).astype(np.float32), int(sample_rate_hz)) if len(audio) else None


def _check_frame(rgb: np.ndarray, shape: tuple | None, number: int) -> None:
    """Refuse a frame that is no (H, W, 3) uint8 picture, or not of the first frame's shape."""
    received = f"shape {getattr(rgb, 'shape', None)} of {getattr(rgb, 'dtype', type(rgb).__name__)}"
    if getattr(rgb, "dtype", None) != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise InputError(f"frame {number} must be (height, width, 3) uint8 RGB, got {received}.")
    if max(rgb.shape[:2]) > MAX_SIDE:
        raise InputError(f"frame {number} must have sides of at most {MAX_SIDE} pixels, got {received}.")
    if shape is not None and rgb.shape != shape:
        raise InputError(f"frame {number} must have the shape of the first frame, {shape}, got {received}.")
