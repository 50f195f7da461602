"""Masks against the picture itself, and the appearance families."""

import dataclasses

import numpy as np
import pytest

from moca.stage.arranging import MIN_VISIBLE, build_scene
from moca.stage.casting import draw_cast
from moca.stage.objects import CLASSES, draw_object
from moca.stage.photometry import Camera, draw_camera, expose
from moca.stage.seeds import generator

SIDE = 96


def still(seed: int, kind: str):
    cast = draw_cast(generator(seed, "cast"), kind)
    return cast, build_scene(seed, cast, side=SIDE, times_s=(0.0,), duration_s=0.0)


def plain(scene):
    """The scene without shadow, blur, noise and tint, so that a pixel is what covers it."""
    camera = Camera(
        light=np.ones((SIDE, SIDE, 1), np.float32),
        tint=np.ones(3, np.float32),
        gamma=1.0,
        blur_px=0.0,
        noise_level=0.0,
        jpeg_quality=0,
    )
    return dataclasses.replace(scene, camera=camera, shadow=(0.0, 0.0, 0.0))


def repainted(scene, place: int, level: int):
    item = scene.objects[place]
    sprite = dataclasses.replace(item.sprite, colour=np.full_like(item.sprite.colour, level))
    objects = list(scene.objects)
    objects[place] = dataclasses.replace(item, sprite=sprite)
    return dataclasses.replace(scene, objects=tuple(objects))


@pytest.mark.parametrize("seed", range(8))
def test_masks_are_the_pixels_that_change_when_an_object_is_repainted(seed):
    _, scene = still(seed, "ms3")
    scene, masks = plain(scene), still(seed, "ms3")[1].masks(0.0)
    for place, mask in enumerate(masks):
        black, white = (
            repainted(scene, place, level).render(0.0, generator(0)).astype(float)[..., 0] for level in (0, 255)
        )
        share = (white - black) / 255  # part of the pixel that shows the object
        assert mask[share > 0.52].all()
        assert (share[mask] > 0.2).all()  # an edge shared by two objects can go below one half
        assert np.mean((share > 0.5) != mask) < 0.01


@pytest.mark.parametrize("seed", range(12))
def test_sounding_objects_stay_visible_under_clutter_and_each_other(seed):
    cast, scene = still(seed, "ms3")
    for item, mask, name in zip(scene.objects, scene.masks(0.0), cast.objects, strict=True):
        alone = item.alpha(0.0, SIDE) >= 128
        assert not (mask & ~alone).any()
        if name in cast.sounding:
            assert mask.sum() >= MIN_VISIBLE * item.full_area(0.0)


def test_some_object_is_partly_covered():
    covered = [
        (item.alpha(0.0, SIDE) >= 128).sum() > mask.sum()
        for seed in range(12)
        for scene in [still(seed, "ms3")[1]]
        for item, mask in zip(scene.objects, scene.masks(0.0), strict=True)
    ]
    assert 0.1 < np.mean(covered) < 0.95


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_varies_and_stays_on_its_canvas(name):
    sprites = [draw_object(name, generator(seed), side=80, light_deg=40.0) for seed in range(12)]
    for sprite in sprites:
        assert sprite.colour.shape[:2] == sprite.alpha.shape
        edges = (sprite.alpha[0], sprite.alpha[-1], sprite.alpha[:, 0], sprite.alpha[:, -1])
        assert not any(edge.any() for edge in edges)
        assert 0.04 < sprite.area / 80**2 < 0.9
    means = np.array([sprite.colour[sprite.alpha > 128].mean(axis=0) for sprite in sprites])
    assert means.std(axis=0).min() > 8  # colour does not give the class away
    assert len({sprite.alpha.shape for sprite in sprites}) > 2
    again = draw_object(name, generator(3), side=80, light_deg=40.0)
    np.testing.assert_array_equal(again.colour, sprites[3].colour)


def test_exposure_keeps_shape_and_range_and_changes_the_picture():
    picture = np.random.default_rng(0).uniform(0, 255, (48, 48, 3)).astype(np.float32)
    before = picture.copy()
    taken = [expose(draw_camera(generator(seed), 48), picture, generator(seed)) for seed in range(10)]
    assert all(frame.shape == (48, 48, 3) and frame.dtype == np.uint8 for frame in taken)
    assert len({frame.tobytes() for frame in taken}) == 10
    np.testing.assert_array_equal(picture, before)  # the input is not written to
