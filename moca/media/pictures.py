"""The pictures of a video: upright, in order, each with the moment it is first shown."""

import heapq
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from moca.errors import InputError
from moca.media.streams import Decoded, frame_rate, packets

_DECLARING_FORMATS = ("mov,", "matroska,", "avi")  # their headers state a length instead of estimating one
_TRUNCATION_S = 0.5
# These store frames in decoding order without times, and libav's guesses at the times come slightly shuffled.
_UNTIMED_FORMATS = {"avi", "h264", "hevc", "m4v", "mpegvideo"}
_SHUFFLE_FRAMES = 4
_UNKNOWN_RATE_HZ = Fraction(25)


class CutOffWarning(UserWarning):
    """A file stops before the length its header declares."""


class Pictures:
    """Decoded frames of a video stream with exact times; time zero is the first frame shown.

    Memory: the frame being shown and the next one. Raises InputError when no frame at all can be decoded.
    """

    def __init__(self, container, stream, path: str | Path) -> None:
        stream.thread_type = "AUTO"
        self._step = 1 / (frame_rate(stream) or _UNKNOWN_RATE_HZ)
        decoded = Decoded(container, stream)
        untimed = container.format.name in _UNTIMED_FORMATS
        self._frames = _with_sorted_times(decoded) if untimed else iter(decoded)
        self.first = next(self._frames, None)
        if self.first is None:
            reason = decoded.reason or "the stream is empty"
            raise InputError(
                f"{path} has no video frame that can be decoded ({reason}); "
                "the file is damaged or cut off, give another copy."
            )
        # Frames that come out when the decoder is emptied do not carry the time base; the stream does.
        self.time_base: Fraction = stream.time_base
        self.zero = (self.first.pts or 0) * self.time_base
        self.turn = Turn(self.first)
        self.width, self.height = self.turn.shown_size(self.first.width, self.first.height)
        self._timeline, self._shown, self._next = self.timed(), None, None

    def timed(self) -> Iterator[tuple[Fraction, object]]:
        """Every frame with its time in seconds from time zero; times strictly increase. Use this or `on_show`.

        A frame without a time stamp follows its predecessor by one frame of the average rate. A frame that
        comes with an earlier stamp than its predecessor is left out: it could never be shown.
        """
        last, frame = None, self.first
        while frame is not None:
            if frame.pts is not None:
                time = frame.pts * self.time_base - self.zero
            else:
                time = Fraction(0) if last is None else last + self._step
            if last is None or time > last:
                yield time, frame
                last = time
            frame = next(self._frames, None)

    def on_show(self, time: Fraction) -> tuple[Fraction, object]:
        """The frame on show at `time` (the last that starts by then) and its time. `time` may not go back."""
        if self._shown is None:
            self._shown, self._next = next(self._timeline), next(self._timeline, None)
        while self._next is not None and self._next[0] <= time:
            self._shown, self._next = self._next, next(self._timeline, None)
        return self._shown

    def rgb(self, frame) -> np.ndarray:
        """The frame as shown: (height, width, 3) uint8 RGB, C-contiguous, turned upright.

        A stream that changes its size on the way is scaled to the size of its first frame.
        """
        stored = self.turn.stored_size(self.width, self.height)
        picture = frame.reformat(width=stored[0], height=stored[1], format="rgb24").to_ndarray()
        return np.ascontiguousarray(self.turn.apply(picture))


def _with_sorted_times(frames: Iterable) -> Iterator:
    """The frames, which come in the order they are shown, with their time stamps put into that order too."""
    stamps: list[int] = []
    waiting: deque = deque()
    for frame in chain(frames, repeat(None, _SHUFFLE_FRAMES)):
        waiting.append(frame)
        if frame is not None and frame.pts is not None:
            heapq.heappush(stamps, frame.pts)
        if len(waiting) > _SHUFFLE_FRAMES:
            ready = waiting.popleft()
            if ready is not None:
                ready.pts = heapq.heappop(stamps) if stamps else None
                yield ready


class Turn:
    """How a stored picture becomes the shown one: the display matrix, rounded to quarter turns and flips.

    The matrix [a b; c d] sends stored (x, y) to shown (a x + c y, b x + d y), y downwards.
    Source: ISO/IEC 14496-12, track header matrix; libavutil/display.h.
    """

    def __init__(self, frame) -> None:
        matrix = frame.side_data.get("DISPLAYMATRIX")
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist() if matrix else (1, 0, 0, 0, 1)
        self.swaps_sides = abs(b) > abs(a)
        x_from, y_from = (c, b) if self.swaps_sides else (a, d)
        self.mirrors_x, self.mirrors_y = x_from < 0, y_from < 0
        upright = {(False, False): 0, (True, True): 180, (True, False): 0, (False, True): 180}
        sideways = {(True, False): 90, (False, True): 270, (False, False): 90, (True, True): 270}
        self.degrees: int = (sideways if self.swaps_sides else upright)[self.mirrors_x, self.mirrors_y]

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self.swaps_sides else (width, height)

    stored_size = shown_size  # swapping the sides undoes itself

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """picture (H, W, 3) as stored -> a view of it as shown."""
        if self.swaps_sides:
            picture = picture.transpose(1, 0, 2)
        return picture[:: -1 if self.mirrors_y else 1, :: -1 if self.mirrors_x else 1]


class VideoEnd:
    """Where the video ends, found by reading packets ahead without decoding them or keeping any.

    A step's frame is chosen within what exists of the step, so the end must be known before the step is
    decoded; remembering the step's frames instead would hold seconds of raw video.

    on_cut_off: called with one sentence when the file turns out to stop before the length that its header declares;
    None warns with a CutOffWarning instead.
    """

    def __init__(
        self,
        container,
        stream,
        path: str | Path,
        zero: Fraction,
        on_cut_off: Callable[[str], None] | None = None,
    ) -> None:
        self._container, self._stream, self._path, self._zero = container, stream, path, zero
        self._on_cut_off = on_cut_off or _warn
        self._step = 1 / (frame_rate(stream) or _UNKNOWN_RATE_HZ)
        others = [s for s in container.streams.audio if s.codec_context is not None]
        self._packets = packets(container, stream, *others)
        self._last = self._lasts = Fraction(0)  # the last frame seen: when it starts and how long it is shown
        self._file_end = Fraction(0)
        self._end: Fraction | None = None

    def by(self, limit: Fraction) -> Fraction:
        """The smaller of `limit` and the end of the video, in seconds from time zero."""
        while self._end is None and self._last < limit:
            packet = next(self._packets, None)
            if packet is None:
                self._end = self._last + self._duration_of_last()
                self._tell_if_cut_off()
            else:
                self._note(packet)
        return limit if self._end is None else min(limit, self._end)

    def _note(self, packet) -> None:
        stamp = packet.dts if packet.pts is None else packet.pts
        is_video = packet.stream_index == self._stream.index
        unseen = not packet.size or packet.is_discard or packet.is_corrupt
        if unseen or (stamp is None and not is_video):
            return
        lasts = (packet.duration or 0) * packet.time_base or (self._step if is_video else Fraction(0))
        start = self._last + self._step + self._zero if stamp is None else stamp * packet.time_base
        self._file_end = max(self._file_end, start + lasts)
        if is_video and start - self._zero >= self._last:
            self._last, self._lasts = start - self._zero, lasts

    def _duration_of_last(self) -> Fraction:
        """How long the last frame is shown: its packet's duration, unless an mp4 header is better informed.

        mp4 stores the distance to the next frame in decoding order, which with reordered frames of a variable
        rate says nothing about how long the last one is shown; the track's own length, where it reaches past
        that frame, does, and otherwise one frame of the average rate is the best guess.
        """
        stream = self._stream
        if not stream.duration or not self._container.format.name.startswith("mov,"):
            return self._lasts
        declared = ((stream.start_time or 0) + stream.duration) * stream.time_base - self._zero - self._last
        if declared <= 0:
            return min(self._lasts, self._step)
        return min(self._lasts, declared)

    def _tell_if_cut_off(self) -> None:
        """Say so, once, when a file stops before the length its header declares."""
        container = self._container
        if container.duration is None or not container.format.name.startswith(_DECLARING_FORMATS):
            return
        declared = Fraction(container.duration, 1_000_000)
        if self._file_end + Fraction(_TRUNCATION_S) < declared:
            self._on_cut_off(
                f"{self._path} ends at {float(self._file_end):.1f} s although it declares "
                f"{float(declared):.1f} s; it is cut off or damaged."
            )


def _warn(sentence: str) -> None:
    warnings.warn(sentence, CutOffWarning, stacklevel=3)
