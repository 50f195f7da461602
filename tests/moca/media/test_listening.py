import wave

import numpy as np
import pytest

from moca.errors import InputError
from moca.media.listening import collect_sounds, read_sound
from moca.media.writing import write_video


def write_wav(path, samples, rate_hz=16_000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())


def tone(seconds, rate_hz=16_000, hz=440):
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def test_a_wav_file_is_read_in_windows_the_last_filled_up(tmp_path):
    write_wav(tmp_path / "a.wav", tone(2.5))
    windows = list(read_sound(tmp_path / "a.wav"))
    assert [window.shape for window in windows] == [(16_000,)] * 3
    np.testing.assert_allclose(np.concatenate(windows)[:40_000], tone(2.5), atol=1e-3)
    assert not windows[2][8_100:].any()


def test_another_rate_is_resampled(tmp_path):
    write_wav(tmp_path / "a.wav", tone(1.0, 44_100), 44_100)
    (window, *_) = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(window[200:-200], tone(1.0)[200:-200], atol=5e-3)


def test_the_sound_of_a_video_is_read_and_one_without_has_none(tmp_path):
    frames = np.zeros((10, 32, 32, 3), np.uint8)
    write_video(tmp_path / "a.mp4", frames, rate_hz=10, audio=tone(1.0).astype(np.float32), sample_rate_hz=16_000)
    write_video(tmp_path / "b.mp4", frames, rate_hz=10, audio=None, sample_rate_hz=16_000)
    assert np.sqrt(np.mean(next(read_sound(tmp_path / "a.mp4")) ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    assert list(read_sound(tmp_path / "b.mp4")) == []


def test_a_folder_gives_its_videos_and_sounds_but_no_hidden_ones(tmp_path):
    for name in ("b.wav", "sub/a.MP4", ".hidden.wav", "notes.txt", ".git/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    assert collect_sounds(tmp_path) == [tmp_path / "b.wav", tmp_path / "sub/a.MP4"]


def test_a_folder_without_sound_and_what_is_no_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must hold at least one video or sound file .*, has none."):
        collect_sounds(tmp_path)
    with pytest.raises(InputError, match=r"nowhere must be a folder of videos or sounds, which it is not; give one."):
        collect_sounds(tmp_path / "nowhere")
