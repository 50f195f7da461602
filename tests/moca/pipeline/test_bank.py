import wave

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.media.logmel import log_mel
from moca.pipeline import bank as banks
from moca.pipeline.bank import sound_bank


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(banks, "weights_home", lambda: tmp_path / "home")
    return tmp_path / "home" / "banks"


def write_wav(path, samples):
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())


def made(pipeline, folder=None):
    return sound_bank(pipeline.encoder, pipeline.fingerprints["encoder"], folder)


def test_every_sound_is_embedded_as_the_encoder_hears_it(pipeline):
    bank = made(pipeline)
    assert bank.embeddings.shape == (160, 8) and bank.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(bank.embeddings, axis=1), 1, atol=1e-5)
    for index, (name, samples) in enumerate(banks.other_sounds()):
        if index % 40 == 7:
            mels = log_mel(torch.from_numpy(samples)[None], pipeline.encoder.config.log_mel)
            with torch.no_grad():
                heard = pipeline.encoder.audio_direction(pipeline.encoder.embed_audio(mels))[0]
            np.testing.assert_allclose(bank.embeddings[index], heard, atol=1e-5)
            assert bank.names[index] == name


def test_the_bank_is_made_on_first_use_and_read_afterwards(pipeline, home, monkeypatch):
    first = made(pipeline)
    assert [path.name for path in home.iterdir()] == [f"{first.fingerprint}.safetensors"]
    monkeypatch.setattr(banks, "other_sounds", lambda: pytest.fail("made again"))
    again = made(pipeline)
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    assert (first.names, first.fingerprint) == (again.names, again.fingerprint)


def test_another_encoder_or_recipe_has_another_bank(pipeline, home, monkeypatch):
    prints = {made(pipeline).fingerprint, sound_bank(pipeline.encoder, "0123456789abcdef").fingerprint}
    monkeypatch.setattr(banks, "RECIPE", banks.RECIPE + 1)
    prints.add(made(pipeline).fingerprint)
    assert len(prints) == 3 == len(list(home.iterdir()))


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_a_damaged_bank_is_made_again(pipeline, home, damage):
    first = made(pipeline)
    (place,) = home.iterdir()
    place.write_bytes(place.read_bytes()[:-200] if damage is None else damage)
    np.testing.assert_array_equal(made(pipeline).embeddings, first.embeddings)
    np.testing.assert_array_equal(made(pipeline).embeddings, first.embeddings)


def test_a_place_that_cannot_be_written_costs_no_more_than_time(pipeline, home):
    home.parent.mkdir()
    home.write_text("in the way")
    assert len(made(pipeline)) == 160


def test_the_users_own_clips_make_a_bank(pipeline, tmp_path, home):
    generator = np.random.default_rng(0)
    for name in ("rain", "saw"):
        write_wav(tmp_path / f"clips/{name}.wav", generator.normal(0, 0.1, 16_000 * 5).clip(-1, 1))
    bank = made(pipeline, tmp_path / "clips")
    assert bank.names == ("rain",) * 5 + ("saw",) * 5 and not home.exists()
    write_wav(tmp_path / "clips/saw.wav", generator.normal(0, 0.1, 16_000 * 5).clip(-1, 1))
    assert made(pipeline, tmp_path / "clips").fingerprint != bank.fingerprint


def test_long_clips_are_sampled_evenly_and_silence_is_no_sound(pipeline, tmp_path):
    sounds = np.concatenate([np.zeros(16_000 * 3), np.random.default_rng(0).normal(0, 0.1, 16_000 * 20).clip(-1, 1)])
    for index in range(10):
        write_wav(tmp_path / f"clips/{index}.wav", sounds)
    assert len(made(pipeline, tmp_path / "clips")) == 160


def test_a_folder_with_too_little_sound_is_refused(pipeline, tmp_path):
    write_wav(tmp_path / "clips/a.wav", np.zeros(16_000 * 30))
    write_wav(tmp_path / "clips/b.wav", 0.2 * np.sin(np.arange(16_000 * 3)))
    with pytest.raises(InputError) as caught:
        made(pipeline, tmp_path / "clips")
    assert str(caught.value) == (
        f"the folder of other sounds must hold at least 8 s of audible sound, {tmp_path / 'clips'} has 3 in 2 files; "
        "add clips, or leave it out."
    )
