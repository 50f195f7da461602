"""Tags against transformers' own extractor and model, the published format, and everything that can be wrong."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from moca.errors import InputError
from moca.foundation import pretrained
from moca.foundation.ast_tagger import AstTagger, load_tagger, save_tagger
from moca.media.logmel import LogMelConfig, log_mel

LABELS = {0: "Speech", 1: "Dog", 2: "Violin, fiddle", 3: "Rain"}
TINY = ASTConfig(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    patch_size=8,
    frequency_stride=6,
    time_stride=6,
    max_length=64,
    num_mel_bins=32,
    id2label=LABELS,
    label2id={name: index for index, name in LABELS.items()},
)
READING = LogMelConfig(mel_bins=32, target_frames=64, mean=-4.2677393, std=2 * 4.5689974)


def random_ast(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ASTForAudioClassification(TINY)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return model.eval()


@pytest.fixture(scope="module")
def ast():
    return random_ast()


@pytest.fixture
def folder(ast, tmp_path):
    save_tagger(tmp_path / "ast", ast, reading=READING)
    return tmp_path / "ast"


def sounds(count, samples=12_000, seed=0):
    draw = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    tones = [np.sin(2 * np.pi * draw.uniform(100, 5000) * time) for _ in range(count)]
    return np.stack([0.3 * tone + 0.05 * draw.standard_normal(samples) for tone in tones]).astype(np.float32)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Agreement with transformers


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_spectrograms_of_the_published_ast_agree_with_transformers():
    published = ASTFeatureExtractor()
    reading = LogMelConfig(mel_bins=128, target_frames=1024, mean=published.mean, std=2 * published.std)
    for samples in (16_000, 180_000):  # padded, and cut
        wave = sounds(1, samples)[0] + 0.2  # an offset, which only the original AST's own code removes
        expected = published(wave, sampling_rate=16_000, return_tensors="pt")["input_values"]
        spectrogram = log_mel(torch.from_numpy(wave)[None], reading)[:, 0].transpose(1, 2)
        torch.testing.assert_close(spectrogram, expected, atol=1e-3, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("samples", [6_000, 12_000])  # shorter and longer than the 10,480 that are heard
def test_tags_are_what_transformers_computes(ast, folder, samples):
    waves = sounds(3, samples)
    extractor = ASTFeatureExtractor.from_pretrained(folder)
    spectrograms = extractor(list(waves), sampling_rate=16_000, return_tensors="pt")["input_values"]
    expected = ast(spectrograms).logits.sigmoid().numpy()
    chances = load_tagger(folder).tag(waves)
    assert chances.dtype == np.float32 and chances.shape == (3, 4)
    np.testing.assert_allclose(chances, expected, atol=1e-4)
    assert np.abs(chances[0] - chances[1]).max() > 1e-3  # another sound, other tags
    other = ASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-2.0)
    shifted = ast(other(list(waves), sampling_rate=16_000, return_tensors="pt")["input_values"]).logits.sigmoid()
    assert np.abs(chances - shifted.numpy()).max() > 1e-3


# Laws


def test_labels_are_those_of_the_checkpoint_in_order(ast, folder):
    assert load_tagger(folder).labels == AstTagger(ast, READING).labels == tuple(LABELS.values())


def test_the_batch_changes_nothing(ast):
    waves = sounds(5)
    tagger = AstTagger(ast, READING)
    whole = tagger.tag(waves)
    np.testing.assert_allclose(tagger.tag(waves, batch=2), whole, atol=1e-6)
    np.testing.assert_allclose(tagger.tag(waves[::-1], batch=1), whole[::-1], atol=1e-6)
    assert tagger.tag(waves[:0]).shape == tagger.tag([]).shape == (0, 4)


def test_sounds_may_have_several_lengths(ast):
    long, short = sounds(2)
    tagger = AstTagger(ast, READING)
    both = tagger.tag([long, short[:3000]])
    np.testing.assert_allclose(both[1], tagger.tag(short[None, :3000])[0], atol=1e-6)
    assert np.abs(both[1] - tagger.tag(short[None])[0]).max() > 1e-4


def test_only_the_start_of_a_sound_is_heard(ast):
    tagger = AstTagger(ast, READING)
    assert tagger.heard_s == 10_480 / 16_000
    (wave,) = sounds(1)
    changed = wave.copy()
    changed[10_480:] = 0.9
    np.testing.assert_allclose(tagger.tag([changed]), tagger.tag([wave]), atol=1e-6)
    changed[10_000:] = 0.9
    assert np.abs(tagger.tag([changed]) - tagger.tag([wave])).max() > 1e-5


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_another_rate_is_resampled(ast, rate_hz):
    tagger = AstTagger(ast, READING)

    def tone(rate):
        return 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    chances = tagger.tag([tone(rate_hz)], sample_rate_hz=rate_hz)
    wrong = tagger.tag([tone(rate_hz)])  # heard at the wrong speed
    expected = tagger.tag([tone(16_000)])
    assert np.abs(chances - expected).max() < 0.3 * np.abs(wrong - expected).max()


def test_silence_has_tags_too(ast):
    chances = AstTagger(ast, READING).tag(np.zeros((1, 400), np.float32))
    assert np.isfinite(chances).all() and ((chances >= 0) & (chances <= 1)).all()


def test_bfloat16_is_close_and_not_the_same(folder):
    waves = sounds(2)
    full, half = load_tagger(folder).tag(waves), load_tagger(folder, dtype=torch.bfloat16).tag(waves)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.05)
    assert np.abs(half - full).max() > 0


# Files


def test_a_folder_comes_back_as_it_was(ast, folder):
    loaded = load_tagger(folder)
    assert loaded.reading == READING
    for name, value in ast.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert not loaded.model.training


def test_halves_are_stored_and_computed_in_float32(ast, tmp_path):
    save_tagger(tmp_path, ast, torch.float16, reading=READING)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    assert load_tagger(tmp_path).model.dtype == torch.float32


def test_saving_leaves_a_model_in_training_alone(tmp_path):
    model = random_ast().train()
    save_tagger(tmp_path, model, reading=READING)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


def test_every_size_comes_from_the_folder(folder):
    document = json.loads((folder / "preprocessor_config.json").read_text())
    assert (document["num_mel_bins"], document["max_length"], document["sampling_rate"]) == (32, 64, 16_000)
    (folder / "preprocessor_config.json").write_text(json.dumps({**document, "mean": -1, "std": 2.0}))
    changed = load_tagger(folder).reading
    assert (changed.mean, changed.std) == (-1, 4.0)
    (folder / "preprocessor_config.json").write_text(json.dumps({**document, "do_normalize": False}))
    assert (load_tagger(folder).reading.mean, load_tagger(folder).reading.std) == (0.0, 1.0)


# Refusals


def test_a_folder_that_reads_sounds_otherwise_is_refused(folder):
    path = folder / "preprocessor_config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "num_mel_bins": 64}))
    assert refusal(load_tagger, folder) == (
        "the tagger must read 64 frames of 32 mel bins, which its model is made for, got 64 of 64; correct "
        "preprocessor_config.json."
    )
    path.write_text(json.dumps({**document, "std": 0}))
    assert refusal(load_tagger, folder) == (
        f"preprocessor_config.json of {folder} must say how sounds are read: std must be a number above 0, got 0; "
        "correct it."
    )
    path.write_text(json.dumps({**document, "std": None}))
    assert refusal(load_tagger, folder).startswith(f"preprocessor_config.json of {folder} must say how sounds are read")
    path.unlink()
    assert (
        refusal(load_tagger, folder)
        == f"{folder} must hold a preprocessor_config.json, which is not there; restore it."
    )


def test_another_kind_of_model_is_refused(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    assert refusal(load_tagger, folder) == (
        f"{folder} must be a model of type 'audio-spectrogram-transformer', got 'vit'; use one "
        "such as MIT/ast-finetuned-audioset-10-10-0.4593."
    )
    (folder / "model.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    assert refusal(load_tagger, folder).endswith("which is not there (no other format is read); restore or convert it.")
    absent = tmp_path / "none"
    assert refusal(load_tagger, absent).startswith(
        "tagger must be mini, a name of moca weights list, a folder with a config.json or a hub id such as"
    )


def test_a_hub_out_of_reach_is_one_line_for_the_tagger(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nto load the files.")

    monkeypatch.setattr(pretrained, "cached_file", unreachable)
    assert "neither here nor within reach" in refusal(load_tagger, "MIT/ast-finetuned-audioset-10-10-0.4593")


def test_unusable_sounds_are_refused(ast):
    tagger = AstTagger(ast, READING)
    assert refusal(tagger.tag, np.zeros((1, 2, 16_000), np.float32)) == (
        "a sound must be mono float samples of shape (samples,), got float32 (2, 16000) for sound 0; average its "
        "channels, or scale it to [-1, 1]."
    )
    assert "got int16 (16000,) for sound 1" in refusal(
        tagger.tag, [np.zeros(16_000, np.float32), np.zeros(16_000, np.int16)]
    )
    assert refusal(tagger.tag, np.zeros((1, 399), np.float32)) == (
        "a wave must hold at least 400 samples (one 25 ms window at 16000 Hz), got 399; pad it with zeros."
    )
    assert refusal(tagger.tag, np.full((1, 500), np.nan, np.float32)) == (
        "a sound must be finite, got values that are not in sound 0; mend or drop it."
    )
    assert refusal(tagger.tag, sounds(1), batch=0) == "batch must be at least 1 sound, got 0; raise it."
    assert refusal(tagger.tag, sounds(1), sample_rate_hz=0) == "sample_rate_hz must be at least 1, got 0; correct it."


def test_a_reading_that_the_files_cannot_say_is_refused(ast, tmp_path):
    reading = LogMelConfig(mel_bins=32, target_frames=64, hop_ms=20)
    assert refusal(save_tagger, tmp_path / "new", ast, reading=reading) == (
        "the reading of a tagger must have windows of 25 ms every 10 ms, which is all its files can say, got 25 every "
        "20; change it."
    )
    assert not (tmp_path / "new").exists()
