import dataclasses

import numpy as np
import pytest
import torch

from moca.foundation.preprocessing import preprocess_frames
from moca.pipeline.comparing import CropScorer, compare_pictures
from moca.segmentation.crops import cut_regions
from moca.segmentation.relative import SoundBank


def unit(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


@pytest.fixture
def bank():
    return SoundBank(embeddings=unit(9, 8), names=tuple("abcdefghi"), fingerprint="12ab")


@pytest.fixture(params=["class", "dense"])
def encoder(pipeline, request):
    pipeline.encoder.config = dataclasses.replace(pipeline.encoder.config, pooling=request.param)
    return pipeline.encoder


def frames(counts, size=(40, 60)):
    generator = np.random.default_rng(5)
    for number, count in enumerate(counts):
        picture = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        masks = np.zeros((count, *size), bool)
        for mask in masks:
            top, left = generator.integers(0, 20, 2)
            mask[top : top + generator.integers(4, 20), left : left + generator.integers(4, 40)] = True
        yield picture, masks, unit(8, seed=100 + number)


def test_every_crop_is_compared_as_the_encoder_was_trained(encoder, bank):
    ((picture, masks, sound),) = frames([4])
    (found,) = CropScorer(encoder, bank).each([(picture, masks, sound)])
    assert found.own.shape == (4,) and found.others.shape == (4, 9)
    with torch.no_grad():
        for n, crop in enumerate(cut_regions(picture, masks, 32)):
            pixels = preprocess_frames([crop], 32)
            for k, heard in enumerate([sound, *bank.embeddings]):
                if encoder.config.pooling == "class":
                    wanted = float(encoder.embed_image(pixels)[0] @ torch.from_numpy(heard))
                else:
                    patches = encoder.embed_patches(pixels)
                    wanted = float(encoder.pooled_similarity(patches, torch.from_numpy(heard)[None])[0, 0])
                assert (found.own[n] if k == 0 else found.others[n, k - 1]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_over_proposals_and_frames_change_nothing(encoder, bank, batch):
    counts = [2, 0, 5, 1, 0]
    whole = [next(CropScorer(encoder, bank).each([frame])) for frame in frames(counts)]
    found = list(CropScorer(encoder, bank, batch=batch).each(frames(counts)))
    assert [len(each.own) for each in found] == counts
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_allclose(one.own, other.own, atol=1e-5)
        np.testing.assert_allclose(one.others, other.others, atol=1e-5)


def test_no_more_crops_than_a_batch_are_looked_at_together(encoder, bank, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "moca.pipeline.comparing.preprocess_frames",
        lambda crops, size: (seen.append(len(crops)), preprocess_frames(crops, size))[1],
    )
    list(CropScorer(encoder, bank, batch=3).each(frames([2, 2, 7])))
    assert sum(seen) == 11 and max(seen) == 3


def test_pictures_are_compared_as_their_presence_is_read(encoder, bank):
    pixels = preprocess_frames([picture for picture, _, _ in frames([0, 0, 0])], 32)
    sounds = torch.from_numpy(unit(3, 8, seed=4))
    with torch.no_grad():
        views = [encoder.read_image(pixels), encoder.read_image(pixels.flip(-1))]
        found = compare_pictures(encoder, views, sounds, bank)
        for n, compared in enumerate(found):
            for k, heard in enumerate([sounds[n], *torch.from_numpy(bank.embeddings)]):
                wanted = sum(float(encoder.presence(view[n : n + 1], heard[None])) for view in views) / 2
                assert (compared.own[0] if k == 0 else compared.others[0, k - 1]) == pytest.approx(wanted, abs=1e-5)
