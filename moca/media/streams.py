"""Opening a video file, choosing its streams, decoding them; one line for everything that can be wrong."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from moca.errors import InputError

GIVE_A_VIDEO = "give a video file such as mp4, mkv, webm, mov or avi."
# libav "plays" text as ANSI art and single pictures as one-frame films; neither is a video to segment.
_TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file says about itself."""

    path: Path
    width: int
    """In pixels as shown, after rotation; height too."""
    height: int
    rate_hz: float | None
    """Average frames per second; None when the file does not say."""
    duration_s: float | None
    """Declared length of the video stream, else of the file; None when it is not declared."""
    rotation_deg: int
    """Clockwise turn from the stored to the shown picture: 0, 90, 180 or 270."""
    video_stream: int
    """Index of the chosen one among the file's streams."""
    audio_stream: int | None
    """The same for the sound; None without any."""
    video_streams: tuple[int, ...]
    """Indices of all video streams that could be chosen."""
    audio_streams: tuple[int, ...]
    """Indices of all audio streams that could be chosen."""
    sample_rate_hz: int | None
    """Of the chosen audio stream; None without any. So is channels."""
    channels: int | None


def open_container(path: str | Path):
    """Open a media file for reading. Returns an av InputContainer (a context manager).

    Raises InputError for a missing, empty or unreadable file, a folder, a text file or a single picture.
    libav's own log stays off (PyAV's default); its reason is quoted in the message.
    """
    import av

    file = Path(path)
    if file.is_dir():
        raise InputError(f"{path} is a folder, not a video; {GIVE_A_VIDEO}")
    if not file.exists():
        raise InputError(f"{path} does not exist; {GIVE_A_VIDEO}")
    if file.is_file() and file.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); {GIVE_A_VIDEO}")
    try:
        # "file:" keeps a name with a colon or a percent sign from being read as an address or a pattern.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} is not a video that can be read ({reason}); {GIVE_A_VIDEO}") from error
    name = container.format.name
    if name in _TEXT_FORMATS or name == "image2" or name.endswith("_pipe"):
        container.close()
        kind = "text" if name in _TEXT_FORMATS else "a picture"
        raise InputError(f"{path} is {kind}, not a video; {GIVE_A_VIDEO}")
    return container


def video_streams(container) -> list:
    """The streams that hold moving pictures: not cover art, not thumbnails, and with a decoder here."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [s for s in container.streams.video if s.codec_context is not None and not s.disposition & still]


def audio_streams(container) -> list:
    """The streams that hold sound, with a decoder here."""
    return [s for s in container.streams.audio if s.codec_context is not None]


def choose_video(container, path: str | Path, index: int | None = None):
    """The video stream with this index, or the best: marked default, then most pixels, then first.

    Raises InputError where there is none, or none with this index.
    """
    from av.stream import Disposition

    streams = video_streams(container)
    if not streams:
        content = "only audio" if container.streams.audio else "nothing that shows moving pictures"
        raise InputError(f"{path} has no video stream, {content}; {GIVE_A_VIDEO}")
    if index is not None:
        return _with_index(streams, path, "video", index)
    return max(streams, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height, -s.index))


def choose_audio(container, path: str | Path, index: int | None = None):
    """The audio stream with this index, or the best: marked default, no commentary, then first.

    None where the file has no sound and no index is asked for. Raises InputError for an index it lacks.
    """
    from av.stream import Disposition

    aside = Disposition.comment | Disposition.visual_impaired | Disposition.descriptions
    streams = audio_streams(container)
    if index is not None:
        return _with_index(streams, path, "audio", index)
    return max(
        streams,
        key=lambda s: (not s.disposition & aside, bool(s.disposition & Disposition.default), -s.index),
        default=None,
    )


def _with_index(streams: list, path: str | Path, kind: str, index: int):
    for stream in streams:
        if stream.index == index:
            return stream
    if not streams:
        raise InputError(f"{path} has no {kind} stream at all, got {kind}_stream {index}; leave it out.")
    choices = ", ".join(str(stream.index) for stream in streams)
    raise InputError(f"{path} has no {kind} stream {index}; choose one of {choices}.")


def frame_rate(stream) -> Fraction | None:
    """Average frames per second of a video stream, None when the file does not say."""
    return stream.average_rate or stream.guessed_rate or None


def declared_duration_s(container, stream) -> float | None:
    """Length in seconds of a video stream as the file's header says it, else of the file; None when it does not."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag is not None:  # Matroska keeps the length of a stream here
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    return container.duration / 1e6 if container.duration else None


def packets(container, *streams) -> Iterator:
    """Packets of these streams; a file that breaks off ends them, as its end would."""
    import av
    from av.stream import Discard

    wanted = {stream.index for stream in streams}
    for stream in container.streams:
        if stream.index not in wanted:
            stream.discard = Discard.all  # formats with an index then do not even read it
    source = container.demux(*streams)
    while True:
        try:
            packet = next(source, None)
        except MemoryError:
            raise
        except av.FFmpegError:
            return
        if packet is None:
            return
        yield packet


class Decoded:
    """Decoded frames of one stream, in order; damaged packets are passed over, as players do.

    reason: what libav said of the last damaged packet, None while there was none.
    """

    def __init__(self, container, stream) -> None:
        self.container, self.stream = container, stream
        self.reason: str | None = None

    def __iter__(self) -> Iterator:
        for packet in packets(self.container, self.stream):
            # The demuxer's flush packets are empty, and missing from a broken file: they are not used. Half a
            # packet, where a file is cut off, would cost the good frames that still wait in the decoder.
            if packet.size and not packet.is_corrupt:
                yield from self._decode(packet)
        yield from self._decode(None)

    def _decode(self, packet) -> list:
        import av

        try:
            return self.stream.decode(packet)
        except MemoryError:
            raise
        except EOFError:
            return []
        except av.FFmpegError as error:
            self.reason = error.strerror
            return []
