"""Maps over a frame: sizes that keep a pixel, windows, and masks that do not vanish."""

import numpy as np
import pytest

from moca.core.maps import shrink_mask, size_within, window_of


@pytest.mark.parametrize(
    ("size", "within"),
    [
        ((1080, 1920), (236, 420)),
        ((24, 40), (24, 40)),
        ((16, 16000), (1, 420)),
        ((16000, 16), (420, 1)),
        ((1, 420), (1, 420)),
    ],
)
def test_a_size_within_a_side_keeps_its_shape_and_a_pixel(size, within):
    assert size_within(size, 420) == within


def test_a_window_holds_the_pixels_and_a_margin_that_ends_at_the_frame():
    mask = np.zeros((20, 30), bool)
    mask[2:5, 10:29] = True
    assert window_of(mask) == (2, 10, 5, 29)
    assert window_of(mask, margin=3) == (0, 7, 8, 30)


def test_a_few_pixels_of_a_large_mask_do_not_vanish():
    mask = np.zeros((1000, 2000), bool)
    mask[500, 700] = True
    assert shrink_mask(mask, (50, 100)).sum() == 1
    mask[:500] = True
    assert shrink_mask(mask, (50, 100)).sum() == 25 * 100
    assert not shrink_mask(np.zeros((100, 100), bool), (5, 5)).any()
