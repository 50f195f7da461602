"""The original sound of a video, carried into an mp4: packets copied where mp4 holds the codec, else AAC."""

import io
from fractions import Fraction

import numpy as np

from moca.media.encoding import AAC_FRAME, AAC_RATES_HZ, aac_frame, add_aac_stream
from moca.media.sound import Sound
from moca.media.streams import packets

# What mp4 holds and common players play. (mp4 can also hold vorbis and PCM, which most players cannot play.)
_COPIED = {"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"}
_AAC_LAYOUTS = {"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"}
# Sound before time zero that is kept, unheard, so that a decoder has settled when time zero comes.
_PREROLL_S = Fraction(1, 10)


def can_be_copied(stream) -> bool:
    """Whether mp4 takes this audio stream's packets as they are; a header is written to memory to find out."""
    import av

    if stream.codec_context.codec.canonical_name not in _COPIED:
        return False
    trial = av.open(io.BytesIO(), "w", format="mp4")
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
        trial.close()
    except (av.FFmpegError, ValueError):
        return False
    return True


class CopiedSound:
    """Audio packets moved from one container to another, `zero` seconds earlier."""

    def __init__(self, source, stream, target, *, zero: Fraction) -> None:
        self._target, self._zero = target, zero
        self._stream = target.add_stream_from_template(stream)
        self._packets = packets(source, stream)
        self._next = next(self._packets, None)
        self._last_dts: int | None = None

    def up_to(self, time: Fraction | None) -> None:
        """Write the packets that start by `time` (all that are left for None)."""
        while self._next is not None:
            packet = self._next
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size and stamp is not None:
                start = stamp * packet.time_base - self._zero
                if time is not None and start > time:
                    return
                if start >= -_PREROLL_S:
                    self._write(packet, stamp)
            self._next = next(self._packets, None)

    def _write(self, packet, stamp: int) -> None:
        earlier = round(self._zero / packet.time_base)
        dts = (stamp if packet.dts is None else packet.dts) - earlier
        if self._last_dts is not None and dts <= self._last_dts:
            return  # mp4 cannot go back in time; a stamp that does is damage
        self._last_dts = dts
        packet.pts, packet.dts = stamp - earlier, dts
        packet.stream = self._stream
        self._target.mux(packet)


class EncodedSound:
    """Audio decoded, placed on the video's clock with silence in its gaps, and encoded as AAC."""

    def __init__(self, source, stream, target, *, zero: Fraction) -> None:
        rate_hz, layout = stream.codec_context.sample_rate, stream.codec_context.layout.name
        self._rate_hz = rate_hz if rate_hz in AAC_RATES_HZ else 48_000
        layout = layout if layout in _AAC_LAYOUTS else None
        self._sound = Sound(source, stream, zero=zero, sample_rate_hz=self._rate_hz, layout=layout)
        self._target, self._stream = target, add_aac_stream(target, self._rate_hz, layout or "mono")
        self._channels = self._stream.codec_context.layout.nb_channels
        self._written = 0

    def up_to(self, time: Fraction | None) -> None:
        """Encode the sound up to `time` (to its end for None)."""
        while not self._sound.ended and (time is None or self._written <= time * self._rate_hz):
            block = self._sound.between(self._written, self._written + AAC_FRAME)
            if block is None:
                if self._sound.ended:
                    break
                block = np.zeros((self._channels, AAC_FRAME), np.float32)
            self._target.mux(self._stream.encode(aac_frame(block, self._stream, self._written)))
            self._written += AAC_FRAME
        if time is None:
            self._target.mux(self._stream.encode(None))
