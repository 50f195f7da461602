"""Log-mel spectrograms and clip timing against the official code's recorded outputs."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.media import logmel
from moca.media.logmel import LogMelConfig, clip_samples, clip_spans, log_mel

SHORT = LogMelConfig(mel_bins=64, target_frames=96)
RAW = LogMelConfig(mean=0.0, std=1.0)  # the recorded spectrograms are padded, but not yet normalised


@pytest.fixture(scope="module")
def golden(reference):
    with np.load(reference / "imagebind_tiny_golden.npz") as arrays:
        return {k: arrays[k] for k in arrays.files if k.startswith(("fbank/", "clips/"))}


@pytest.fixture(scope="module")
def wave(golden):
    return torch.from_numpy(golden["fbank/wave_2s_16k"])


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(got, wanted, atol=1e-3):
    torch.testing.assert_close(got, torch.from_numpy(np.asarray(wanted)), atol=atol, rtol=0)


# Agreement with the official code


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("mel_2s", lambda w: w),
        ("mel_0p5s_short", lambda w: w[:8000]),
        ("mel_3s_cut", lambda w: torch.cat([w, w[:16000]])),
        ("mel_silence", torch.zeros_like),
    ],
)
def test_log_mel_agrees_with_the_official_code(golden, wave, name, make):
    close(log_mel(make(wave)[None], RAW)[0], golden[f"fbank/{name}"])


def test_only_channel_0_is_heard(golden, wave):
    stereo = torch.from_numpy(golden["fbank/stereo_wave"])
    heard = log_mel(stereo[None], RAW)
    close(heard[0], golden["fbank/mel_stereo"])
    assert not torch.allclose(log_mel(stereo.flip(0)[None], RAW), heard)
    torch.testing.assert_close(log_mel(stereo[:1], RAW), heard, atol=1e-3, rtol=0)


def test_mel_triangles_agree_with_kaldi(golden):
    _, bank = logmel._window_and_bank(16_000, 400, 128, torch.device("cpu"))
    close(bank.T.contiguous(), golden["fbank/mel_banks_128x256"], atol=2e-5)  # recorded in float32 throughout


def test_clip_spans_agree_with_the_official_table(golden):
    for duration_s, rows in json.loads(str(golden["clips/table_json"])):
        spans = clip_spans(duration_s)
        assert [[float(start), float(end)] for start, end in spans] == [row[:2] for row in rows]
        assert [[int(start * 16_000), int(end * 16_000)] for start, end in spans] == [row[2:] for row in rows]


# Laws and edges


def naive_log_mel(wave, config):
    """One wave, frame by frame, in float64."""
    x = wave.double().numpy()
    x = x - x.mean()
    window, bank = logmel._window_and_bank(config.sample_rate_hz, config.frame_samples, config.mel_bins, wave.device)
    result = np.zeros((config.mel_bins, config.target_frames))
    for f in range(min(config.target_frames, 1 + (len(x) - config.frame_samples) // config.hop_samples)):
        frame = x[f * config.hop_samples :][: config.frame_samples]
        frame = frame - frame.mean()
        emphasised = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(emphasised * window.double().numpy(), 512))[:-1] ** 2
        result[:, f] = np.log(np.maximum(power @ bank.double().numpy(), 1.1920929e-07))
    return torch.from_numpy((result - config.mean) / config.std).float()


def test_log_mel_agrees_with_a_naive_loop():
    waves = noise(3, 16_000)
    wanted = torch.stack([naive_log_mel(wave, SHORT) for wave in waves])[:, None]
    torch.testing.assert_close(log_mel(waves, SHORT), wanted, atol=1e-3, rtol=0)


def test_a_batch_equals_its_waves_one_by_one(monkeypatch):
    waves = noise(5, 16_000)
    whole = log_mel(waves, SHORT)
    alone = torch.cat([log_mel(wave[None], SHORT) for wave in waves])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=0)
    monkeypatch.setattr(logmel, "FRAMES_PER_BATCH", 200)  # two waves at a time
    torch.testing.assert_close(log_mel(waves, SHORT), whole, atol=1e-5, rtol=0)
    assert log_mel(waves[:0], SHORT).shape == (0, 1, 64, 96)


def test_silence_and_padding_have_their_known_values():
    config = LogMelConfig()
    heard = log_mel(torch.zeros(1, 16_000), config)[0, 0]
    assert heard.shape == (128, 204)
    torch.testing.assert_close(heard[:, :98], torch.full((128, 98), (-15.942385 + 4.268) / 9.138))
    torch.testing.assert_close(heard[:, 98:], torch.full((128, 106), 4.268 / 9.138))
    assert torch.equal(log_mel(torch.full((1, 16_000), 0.5), config)[0, 0], heard)  # a constant is silence


def test_ten_times_louder_adds_log_100_everywhere():
    waves = noise(1, 16_000)
    quiet, loud = (log_mel(gain * waves, replace(SHORT, mean=0.0, std=1.0)) for gain in (1.0, 10.0))
    torch.testing.assert_close(loud - quiet, torch.full_like(loud, math.log(100.0)), atol=1e-3, rtol=0)


def test_what_comes_after_the_last_target_frame_is_not_heard():
    waves = noise(1, 16_000)
    waves -= waves.mean()
    changed = waves.clone()
    changed[:, 15_600:15_800] = noise(200, seed=1)
    last = 400 + 95 * 160  # 15,600 samples
    assert last == 15_600
    torch.testing.assert_close(log_mel(changed, SHORT), log_mel(waves, SHORT), atol=1e-3, rtol=0)
    changed[:, 15_400:15_600] = noise(200, seed=2)
    assert not torch.allclose(log_mel(changed, SHORT), log_mel(waves, SHORT), atol=1e-3)


def test_the_triangles_are_computed_once():
    logmel._window_and_bank.cache_clear()
    for _ in range(3):
        log_mel(noise(1, 16_000), SHORT)
    assert logmel._window_and_bank.cache_info().misses == 1


def test_clips_sit_at_the_official_samples():
    wave = torch.arange(116_800.0)  # 7.3 s
    assert [int(clip[0]) for clip in clip_samples(wave)] == [0, 42_399, 84_799]
    assert clip_samples(wave).shape == (3, 32_000)
    assert clip_samples(wave[None, :16_000]).shape == (3, 1, 16_000)  # a short sound: three times all of it
    assert clip_spans(Fraction(7)) == [(0, 2), (Fraction(5, 2), Fraction(9, 2)), (5, 7)]
    assert clip_spans(9, clip_s=1, clips=1) == [(0, 1)]


# Refusals


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_unusable_waves_are_refused():
    assert refusal(log_mel, torch.zeros(2, 399)) == (
        "a wave must hold at least 400 samples (one 25 ms window at 16000 Hz), got 399; pad it with zeros."
    )
    assert refusal(log_mel, torch.zeros(16_000)) == (
        "waves must be float of shape (waves, samples) or (waves, channels, samples), "
        "got torch.float32 (16000,); reshape or convert them."
    )
    assert refusal(log_mel, torch.zeros(1, 16_000, dtype=torch.int16)).startswith("waves must be float")
    assert log_mel(torch.zeros(1, 400)).shape == (1, 1, 128, 204)


def test_unusable_settings_are_refused():
    assert refusal(LogMelConfig, mel_bins=0) == "mel_bins must be a whole number of at least 1, got 0; correct it."
    assert refusal(LogMelConfig, std=0.0) == "std must be a number above 0, got 0.0; correct it."
    assert refusal(LogMelConfig, mean=math.inf) == "mean must be a number, got inf; correct it."
    assert (
        refusal(LogMelConfig, sample_rate_hz=40)
        == "sample_rate_hz must be a whole number above 40, got 40; correct it."
    )
    assert refusal(LogMelConfig, hop_ms=0.01) == (
        "hop_ms must cover at least 1 samples at 16000 Hz, got 0.01; raise it."
    )
    assert refusal(clip_spans, 0) == (
        "duration_s and clip_s must be above 0 and clips at least 1, got 0, 2 and 3; correct them."
    )
