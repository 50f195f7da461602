"""What every written video shares: H.264 and AAC streams, and a file that appears whole or not at all.

Everything encoded here is tagged BT.709, limited range, so that no player has to guess the colours.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from moca.errors import InputError

AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
MAX_SIDE = 16_384  # libx264 refuses a larger width or height
_BT709 = 1  # the same number in libav's matrix, primaries and transfer tables
_LIMITED = 1  # AVCOL_RANGE_MPEG
AAC_FRAME = 1024  # samples per AAC packet


def checked_target(target: str | Path) -> Path:
    """The path, if an mp4 file may be written there. Raises InputError (wrong ending, no such folder)."""
    path = Path(target)
    if path.suffix.lower() != ".mp4":
        raise InputError(f"a video is written as .mp4, got {target}; choose a name that ends in .mp4.")
    if not path.parent.is_dir():
        raise InputError(f"{target} cannot be written: there is no folder {path.parent}; create it first.")
    if path.is_dir():
        raise InputError(f"{target} cannot be written: it is a folder; choose a file name that ends in .mp4.")
    return path


def add_picture_stream(container, width: int, height: int, time_base: Fraction, rate: Fraction, **options: str):
    """An H.264 stream for frames of (height, width). yuv420p, or yuv444p where a side is odd.

    4:2:0 stores one colour sample per 2 x 2 pixels and needs even sides; 4:4:4 keeps an odd size exact.
    """
    import av.codec.context

    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
    coder = stream.codec_context
    coder.time_base = time_base
    coder.color_range = _LIMITED
    coder.colorspace = coder.color_primaries = coder.color_trc = _BT709
    # Without this flag libav forgets how long the last frame is shown.
    coder.flags |= av.codec.context.Flags.frame_duration
    return stream


def encoded_frame(rgb: np.ndarray, stream, pts: int, duration: int, *, threads: int = 0):
    """An av.VideoFrame for the stream from rgb (H, W, 3) uint8; times in the encoder's time base."""
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
        format=stream.pix_fmt,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        # Bit-exact scaling: the same picture gives the same bytes on every processor.
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
        threads=threads,
    )
    frame.color_primaries = frame.color_trc = _BT709
    frame.pts, frame.duration = pts, duration
    frame.time_base = stream.codec_context.time_base
    return frame


def add_aac_stream(container, sample_rate_hz: int, layout: str):
    """An AAC stream; about 64 kbit/s per channel, less where the sample rate is low."""
    stream = container.add_stream("aac", rate=sample_rate_hz)
    stream.layout = layout
    channels = stream.codec_context.layout.nb_channels
    stream.bit_rate = channels * min(64_000, 4 * sample_rate_hz)
    stream.codec_context.time_base = Fraction(1, sample_rate_hz)
    return stream


def aac_frame(block: np.ndarray, stream, start: int):
    """An av.AudioFrame from block (C, n) float32 whose first sample is number `start` of the sound."""
    import av

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(block, dtype=np.float32), format="fltp", layout=stream.layout.name
    )
    frame.sample_rate = stream.codec_context.sample_rate
    frame.time_base = Fraction(1, frame.sample_rate)
    frame.pts = start
    return frame
