import dataclasses
import itertools

import numpy as np
import pytest

from moca.core.loudness import level_dbfs
from moca.core.maps import resize_maps
from moca.errors import InputError
from moca.segmentation.coarse import coarse_mask, heat_map, sounding_clusters
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support


def scene(side=8):
    """Left half points along e0, right half along e1; the sound agrees with the left."""
    patches = np.zeros((side, side, 4), np.float32)
    patches[:, : side // 2, 0] = 1
    patches[:, side // 2 :, 1] = 1
    return patches, patches @ np.array([0.9, 0.1, 0, 0], np.float32)


def plain(height, width):
    """A frame without an edge."""
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("rule", ["best", "ratio", "otsu"])
def test_the_half_that_agrees_with_the_sound_is_masked(rule):
    patches, cosines = scene()
    config = SegmentConfig(clusters=2, sounding=rule)
    mask, segments = coarse_mask(patches, cosines, plain(32, 48), config)
    assert mask[:, :24].all() and not mask[:, 24:].any()
    assert len(segments) == 1 and 0.8 < segments[0].score < 0.9  # its border is between 0.9 and 0.1
    assert segments[0].score == pytest.approx(resize_maps(cosines, (32, 48))[mask].mean())
    other, _ = coarse_mask(patches, cosines[:, ::-1], plain(32, 48), config)
    assert not other[:, :24].any() and other[:, 24:].all()


def test_several_clusters_may_sound():
    labels = np.repeat([0, 1, 2], 10)
    cosines = np.repeat([0.8, 0.1, 0.7], 10)
    assert sounding_clusters(labels, cosines, SegmentConfig(sounding="best")) == [0]
    assert sounding_clusters(labels, cosines, SegmentConfig(sounding="otsu")) == [0, 2]
    assert sounding_clusters(labels, cosines, SegmentConfig(sounding="ratio", ratio=0.8)) == [0, 2]
    assert sounding_clusters(labels, cosines, SegmentConfig(sounding="ratio", ratio=0.9)) == [0]


def test_choice_depends_on_agreement_not_on_size_or_place():
    labels = np.array([0] * 99 + [1])
    cosines = np.where(labels == 1, 0.9, 0.2)
    assert sounding_clusters(labels, cosines, SegmentConfig(sounding="best")) == [1]
    assert sounding_clusters(labels[::-1], cosines[::-1], SegmentConfig(sounding="best")) == [1]


def test_one_patch_and_constant_agreement():
    mask, segments = coarse_mask(np.ones((1, 1, 4)), np.full((1, 1), 0.5), plain(3, 5), SegmentConfig())
    assert mask.all() and mask.shape == (3, 5) and len(segments) == 1


def test_borders_are_finer_than_patches():
    patches, cosines = scene(side=4)
    patches[1, 1] = [0.0, 1.0, 0, 0]
    cosines = patches @ np.array([0.9, 0.1, 0, 0], np.float32)
    mask, _ = coarse_mask(patches, cosines, plain(64, 64), SegmentConfig(clusters=2))
    blocks = mask.reshape(4, 16, 4, 16).mean((1, 3))
    assert ((blocks > 0) & (blocks < 1)).any()


def blobs():
    """Agreement of an 8 x 8 grid: one patch of 0.9, a faint one of 0.6 in the other corner, 0.1 elsewhere."""
    agreement = np.full((8, 8), 0.1, np.float32)
    agreement[1, 1], agreement[6, 6] = 0.9, 0.6
    return agreement


def test_a_level_masks_every_pixel_that_reaches_it_one_segment_per_region():
    agreement, features = blobs(), np.zeros((8, 8, 4), np.float32)
    fine = resize_maps(agreement, (64, 48))
    config = SegmentConfig(sounding="level", level=0.4)
    mask, segments = coarse_mask(features, agreement, plain(64, 48), config)
    np.testing.assert_array_equal(mask, fine >= 0.4)
    assert len(segments) == 2
    first, second = segments
    assert first.mask[12, 9] and second.mask[52, 39] and first.score > second.score
    for segment in segments:
        assert segment.score == pytest.approx(fine[segment.mask].mean())
    np.testing.assert_array_equal(mask, first.mask ^ second.mask)
    other, _ = coarse_mask(features + 1, agreement, plain(64, 48), config)
    np.testing.assert_array_equal(mask, other)  # the features do not matter, only their agreement


def test_a_higher_level_masks_less():
    masks = [
        coarse_mask(np.zeros((8, 8, 4)), blobs(), plain(64, 64), SegmentConfig(sounding="level", level=level))[0]
        for level in (-1.0, 0.2, 0.5, 0.7, 1.0)
    ]
    assert masks[0].all() and not masks[-1].any()
    for lower, higher in itertools.pairwise(masks):
        assert (higher <= lower).all() and higher.sum() < lower.sum()


def test_a_level_that_nothing_reaches_leaves_no_segment():
    config = SegmentConfig(sounding="level", level=0.95, refine=True)
    mask, segments = coarse_mask(np.zeros((8, 8, 4)), blobs(), plain(64, 64), config)
    assert mask.shape == (64, 64) and not mask.any() and segments == ()


def test_regions_that_touch_at_a_corner_are_one():
    agreement = np.eye(2, dtype=np.float32)
    _, segments = coarse_mask(np.zeros((2, 2, 4)), agreement, plain(2, 2), SegmentConfig(sounding="level"))
    assert len(segments) == 1 and segments[0].score == 1.0


@pytest.mark.parametrize("rule", ["level", "otsu"])
def test_refining_moves_the_mask_to_the_edges_of_the_picture(rule):
    truth = np.zeros((64, 64), bool)
    truth[12:36, 20:44] = True
    noise = np.random.default_rng(0).integers(0, 40, (64, 64, 3))
    frame = (noise + np.where(truth[..., None], [180, 60, 20], [20, 60, 180])).astype(np.uint8)
    agreement = np.zeros((8, 8), np.float32)
    agreement[1:5, 2:6] = 1.0
    patches = np.stack([agreement, 1 - agreement], axis=-1)
    config = SegmentConfig(clusters=2, sounding=rule)
    before, _ = coarse_mask(patches, agreement, frame, config)
    after, segments = coarse_mask(patches, agreement, frame, dataclasses.replace(config, refine=True))
    assert (before & truth).sum() / (before | truth).sum() < 0.85
    assert (after & truth).sum() / (after | truth).sum() > 0.99
    np.testing.assert_array_equal(after, np.any([segment.mask for segment in segments], axis=0))


def test_level_of_known_waves():
    time = np.arange(16_000) / 16_000
    assert level_dbfs(np.sin(2 * np.pi * 100 * time)) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(0.1 * np.sign(np.sin(2 * np.pi * 100 * time + 1))) == pytest.approx(-20, abs=0.1)
    assert level_dbfs(np.full(1000, 0.5)) == float("-inf")  # an offset is not a sound
    assert level_dbfs(None) == level_dbfs(np.zeros(0)) == level_dbfs(np.zeros(9)) == float("-inf")


def test_support_is_the_mean_of_the_highest_patches():
    cosines = np.zeros((14, 14))
    cosines[0, :5] = [0.5, 0.6, 0.7, 0.8, 0.9]
    assert support(cosines) == pytest.approx(0.7)
    assert support(np.array([0.3])) == 0.3


def test_heat_runs_from_low_to_high():
    config = SegmentConfig(heat_low=0.2, heat_high=0.6)
    np.testing.assert_allclose(heat_map(np.array([[0.1, 0.4, 0.9]]), (1, 3), config), [[0, 0.5, 1]], atol=1e-6)


def test_resize_keeps_a_constant_and_single_channels():
    assert resize_maps(np.full((2, 2, 1), 0.5), (5, 7)).shape == (5, 7, 1)
    np.testing.assert_allclose(resize_maps(np.full((3, 3), 0.5), (5, 7)), 0.5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("clusters", 0, "clusters must be a whole number between 1 and 64, got 0; 4 suits most frames."),
        ("sounding", "loud", "sounding must be one of best, ratio, otsu, level, got 'loud'; change it."),
        ("ratio", 0.0, "ratio must be a number above 0 and at most 1, got 0.0; change it."),
        ("level", 1.5, "level must be a number between -1 and 1, got 1.5; change it."),
        ("level", float("nan"), "level must be a number between -1 and 1, got nan; change it."),
        ("silence_dbfs", 3.0, "silence_dbfs must be a number of at most 0 dBFS, got 3.0; change it."),
        ("gate", 200.0, "gate must be a number between -100 and 100, got 200.0; change it."),
        ("gate_rank", 1.5, "gate_rank must be a number between 0 and 1, got 1.5; change it."),
        ("scores", "plain", "scores must be one of relative, absolute, got 'plain'; change it."),
        ("gate_frozen", -1.5, "gate_frozen must be a number between -1 and 1, got -1.5; change it."),
        ("heat_low", 1.0, "heat_low must be below heat_high, got 1.0 and 1.0; change one."),
    ],
)
def test_refusals(field, value, message):
    with pytest.raises(InputError) as caught:
        SegmentConfig(**{field: value})
    assert str(caught.value) == message
