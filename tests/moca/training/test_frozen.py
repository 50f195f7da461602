"""What is read from the frozen encoder, against the encoder taken by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moca.core.loudness import level_dbfs
from moca.corpus.corpus import corpus_from_arrays
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from moca.training import frozen
from moca.training.frozen import FrozenReader, sounding_rows


@pytest.fixture
def reader(encoder):
    return FrozenReader(encoder)


@pytest.fixture
def pixels(reader, corpus):
    return reader.pixels(corpus.frames[:5])


@pytest.mark.parametrize("silence_dbfs", [-60.0, -25.0])
def test_sounding_rows_agree_with_a_loop(corpus, silence_dbfs):
    rows = sounding_rows(corpus, silence_dbfs=silence_dbfs)
    expected = [row for row in range(len(corpus)) if level_dbfs(corpus.sound(row)) > silence_dbfs]
    assert rows.dtype == np.int64 and rows.tolist() == expected and 0 < len(expected) < len(corpus)


def test_sounding_rows_are_those_that_are_not_silent(corpus, drawn):
    assert set(range(len(corpus))) - set(sounding_rows(corpus)) == set(drawn.silent)


def test_an_offset_is_no_sound_and_a_long_corpus_is_read_in_parts():
    frames = np.broadcast_to(np.zeros((), np.uint8), (2100, 4, 4, 3))
    waves = np.full((2100, 400), 9000, np.int16)
    loud = [0, 1023, 1024, 2099]
    waves[loud] = np.random.default_rng(0).integers(-900, 900, (4, 400))
    assert sounding_rows(corpus_from_arrays(frames, waves)).tolist() == loud


def test_a_silent_corpus_has_no_sounding_row(silent_corpus, reader):
    assert sounding_rows(silent_corpus).shape == (0,)


def test_sounds_are_the_encoders_directions_whatever_the_batch(reader, encoder, corpus, monkeypatch):
    rows = np.array([7, 3, 3, 20, 0])
    sounds = reader.sounds(corpus, rows)
    mels = log_mel(torch.from_numpy(corpus.sound(rows)), encoder.config.log_mel)
    with torch.no_grad():
        expected = F.normalize(encoder.embed_audio(mels), dim=-1)
    assert sounds.dtype == np.float32
    np.testing.assert_allclose(sounds, expected.numpy(), atol=1e-5)
    # Rows of one batch may pass through different vector lanes: equal only up to the last bits.
    np.testing.assert_allclose(sounds[1], sounds[2], atol=1e-6)
    assert not np.allclose(sounds[0], sounds[1], atol=1e-3)
    monkeypatch.setattr(frozen, "BATCH_ROWS", 2)
    np.testing.assert_allclose(reader.sounds(corpus, rows), sounds, atol=1e-6)


def test_patches_average_a_frame_and_its_mirror_image(reader, encoder, pixels):
    patches = reader.patches(pixels).unflatten(1, (4, 4))
    with torch.no_grad():
        plain = encoder.embed_patches(pixels).unflatten(1, (4, 4))
        mirrored = encoder.embed_patches(pixels.flip(-1)).unflatten(1, (4, 4))
    for row, column in ((0, 0), (1, 3), (3, 2)):
        expected = F.normalize(plain[:, row, column] + mirrored[:, row, 3 - column], dim=-1)
        torch.testing.assert_close(patches[:, row, column], expected)
    assert patches.shape == (5, 4, 4, 8) and patches.dtype == torch.float32
    torch.testing.assert_close(patches.norm(dim=-1), torch.ones(5, 4, 4))


def test_patches_are_read_as_asked(encoder, corpus):
    encoder.config = replace(encoder.config, reading="value")
    by_value, by_token = FrozenReader(encoder), FrozenReader(encoder, reading="token")
    pixels, tower = by_value.pixels(corpus.frames[:2]), encoder.image_tower
    for reader, reading in ((by_value, "value"), (by_token, "token")):
        with torch.no_grad():
            plain, mirrored = (
                encoder.project_image(tower(tower.tokens(side), reading=reading)).unflatten(1, (4, 4))
                for side in (pixels, pixels.flip(-1))
            )
        expected = F.normalize(plain + mirrored.flip(2), dim=-1)
        torch.testing.assert_close(reader.patches(pixels).unflatten(1, (4, 4)), expected)
    assert not torch.allclose(by_value.patches(pixels), by_token.patches(pixels), atol=1e-2)


def test_a_mirrored_frame_has_mirrored_patches(reader, encoder, pixels):
    of_frame, of_mirrored = (reader.patches(side).unflatten(1, (4, 4)) for side in (pixels, pixels.flip(-1)))
    torch.testing.assert_close(of_frame, of_mirrored.flip(2))
    with torch.no_grad():
        plain, mirrored = (encoder.embed_patches(side).unflatten(1, (4, 4)) for side in (pixels, pixels.flip(-1)))
    assert not torch.allclose(plain, mirrored.flip(2), atol=1e-3)  # the encoder alone does not do that


def test_pictures_are_read_by_the_class_token_where_it_was_trained(reader, encoder, pixels):
    pictures = reader.pictures(pixels)
    with torch.no_grad():
        torch.testing.assert_close(pictures, encoder.embed_image(pixels))
    assert not pictures.requires_grad and not torch.allclose(pictures[0], pictures[1], atol=1e-3)
    encoder.config = replace(encoder.config, pooling="dense")
    assert FrozenReader(encoder).pictures(pixels) is None


def test_middle_tokens_are_those_after_two_thirds_of_the_blocks(reader, encoder, pixels):
    tower = encoder.image_tower
    with torch.no_grad():
        x = tower.tokens(pixels)
        for block in (0, 1):  # of three
            x = x + tower.attend(block, x)
            x = x + tower.feed(block, x)
        last = x + tower.attend(2, x)
        last = last + tower.feed(2, last)
        torch.testing.assert_close(last, tower(tower.tokens(pixels)))  # these are the encoder's blocks
    middle = reader.middle(pixels)
    torch.testing.assert_close(middle, F.normalize(x[:, 1:], dim=-1))
    assert middle.shape == (5, 16, 16) and middle.dtype == torch.float32


def test_a_trunk_of_one_block_has_a_middle(reader, encoder, pixels):
    trunk = encoder.modality_trunks["vision"]
    del trunk.blocks[1:]
    tower = encoder.image_tower
    with torch.no_grad():
        torch.testing.assert_close(reader.middle(pixels), F.normalize(tower(tower.tokens(pixels))[:, 1:], dim=-1))


def test_inputs_are_prepared_as_for_segmentation(reader, corpus, pixels):
    assert torch.equal(pixels, preprocess_frames(corpus.frames[:5], 32, fit="stretch"))
    large = corpus.frames[:1].repeat(2, axis=1).repeat(2, axis=2)
    assert reader.pixels(large).shape == (1, 3, 32, 32)
    assert reader.mels(corpus.sound(slice(0, 2))).shape == (2, 1, 16, 96)
    assert reader.side == 4


def test_nothing_has_a_graph(reader, encoder, corpus, pixels):
    assert all(parameter.requires_grad for parameter in encoder.modality_heads.parameters())  # could have one
    assert not reader.patches(pixels).requires_grad and not reader.middle(pixels).requires_grad
    reader.sounds(corpus, np.arange(3))
    assert all(parameter.grad is None for parameter in encoder.parameters())
