"""Snapping: what it promises about a region, whatever GrabCut makes of it."""

import cv2
import numpy as np
import pytest

from moca.segmentation.edges import SURE_SILENT, SURE_SOUNDING, snap_to_edges


def disc(centre, radius, side=64):
    rows, columns = np.mgrid[:side, :side]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


@pytest.fixture
def scene():
    """A yellow disc on textured blue, and a score and a region that lie 4 pixels beside it."""
    generator = np.random.default_rng(0)
    truth = disc((30, 34), 14)
    frame = np.where(truth[..., None], [200, 180, 30], [30, 60, 150]) + generator.integers(-25, 25, (64, 64, 3))
    region = disc((34, 34), 14)
    score = cv2.GaussianBlur(region.astype(np.float32), (0, 0), 5)
    return frame.astype(np.uint8), score, region, truth


def overlap(a, b) -> float:
    return (a & b).sum() / (a | b).sum()


def test_a_shifted_region_finds_its_object(scene):
    frame, score, region, truth = scene
    snapped = snap_to_edges(frame, score, region)
    assert snapped.dtype == bool and snapped.shape == (64, 64)
    assert overlap(region, truth) < 0.8 and overlap(snapped, truth) > 0.97


def test_it_is_deterministic_whatever_opencv_drew_before(scene):
    frame, score, region, _ = scene
    frame = np.random.default_rng(1).integers(0, 256, frame.shape, dtype=np.uint8)  # without an object, seeds matter
    first = snap_to_edges(frame, score, region)
    for seed in (1, 2, 3):
        cv2.setRNGSeed(seed)
        np.testing.assert_array_equal(snap_to_edges(frame, score, region), first)


def test_nothing_it_is_given_changes(scene):
    given = [array.copy() for array in scene[:3]]
    for array in given:
        array.setflags(write=False)
    snap_to_edges(*given)
    for array, before in zip(given, scene, strict=False):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything_come_back_as_they_are(scene, value):
    frame, score, _, _ = scene
    region = np.full((64, 64), value)
    snapped = snap_to_edges(frame, score, region)
    np.testing.assert_array_equal(snapped, region)
    assert snapped is not region and not np.shares_memory(snapped, region)


@pytest.mark.parametrize("seed", range(5))
def test_sure_pixels_stay_where_they_are(seed):
    generator = np.random.default_rng(seed)
    frame = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    score = cv2.GaussianBlur(generator.random((40, 48)).astype(np.float32), (0, 0), 4)
    region = score > np.quantile(score, 0.7)
    snapped = snap_to_edges(frame, score, region)
    low, high = np.quantile(score, [SURE_SILENT, SURE_SOUNDING])
    assert snapped[(score >= high) & region].all()
    assert not snapped[(score < low) & ~region].any()
    assert (snapped != region).any()  # between them, it decides


def test_a_view_of_a_frame_counts_as_its_pixels(scene):
    frame, score, region, _ = scene
    view = frame[:, ::-1]
    np.testing.assert_array_equal(
        snap_to_edges(view, score, region), snap_to_edges(np.ascontiguousarray(view), score, region)
    )


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 5), (16, 16)])
@pytest.mark.parametrize("flat", [False, True])
def test_one_pixel_and_pictures_without_colour(shape, flat):
    generator = np.random.default_rng(0)
    frame = np.full((*shape, 3), 90, np.uint8) if flat else generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    region = np.zeros(shape, bool)
    region[0, 0] = True
    for score in (generator.random(shape), np.zeros(shape)):
        snapped = snap_to_edges(frame, score, region)
        assert snapped.shape == shape and snapped.dtype == bool
