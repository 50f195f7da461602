"""The sound of a video on the video's clock: sample k is the moment k / sample_rate_hz after time zero.

Legend: C channels, n samples.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from moca.media.streams import Decoded

# Time stamps that disagree with the running count of samples by more than this are a gap (or an overlap) in
# the recording, and the sound restarts where the stamp says. Containers round stamps to 1 ms; less is noise.
_GAP_S = Fraction(20, 1000)


class Sound:
    """One audio stream, resampled by libswresample, read window by window from the beginning.

    layout: None gives one channel, the mean of all; a libav layout name ("stereo") keeps channels.
    Memory: the samples of one window and one decoded packet, whatever the length of the file.
    """

    def __init__(self, container, stream, *, zero: Fraction, sample_rate_hz: int, layout: str | None = None) -> None:
        self._container, self._stream, self._zero = container, stream, zero
        self._sample_rate_hz, self._layout = sample_rate_hz, layout
        self._source = self._chunks()
        self._held: deque[tuple[int, np.ndarray]] = deque()
        self._reached: int | None = 0  # where the last chunk read ends; None once the stream has ended

    @property
    def held_samples(self) -> int:
        """How many samples wait in memory."""
        return sum(chunk.shape[1] for _, chunk in self._held)

    @property
    def ended(self) -> bool:
        """True once every sample has been given out."""
        return self._reached is None and not self._held

    def between(self, first: int, end: int) -> np.ndarray | None:
        """Samples [first, end): (C, n) float32 in [-1, 1], zeros where the sound pauses; None without any.

        Windows must be taken in order; what lies before `first` is forgotten.
        """
        while self._reached is not None and self._reached < end:
            start, chunk = next(self._source, (None, None))
            if start is not None and start + chunk.shape[1] > first:
                self._held.append((start, chunk))
            self._reached = None if start is None else start + chunk.shape[1]
        window = None
        for start, chunk in self._held:
            a, b = max(start, first), min(start + chunk.shape[1], end)
            if a < b:
                if window is None:
                    window = np.zeros((chunk.shape[0], end - first), np.float32)
                window[:, a - first : b - first] = chunk[:, a - start : b - start]
        while self._held and self._held[0][0] + self._held[0][1].shape[1] <= end:
            self._held.popleft()
        return None if window is None else np.clip(window, -1, 1, out=window)

    def _chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(position of the first sample, (C, n) float32), run by run."""
        run = None
        for frame in Decoded(self._container, self._stream):
            stamp = None if frame.pts is None else frame.pts * self._stream.time_base - self._zero
            if run is None or not run.continues(frame, stamp):
                if run is not None:
                    yield from run.feed(None)
                start = (run.expected if run is not None else Fraction(0)) if stamp is None else stamp
                run = _Run(frame, start, self._sample_rate_hz, self._layout)
            yield from run.feed(frame)
        if run is not None:
            yield from run.feed(None)


class _Run:
    """Sound without a gap or a change of kind, through one resampler.

    libswresample makes up for its filter's delay: output sample 0 is the moment of input sample 0.
    """

    def __init__(self, frame, start: Fraction, sample_rate_hz: int, layout: str | None) -> None:
        import av

        self._kind = _kind(frame)
        self._rate_hz, self.expected = frame.sample_rate, start
        self._position = round(start * sample_rate_hz)
        self._mono = layout is None
        self._resampler = av.AudioResampler(format="fltp", layout=layout or frame.layout.name, rate=sample_rate_hz)

    def continues(self, frame, stamp: Fraction | None) -> bool:
        """Whether frame, stamped in seconds from time zero, follows on from what was fed so far."""
        return _kind(frame) == self._kind and (stamp is None or abs(stamp - self.expected) <= _GAP_S)

    def feed(self, frame) -> Iterator[tuple[int, np.ndarray]]:
        """Resample one frame; None empties the resampler."""
        if frame is not None:
            self.expected += Fraction(frame.samples, self._rate_hz)
        for piece in self._resampler.resample(frame):
            if piece is None or not piece.samples:  # a resampler with nothing to do passes None through
                continue
            chunk = piece.to_ndarray()
            if self._mono:
                chunk = chunk.mean(axis=0, keepdims=True)
            yield self._position, chunk
            self._position += chunk.shape[1]


def _kind(frame) -> tuple:
    return frame.format.name, frame.layout.name, frame.sample_rate
