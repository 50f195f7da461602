import struct
import wave

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
