"""Pictures to pixels: against a rewriting of the official steps, and the edges."""

import numpy as np
import pytest
import torch
from PIL import Image

from moca.errors import InputError
from moca.foundation.preprocessing import preprocess_frames

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])


def picture(height, width, seed=0):
    """Uint8 noise with large-scale structure, so that resampling and shifts show."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)), dtype=int)
    return np.clip(smooth + draw.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def official_crop(frame, size):
    """Short side to `size`, bicubic, then the centre square, step by step."""
    image = Image.fromarray(frame)
    if image.width <= image.height:
        image = image.resize((size, int(size * image.height / image.width)), Image.Resampling.BICUBIC)
    else:
        image = image.resize((int(size * image.width / image.height), size), Image.Resampling.BICUBIC)
    left, top = round((image.width - size) / 2.0), round((image.height - size) / 2.0)
    image = image.crop((left, top, left + size, top + size))
    return ((np.asarray(image) / 255 - MEAN) / STD).transpose(2, 0, 1)


SIZES = [(90, 160), (333, 217), (224, 224), (100, 101), (301, 1024), (1, 1), (3, 2)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_crop_follows_the_official_steps(height, width):
    frame = picture(height, width)
    got = preprocess_frames([frame], 224, fit="crop")[0]
    np.testing.assert_allclose(got.numpy(), official_crop(frame, 224), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_stretch_resizes_the_whole_frame(height, width):
    frame = picture(height, width)
    resized = np.asarray(Image.fromarray(frame).resize((112, 112), Image.Resampling.BICUBIC))
    got = preprocess_frames([frame], 112, fit="stretch")[0]
    np.testing.assert_allclose(got.numpy(), ((resized / 255 - MEAN) / STD).transpose(2, 0, 1), atol=1e-5)


def test_the_fits_agree_on_squares_only():
    square, wide = picture(150, 150), picture(90, 160)
    assert torch.equal(preprocess_frames([square], 112, "crop"), preprocess_frames([square], 112, "stretch"))
    assert not torch.allclose(
        preprocess_frames([wide], 112, "crop"), preprocess_frames([wide], 112, "stretch"), atol=0.1
    )


def test_a_frame_of_the_right_size_keeps_its_pixels():
    frames = np.stack([picture(112, 112, seed) for seed in range(2)])
    got = preprocess_frames(frames, 112)
    assert got.dtype == torch.float32
    back = (got.permute(0, 2, 3, 1).double().numpy() * STD + MEAN) * 255
    np.testing.assert_allclose(back, frames, atol=1e-3)


def test_frames_of_different_sizes_make_one_batch_and_none_an_empty_one():
    assert preprocess_frames([picture(20, 30), picture(50, 40)], 32).shape == (2, 3, 32, 32)
    assert preprocess_frames([], 32).shape == (0, 3, 32, 32)


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        preprocess_frames(*args, **options)
    return str(caught.value)


def test_unusable_requests_are_refused():
    assert refusal([picture(4, 4)], 32, fit="pad") == (
        "fit must be 'stretch' or 'crop', got 'pad'; choose one of them."
    )
    assert refusal([picture(4, 4)], 0) == "size must be at least 1 pixel, got 0; raise it."
    assert refusal([picture(4, 4), np.zeros((4, 4), np.uint8)], 32) == (
        "a frame must be a uint8 array of shape (height, width, 3), got uint8 (4, 4) for frame 1; convert it to RGB."
    )
    assert refusal([np.zeros((4, 4, 3), np.float32)], 32) == (
        "a frame must be a uint8 array of shape (height, width, 3), got float32 (4, 4, 3) for frame 0; "
        "convert it to RGB."
    )
