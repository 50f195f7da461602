"""Two takes of one object: the same object, another scene, the same bytes for the same seed."""

import hashlib

import cv2
import numpy as np
import pytest

from moca.errors import InputError
from moca.stage import sample_frame, sample_takes
from moca.stage.arranging import build_scene
from moca.stage.casting import Cast

CAST = Cast(objects=("drum",), sounding=("drum",), heard=("drum",), area=(0.1, 0.33))


def scene(seed, looks):
    return build_scene(seed, CAST, side=64, times_s=(0.0,), duration_s=0.0, looks=looks)


def test_equal_seeds_give_equal_takes_and_others_do_not():
    takes = sample_takes(5, 48)
    assert takes.shape == (2, 48, 48, 3) and takes.dtype == np.uint8
    np.testing.assert_array_equal(takes, sample_takes(5, 48))
    assert not np.array_equal(takes, sample_takes(6, 48))
    assert (
        len({hashlib.sha256(take.tobytes()).hexdigest() for seed in range(20) for take in sample_takes(seed, 32)}) == 40
    )


def test_takes_show_one_object_in_different_scenes():
    """Shape and texture are the object's; place, angle, ground and camera are the scene's."""
    first, second, other = scene(1, looks=7), scene(2, looks=7), scene(1, looks=8)
    np.testing.assert_array_equal(first.objects[0].sprite.alpha, second.objects[0].sprite.alpha)
    assert first.objects[0].sprite.alpha.shape != other.objects[0].sprite.alpha.shape or not np.array_equal(
        first.objects[0].sprite.alpha, other.objects[0].sprite.alpha
    )
    assert (
        first.objects[0].centre != second.objects[0].centre
        and first.objects[0].angle_deg != second.objects[0].angle_deg
    )
    assert not np.array_equal(first.ground, second.ground) and first.camera.gamma != second.camera.gamma
    np.testing.assert_array_equal(first.ground, other.ground)  # the looks change nothing but the object


def test_a_scene_without_looks_draws_its_own():
    own = build_scene(3, CAST, side=64, times_s=(0.0,), duration_s=0.0)
    np.testing.assert_array_equal(own.objects[0].sprite.alpha, scene(3, looks=3).objects[0].sprite.alpha)


def test_the_colours_of_two_takes_are_nearer_than_those_of_two_objects():
    """A part of the object's colours survives another light and camera: the nearest colours of the other take."""

    def histogram(take):
        grid = cv2.calcHist([take], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3).ravel()
        return grid / grid.sum()

    pairs = [[histogram(take) for take in sample_takes(seed, 64)] for seed in range(60)]
    shared = np.array([[np.minimum(first, second).sum() for _, second in pairs] for first, _ in pairs])
    assert np.diag(shared).mean() > shared[~np.eye(len(pairs), dtype=bool)].mean()


def test_takes_are_of_a_stream_of_their_own():
    assert not np.array_equal(sample_takes(5, 48)[0], sample_frame(5, "single", 48).frame)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 31), "size must be from 32 to 2048 pixels, got 31; choose for example 224."),
        ((-1,), "seed must be an integer of at least 0, got -1; pass for example 0."),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError) as caught:
        sample_takes(*arguments)
    assert str(caught.value) == message
