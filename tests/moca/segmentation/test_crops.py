import numpy as np
import pytest

from moca.errors import InputError
from moca.segmentation.crops import GREY, cut_regions, square_around, surround_of


def picture(height=224, width=224, seed=0):
    """Coarse random colours, so that there is something to blur."""
    cells = np.random.default_rng(seed).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.kron(cells, np.ones((16, 16, 1), np.uint8))[:height, :width]


def disc(height=224, width=224, *, centre=(112, 112), radius=32):
    rows, columns = np.ogrid[:height, :width]
    return (rows + 0.5 - centre[0]) ** 2 + (columns + 0.5 - centre[1]) ** 2 <= radius**2


def blurred_by_hand(plane, sigma):
    """A Gaussian blur by an explicit sum, pixels mirrored at the border."""
    reach = int(np.ceil(4 * sigma))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if other == axis else (0, 0) for other in range(plane.ndim)]
        padded = np.pad(plane, padding, mode="symmetric")
        parts = (weights[n] * np.take(padded, np.arange(plane.shape[axis]) + n, axis) for n in range(2 * reach + 1))
        plane = sum(parts)
    return plane


def test_a_crop_is_what_a_naive_version_makes_of_the_whole_picture():
    frame, mask = picture(), disc()
    soft = blurred_by_hand(mask.astype(np.float64), 2.0)[..., None]
    pale = 0.5 * blurred_by_hand(frame.astype(np.float64), 12.0) + 0.5 * 127.5
    whole = soft * frame + (1 - soft) * pale
    left, top, side = square_around(mask)
    assert (left, top, side) == (64.0, 64.0, 96.0)
    (crop,) = cut_regions(frame, mask[None], 96)
    assert crop.shape == (96, 96, 3) and crop.dtype == np.uint8
    assert np.abs(crop - whole[64:160, 64:160]).max() < 2.0
    assert np.abs(crop - frame[64:160, 64:160].astype(float)).max() > 40  # not vacuous


def test_inside_a_region_nothing_is_changed_and_far_outside_all_is_pale():
    frame, mask = picture(), disc(radius=40)
    left, top, _ = (int(value) for value in square_around(mask))
    (crop,) = cut_regions(frame, mask[None], 120)
    np.testing.assert_array_equal(crop[50:70, 50:70], frame[top + 50 : top + 70, left + 50 : left + 70])
    corner = crop[:8, :8].astype(float)
    assert np.abs(corner - GREY).max() <= 0.5 * 127.5 + 1
    assert np.abs(np.diff(corner, axis=0)).max() <= 4  # and smooth


@pytest.mark.parametrize("size", [32, 112, 224])
def test_crops_of_any_size_show_the_same(size):
    (crop,) = cut_regions(picture(), disc(radius=30)[None], size)
    (large,) = cut_regions(picture(), disc(radius=30)[None], 4 * size)
    small = large.reshape(size, 4, size, 4, 3).mean((1, 3))
    assert crop.shape == (size, size, 3)
    assert np.abs(crop - small).mean() < 6


def test_blurs_grow_with_the_picture():
    """A picture drawn three times as large gives the same crops."""
    frame, mask = picture(), disc(centre=(100, 130), radius=40)
    large = np.kron(frame, np.ones((3, 3, 1), np.uint8))
    (small_crop,) = cut_regions(frame, mask[None], 112)
    (large_crop,) = cut_regions(large, np.kron(mask, np.ones((3, 3), bool)).astype(bool)[None], 112)
    assert surround_of(large).scale == pytest.approx(3 * surround_of(frame).scale)
    assert np.abs(small_crop.astype(float) - large_crop).mean() < 2.5


@pytest.mark.parametrize(
    "mask",
    [disc(centre=(3, 220), radius=30), disc(centre=(112, 112), radius=400), disc(centre=(60.5, 60.5), radius=0.6)],
    ids=["at the corner", "everything", "one pixel"],
)
def test_regions_at_the_border_of_all_sizes_can_be_cut(mask):
    (crop,) = cut_regions(picture(), mask[None], 64)
    assert crop.shape == (64, 64, 3) and crop.std() > 0


def test_wide_pictures_and_single_rows_can_be_cut():
    for height, width in ((40, 400), (1, 50), (300, 7)):
        mask = np.zeros((1, height, width), bool)
        mask[0, height // 2, width // 3 : width // 2 + 1] = True
        (crop,) = cut_regions(picture(height, width), mask, 32)
        assert crop.shape == (32, 32, 3)


def test_no_region_gives_no_crop():
    assert list(cut_regions(picture(), np.zeros((0, 224, 224), bool), 64)) == []


def test_masks_of_another_size_or_type_are_refused():
    with pytest.raises(InputError) as caught:
        list(cut_regions(picture(), np.ones((1, 20, 20), np.float32), 64))
    assert str(caught.value) == (
        "masks must be bool of the picture's size (224, 224), got float32 (20, 20); resize and threshold them first."
    )
