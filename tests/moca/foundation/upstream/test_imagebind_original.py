"""ImageBind's original and its examples, with a stand-in for the package that behaves as its documentation says."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from torch import nn

from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.upstream import examples as published
from moca.foundation.upstream.examples import (
    agreement_table,
    example_embeddings,
    example_files,
    read_pictures,
    read_sounds,
    table_text,
)
from moca.foundation.upstream.imagebind import compare_imagebind

TINY = ImageBindConfig(
    image_width=16, image_blocks=2, image_heads=2, audio_width=12, audio_blocks=2, audio_heads=2, embed_dim=8
)
OTHERS = {"modality_trunks.text.a": torch.zeros(3)}


class Original(nn.Module):
    """Takes and gives a dictionary by modality, as the original does; loads all six modalities."""

    def __init__(self):
        super().__init__()
        self.towers, self.louder = ImageBind(TINY), 1.0

    def load_state_dict(self, state, strict=True, assign=False):
        assert strict and set(OTHERS) <= set(state)
        return self.towers.load_state_dict({k: v for k, v in state.items() if k not in OTHERS}, assign=assign)

    def forward(self, inputs):
        return {
            "vision": self.towers.embed_image(inputs["vision"]),
            "audio": self.towers.embed_audio(self.louder * inputs["audio"]),
        }


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({**random_imagebind(TINY, seed=0).state_dict(), **OTHERS}, tmp_path / "imagebind.pth")
    return tmp_path / "imagebind.pth"


@pytest.fixture
def package(monkeypatch):
    """The documented names of imagebind.models.imagebind_model and imagebind.data."""
    names = ("imagebind", "imagebind.models", "imagebind.models.imagebind_model", "imagebind.data")
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    model, data = modules["imagebind.models.imagebind_model"], modules["imagebind.data"]
    model.ModalityType = types.SimpleNamespace(VISION="vision", AUDIO="audio")
    model.imagebind_huge = lambda pretrained: Original() if not pretrained else None
    data.load_and_transform_vision_data = lambda paths, device: read_pictures(paths, 224)
    data.load_and_transform_audio_data = lambda paths, device: read_sounds(paths, random_imagebind(TINY, seed=0))
    return types.SimpleNamespace(model=model, data=data)


@pytest.fixture
def files(tmp_path):
    """Six files named as ImageBind's."""
    draw = np.random.default_rng(0)
    for place, name in enumerate(("dog", "car", "bird")):
        Image.fromarray(draw.integers(0, 256, (300 + place, 260, 3), dtype=np.uint8)).save(
            tmp_path / f"{name}_image.jpg"
        )
        samples = draw.integers(-9_000, 9_000, (44_100 * (2 + place), 2), dtype=np.int16)
        wavfile.write(tmp_path / f"{name}_audio.wav", 44_100, samples)
    return tmp_path


def test_the_same_weights_give_the_same_embeddings(checkpoint, package, files):
    found = compare_imagebind(checkpoint, config=TINY)
    assert [each.what for each in found] == ["drawn pictures, embedding", "drawn sounds, embedding"]
    with_files = compare_imagebind(checkpoint, examples=files, config=TINY)
    assert len(with_files) == 6 and all(each.good for each in with_files)


def test_an_original_that_differs_is_seen(checkpoint, package):
    class Louder(Original):
        def __init__(self):
            super().__init__()
            self.louder = -1.0  # the stem norms what it sees, so that loudness alone would not be seen

    package.model.imagebind_huge = lambda pretrained: Louder()
    assert [each.good for each in compare_imagebind(checkpoint, config=TINY)] == [True, False]


def test_another_reading_of_the_files_is_seen(checkpoint, package, files):
    package.data.load_and_transform_vision_data = lambda paths, device: read_pictures(paths, 224).flip(-1)
    assert [each.good for each in compare_imagebind(checkpoint, examples=files, config=TINY)][-2:] == [False, True]


# The examples


def test_files_are_read_as_imagebind_reads_them(files):
    model = random_imagebind(TINY, seed=0)
    pictures, sounds = example_files(files)
    assert [path.name for path in pictures] == ["dog_image.jpg", "car_image.jpg", "bird_image.jpg"]
    pixels = read_pictures(pictures, 224)
    frame = np.asarray(Image.open(pictures[0]).convert("RGB").resize((224, 258), Image.Resampling.BICUBIC))
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    expected = (torch.from_numpy(frame[17:241].copy()).float() / 255 - mean) / std
    torch.testing.assert_close(pixels[0], expected.permute(2, 0, 1), atol=1e-5, rtol=0)
    assert read_sounds(sounds, model).shape == (3, 3, 1, 128, 204)


def test_only_the_first_channel_is_heard(files):
    model = random_imagebind(TINY, seed=0)
    rate_hz, samples = wavfile.read(files / "dog_audio.wav")
    before = read_sounds([files / "dog_audio.wav"], model)
    for channel, same in ((1, True), (0, False)):
        changed = samples.copy()
        changed[:, channel] //= 3
        wavfile.write(files / "changed.wav", rate_hz, changed)
        after = read_sounds([files / "changed.wav"], model)
        assert torch.allclose(before, after, atol=1e-2) == same  # the mean of both channels is removed first


def test_the_table_is_a_softmax_over_sounds(files):
    model = random_imagebind(TINY, seed=0)
    pictures, sounds = example_embeddings(model, files)
    table = agreement_table(pictures, sounds)
    assert table.shape == (3, 3) and np.allclose(table.sum(1), 1, atol=1e-6)
    logits = pictures @ sounds.T
    assert np.allclose(table, (logits.exp() / logits.exp().sum(1, keepdim=True)).numpy(), atol=1e-6)
    assert table_text(published.PUBLISHED).startswith("[[0.8070, 0.1088, 0.0842], [0.1036, ")
    assert np.allclose(np.sum(published.PUBLISHED, 1), 1, atol=2e-4)


def test_missing_files_are_named(files):
    (files / "car_audio.wav").unlink()
    with pytest.raises(InputError, match=r"six files in .*, of which car_audio\.wav are missing; copy them from the"):
        example_files(files)
