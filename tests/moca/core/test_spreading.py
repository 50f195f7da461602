import numpy as np
import pytest

from moca.core.maps import pixels_between
from moca.core.spreading import spread_with_ends


@pytest.mark.parametrize(("count", "most"), [(0, 3), (1, 3), (5, 5), (7, 3), (100, 8), (9, 1)])
def test_a_few_of_many_with_their_ends(count, most):
    chosen = spread_with_ends(count, most).tolist()
    assert len(chosen) == min(count, most) and chosen == sorted(set(chosen))
    if count > 1 and most > 1:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert np.ptp(np.diff(chosen)) <= 1


def test_pixels_that_are_touched_and_never_none():
    side = np.arange(8)
    assert side[pixels_between(1.2, 3.5, 8)].tolist() == [1, 2, 3]
    assert side[pixels_between(-4, -1, 8)].tolist() == [0] and side[pixels_between(9, 12, 8)].tolist() == [7]
    assert side[pixels_between(2.0, 2.0, 8)].tolist() == [2]
