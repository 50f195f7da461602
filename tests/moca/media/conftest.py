"""Small videos whose frames carry their own number and whose sound carries known moments."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

BITS = 8


def coded(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A (height, width, 3) picture of eight upright bars: the bits of number, least first, white for 1."""
    bars = [number >> bit & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8) * 255, -(-width // BITS))[:width]
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def decoded(picture: np.ndarray) -> int:
    """The number in a picture from `coded`."""
    bar = -(-picture.shape[1] // BITS)
    middle = picture[picture.shape[0] // 2, bar // 2 :: bar].mean(axis=-1) > 127
    return sum(int(bit) << place for place, bit in enumerate(middle))


def clicks(length_s: float, rate_hz: int, *moments_s: float, channels: int = 1) -> np.ndarray:
    """(channels, samples) float32: a 2 ms pulse of height 0.8 at each moment, the same in all channels."""
    times = np.arange(round(length_s * rate_hz)) / rate_hz
    wave = sum((0.8 * np.exp(-(((times - moment) / 0.002) ** 2)) for moment in moments_s), 0 * times)
    return np.repeat(wave[None].astype(np.float32), channels, axis=0)


def moment(samples: np.ndarray, rate_hz: int = 16_000) -> float:
    """Where the pulse is, in seconds: the centre of its top (a high power leaves a codec's noise out)."""
    weight = (samples.astype(np.float64) / np.abs(samples).max()) ** 8
    return float((np.arange(len(samples)) * weight).sum() / weight.sum() / rate_hz)


@dataclass(frozen=True, kw_only=True)
class Track:
    """One sound track: samples (C, n) that start at start_s; a pause of gap_s comes after gap_at_s."""

    samples: np.ndarray
    rate_hz: int = 16_000
    layout: str = "mono"
    codec: str = "pcm_s16le"
    start_s: float = 0.0
    gap_at_s: float = 1e9
    gap_s: float = 0.0


def write_clip(
    path: Path,
    times_ms: list[int],
    *,
    pictures: list[np.ndarray] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int | None = None,
    tracks: tuple[Track, ...] = (),
    videos: int = 1,
    duration_ms: int | None = None,
    rate: int = 25,
    reordered: bool = True,
    options: dict | None = None,
) -> Path:
    """Write pictures (by default numbered ones) shown from times_ms on, and sound tracks. Returns path."""
    import av
    import av.codec.context

    pictures = [coded(number) for number in range(len(times_ms))] if pictures is None else pictures
    base = Fraction(1, rate) if path.suffix in (".avi", ".mpg") else Fraction(1, 1000)
    with av.open(str(path), "w", container_options=options or {}) as container:
        streams = []
        for _ in range(videos):
            stream = container.add_stream(codec, rate=rate)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = base
            if not reordered:
                stream.codec_context.max_b_frames = 0
            stream.codec_context.flags |= av.codec.context.Flags.frame_duration
            if rotation is not None:
                stream.set_display_rotation(-rotation)  # libav counts counterclockwise
            streams.append(stream)
        voices = [_voice(container, track) for track in tracks]
        for order, stream in enumerate(streams):
            for number, (picture, time_ms) in enumerate(zip(pictures, times_ms, strict=True)):
                picture = np.roll(picture, order * picture.shape[1] // BITS, axis=1)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = round(Fraction(time_ms, 1000) / base), base
                if duration_ms and number == len(times_ms) - 1:
                    frame.duration = round(Fraction(duration_ms, 1000) / base)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        for track, voice in zip(tracks, voices, strict=True):
            _speak(container, track, voice)
    return path


def _voice(container, track: Track):
    voice = container.add_stream(track.codec, rate=track.rate_hz)
    voice.layout = track.layout
    voice.codec_context.time_base = Fraction(1, track.rate_hz)
    return voice


def _speak(container, track: Track, voice) -> None:
    import av

    block = voice.codec_context.frame_size or 1024
    wanted = voice.codec_context.format.name
    turned = av.AudioResampler(format=wanted, layout=track.layout, rate=track.rate_hz)
    for first in range(0, track.samples.shape[1], block):
        piece = np.ascontiguousarray(track.samples[:, first : first + block])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=track.layout)
        frame.sample_rate, frame.time_base = track.rate_hz, Fraction(1, track.rate_hz)
        late = track.gap_s if first / track.rate_hz >= track.gap_at_s else 0
        pts = first + round((track.start_s + late) * track.rate_hz)
        for out in turned.resample(frame):
            out.pts, out.time_base = pts, Fraction(1, track.rate_hz)
            container.mux(voice.encode(out))
    container.mux(voice.encode(None))


@pytest.fixture(scope="session")
def clips():
    """The functions above, for tests: clips.write_clip, clips.coded, ..."""
    import sys

    return sys.modules[__name__]
