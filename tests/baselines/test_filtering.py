import numpy as np
import pytest
import torch

from moca.baselines.filtering import MEAN_COLOUR, SoundFilter, cut_boxes, cut_masks
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import LogMelConfig, log_mel


@pytest.fixture(params=["class", "dense"])
def encoder(request):
    config = ImageBindConfig(
        image_size=32, patch=8, image_width=16, image_blocks=2, image_heads=2,
        audio_patch=8, audio_stride=8, audio_width=12, audio_blocks=2, audio_heads=2, embed_dim=8,
        log_mel=LogMelConfig(mel_bins=16, target_frames=96), pooling=request.param,
    )  # fmt: skip
    return random_imagebind(config, seed=3)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_cosines_are_those_of_the_encoders_own_reading(encoder, picture, make_step):
    steps = [make_step(0), make_step(1, audio=np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32))]
    crops = [picture, picture[:20], picture[5:9, 3:50]]
    sounds = SoundFilter(encoder).hear(steps)
    for step, sound in zip(steps, sounds, strict=True):
        heard = encoder.embed_audio(log_mel(torch.from_numpy(step.audio)[None], encoder.config.log_mel))
        direction = encoder.audio_direction(heard)[0].detach()
        expected = []
        for crop in crops:
            pixels = preprocess_frames([crop], 32)
            if encoder.config.pooling == "class":
                expected.append(float(encoder.embed_image(pixels)[0].detach() @ direction))
            else:  # the highest 2.5% of 16 patches: one
                expected.append(float((encoder.embed_patches(pixels)[0].detach() @ direction).max()))
        np.testing.assert_allclose(SoundFilter(encoder).cosines(crops, sound), expected, atol=1e-5)
    first, second = (SoundFilter(encoder).cosines(crops, sound) for sound in sounds)
    assert not np.allclose(first, second)  # another sound could differ


def test_batches_change_nothing_and_no_crops_give_none(encoder, picture, make_step, monkeypatch):
    crops = [picture[i : i + 9] for i in range(7)]
    (sound,) = SoundFilter(encoder).hear([make_step()])
    whole = SoundFilter(encoder).cosines(crops, sound)
    monkeypatch.setattr("moca.baselines.filtering.BATCH_CROPS", 2)
    np.testing.assert_allclose(SoundFilter(encoder).cosines(crops, sound), whole, atol=1e-6)
    assert SoundFilter(encoder).cosines([], sound).shape == (0,)


def test_boxes_are_cut_along_their_edges(picture):
    (crop,) = cut_boxes(picture, np.array([[3.0, 5.0, 20.0, 11.0]]))
    np.testing.assert_array_equal(crop, picture[5:11, 3:20])
    (wider,) = cut_boxes(picture, np.array([[10.0, 10.0, 20.0, 14.0]]), margin=0.5)
    np.testing.assert_array_equal(wider, picture[8:16, 5:25])
    assert cut_boxes(picture, np.zeros((0, 4))) == []


@pytest.mark.parametrize(
    "box", [(59.9, 39.9, 60, 40), (0, 0, 0.1, 0.1), (0, 0, 60, 40), (30, 20, 30, 20), (60, 40, 60, 40)]
)
def test_a_crop_has_pixels_and_stays_in_the_picture(picture, box):
    for margin in (0, 1):
        (crop,) = cut_boxes(picture, np.array([box]), margin)
        assert 1 <= crop.shape[0] <= 40 and 1 <= crop.shape[1] <= 60


def test_masks_hide_what_is_around_them(picture):
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:20, 30] = mask[0, 10, 30:40] = True  # an L
    (masked,), (plain,) = cut_masks(picture, mask), cut_masks(picture, mask, crop="box")
    np.testing.assert_array_equal(plain, picture[10:20, 30:40])
    inside = mask[0, 10:20, 30:40]
    np.testing.assert_array_equal(masked[inside], plain[inside])
    assert (masked[~inside] == MEAN_COLOUR).all() and not (plain[~inside] == MEAN_COLOUR).all()
