import struct
import threading
import warnings
import wave
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.io import wavfile

from moca.data.audio import read_wav, step_slice
from moca.errors import InputError


def tone(rate_hz, *, seconds=1.0, pitch_hz=440.0):
    return 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(int(rate_hz * seconds)) / rate_hz)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_every_sample_format_reads_as_the_same_tone(tmp_path, dtype):
    wanted, path = tone(16_000), tmp_path / "tone.wav"
    if dtype is np.uint8:
        stored = np.round(wanted * 128 + 128).astype(dtype)
    elif np.issubdtype(dtype, np.integer):
        stored = np.round(wanted * -float(np.iinfo(dtype).min)).astype(dtype)
    else:
        stored = wanted.astype(dtype)
    wavfile.write(path, 16_000, stored)
    heard = read_wav(path)
    assert heard.dtype == np.float32 and heard.shape == (16_000,)
    np.testing.assert_allclose(heard, wanted, atol=1 / 128 if dtype is np.uint8 else 1 / 32768)


def test_24_bit_samples_keep_their_scale(tmp_path):
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(16_000)
        file.writeframes(b"".join(struct.pack("<i", v)[:3] for v in (0, 1 << 22, -(1 << 23))))
    assert read_wav(tmp_path / "tone.wav").tolist() == [0, 0.5, -1]


def test_channels_are_averaged(tmp_path):
    wavfile.write(tmp_path / "stereo.wav", 16_000, np.float32([[1, 0], [0.5, -0.5]]))
    assert read_wav(tmp_path / "stereo.wav").tolist() == [0.5, 0]


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path, rate_hz):
    wavfile.write(tmp_path / "tone.wav", rate_hz, tone(rate_hz).astype(np.float32))
    heard = read_wav(tmp_path / "tone.wav")
    assert heard.shape == (16_000,)
    np.testing.assert_allclose(heard[500:-500], tone(16_000)[500:-500], atol=2e-3)


def test_samples_beyond_full_scale_are_clipped(tmp_path):
    wavfile.write(tmp_path / "loud.wav", 16_000, np.float32([3, -3, 0.25]))
    assert read_wav(tmp_path / "loud.wav").tolist() == [1, -1, 0.25]


def test_a_real_stereo_file(media):
    heard = read_wav(media / "dog_audio.wav")  # 44.1 kHz stereo
    assert len(heard) == int(np.ceil(115_110 * 16_000 / 44_100)) and 0.05 < np.abs(heard).max() <= 1


def pcm(path, values, *, width, channels, rate_hz=16_000):
    """A WAV file of integer PCM, `width` bytes a sample, values (n, channels) of the full range."""
    data = b"".join(int(v).to_bytes(4, "little", signed=True)[4 - width :] for v in values.ravel())
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate_hz, 0, "NONE", ""))
        file.writeframes(bytes(byte ^ 0x80 for byte in data) if width == 1 else data)
    return path


def by_scipy(path):
    """A WAV file as SciPy reads it, (S,) float32 mono at its own rate: what `read_wav` must equal to the bit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, samples = wavfile.read(path)
    if samples.dtype == np.uint8:
        wide = (samples.astype(np.float64) - 128) / 128
    elif samples.dtype.kind == "i":
        wide = samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    else:
        wide = samples.astype(np.float64)
    return np.clip(wide if wide.ndim == 1 else wide.mean(axis=1), -1, 1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("samples", [1, 2, 1023, 5001])
@pytest.mark.parametrize("kind", ["8", "16", "24", "32", "float", "double"])
def test_every_sample_is_what_another_reader_finds(tmp_path, kind, samples, channels):
    generator, path = np.random.default_rng([samples, channels]), tmp_path / "noise.wav"
    if kind.isdigit():
        values = generator.integers(-(2**31), 2**31, (samples, channels))
        pcm(path, values, width=int(kind) // 8, channels=channels)
    else:
        wave_data = generator.normal(0, 0.6, (samples, channels))
        wavfile.write(path, 16_000, wave_data.astype(np.float32 if kind == "float" else np.float64))
    heard = read_wav(path)
    assert heard.shape == (samples,) and heard.dtype == np.float32
    assert np.array_equal(heard, by_scipy(path))


def with_title(path):
    """Put a chunk that no reader of sound knows, of odd length, before the samples and after them."""
    data = path.read_bytes()
    chunk = b"tItL" + struct.pack("<I", 5) + b"drum\0" + b"\0"
    data = data[:36] + chunk + data[36:] + chunk
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def test_chunks_with_titles_and_files_cut_off_are_read_without_a_word(tmp_path, recwarn):
    values = np.random.default_rng(0).integers(-(2**31), 2**31, (4000, 1))
    path = pcm(tmp_path / "noise.wav", values, width=2, channels=1)
    whole = read_wav(path)
    assert np.array_equal(read_wav(with_title(path)), whole)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(path.read_bytes()[:4050])
    heard = read_wav(cut)
    assert (
        1900 < len(heard) < 4000 and np.array_equal(heard, by_scipy(cut)) and np.array_equal(heard, whole[: len(heard)])
    )
    assert not recwarn.list


def test_threads_that_read_leave_the_warnings_of_the_process_alone(tmp_path):
    values = np.random.default_rng(0).integers(-(2**31), 2**31, (4000, 1))
    path = with_title(pcm(tmp_path / "noise.wav", values, width=2, channels=1))
    wanted, before, changes = read_wav(path), list(warnings.filters), []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            if list(warnings.filters) != before:
                changes.append(list(warnings.filters))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(read_wav, [path] * 200))
    stop.set()
    watcher.join()
    assert not changes and list(warnings.filters) == before
    assert all(np.array_equal(samples, wanted) for samples in heard)


@pytest.mark.parametrize("format_tag", [6, 7, 0x55, 0x11])  # A-law, mu-law, mp3, ADPCM
def test_compressed_sound_is_refused(tmp_path, format_tag):
    path = pcm(tmp_path / "odd.wav", np.zeros((4000, 1)), width=1, channels=1)
    data = path.read_bytes()
    path.write_bytes(data[:20] + struct.pack("<H", format_tag) + data[22:])
    with pytest.raises(InputError, match=r"audio must be a PCM or float WAV file, .* cannot be read "):
        read_wav(path)


def test_an_empty_file_has_no_samples(tmp_path):
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
    assert read_wav(tmp_path / "empty.wav").shape == (0,)


def test_refusals(tmp_path):
    with pytest.raises(InputError) as refusal:
        read_wav(tmp_path / "none.wav")
    assert str(refusal.value) == f"audio must be a WAV file, {tmp_path}/none.wav does not exist; check the path."
    for content in (b"", b"not a wav", b"RIFF\x24\x00\x00\x00WAVE", b"RIFF\x24\x00\x00\x00WAVEfmt \x10"):
        (tmp_path / "bad.wav").write_bytes(content)
        with pytest.raises(InputError) as refusal:
            read_wav(tmp_path / "bad.wav")
        message = str(refusal.value)
        assert message.startswith(f"audio must be a PCM or float WAV file, {tmp_path}/bad.wav cannot be read (")
        assert message.endswith("); convert it with ffmpeg -i IN -ac 1 -ar 16000 OUT.wav.") and "\n" not in message


def test_a_slice_is_padded_at_the_end_and_none_past_it():
    samples = np.arange(5, dtype=np.float32)
    assert step_slice(samples, 0, 4).tolist() == [0, 1, 2, 3]
    assert step_slice(samples, 4, 4).tolist() == [4, 0, 0, 0]
    assert step_slice(samples, 8, 4) is None and step_slice(samples, 5, 4) is None
