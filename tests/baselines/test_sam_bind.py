import numpy as np
import pytest

from moca.baselines.sam_bind import SamBind, SamBindConfig
from moca.errors import InputError

MARKS = [(30, 30, 82, 82, 230), (144, 144, 192, 192, 160)]


class _Nothing:
    def eval(self):
        return self

    def requires_grad_(self, _):
        return self


@pytest.fixture
def make(fakes, card):
    _, masks, bright = fakes

    def build(**settings):
        method = SamBind(SamBindConfig(**{"points_per_side": 8, **settings}), card, encoder=_Nothing(), masks=masks())
        method.filter = bright()
        return method

    return build


def test_masks_that_agree_are_kept(make, make_step):
    (result,) = make(crop="box").segment_steps([make_step(marks=MARKS)])
    # The grid's points are 14 + 28 k: squares around 42 and 70 are white, those around 14 and 98 black.
    rows, columns = np.nonzero(result.mask)
    assert result.mask.any() and rows.max() < 90 and columns.max() < 90
    assert result.score >= 0.7 and all(segment.score >= 0.7 for segment in result.segments)
    (more,) = make(crop="box", bind_threshold=0.5).segment_steps([make_step(marks=MARKS)])
    assert more.mask[144:192, 144:192].any() and len(more.segments) > len(result.segments)


def test_masks_that_sam_doubts_are_not_asked_about(make, make_step):
    method, bold = make(crop="box"), make(crop="box", pred_iou=0.2, nms_iou=1.0)
    for variant in (method, bold):
        list(variant.segment_steps([make_step(marks=MARKS)]))
    assert len(method.filter.crops) == 64 * 2  # of a point's three masks two pass; the two overlap by a quarter
    assert len(bold.filter.crops) == 64 * 3


def test_nms_keeps_the_better_of_two_and_small_masks_may_be_dropped(make, make_step):
    def asked(**settings):
        method = make(crop="box", **settings)
        list(method.segment_steps([make_step(marks=MARKS)]))
        return [crop.shape[0] for crop in method.filter.crops]

    assert set(asked(nms_iou=0.2)) == {16} and set(asked()) == {8, 16}
    assert set(asked(min_area=100)) == {16}


def test_the_crop_decides_what_is_seen(make, make_step):
    plain, masked = make(crop="box", margin=0.5), make(margin=0.5)
    step = make_step(marks=[(0, 0, 224, 224, 255)])
    for method in (plain, masked):
        list(method.segment_steps([step]))
    assert min(crop.min() for crop in plain.filter.crops) == 255 > min(crop.min() for crop in masked.filter.crops)


def test_reasons(make, make_step):
    (result,) = make(pred_iou=0.99).segment_steps([make_step(marks=MARKS)])
    assert result.reason == "no mask of the grid is good enough to be looked at" and np.isnan(result.score)
    (result,) = make(crop="box").segment_steps([make_step()])
    assert result.reason == "nothing agrees with the sound: best cosine 0.00, below 0.70" and result.score == 0


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"crop": "round"}, "crop must be one of box, masked, surround, got 'round'; change it."),
        ({"nms_iou": 2}, "nms_iou must be a number between 0 and 1, got 2; the paper uses 0.5."),
        ({"pred_iou": "high"}, "pred_iou must be a number between 0 and 1, got 'high'; change it."),
        ({"stability": -1}, "stability must be a number between 0 and 1, got -1; change it."),
        ({"points_per_side": 129}, "points_per_side must be a whole number between 1 and 128, got 129; change it."),
        ({"min_area": -1}, "min_area must be a whole number of at least 0, got -1; change it."),
        ({"bind_threshold": 1.1}, "bind_threshold must be a number between -1 and 1, got 1.1; the paper uses 0.7."),
    ],
)
def test_ranges(settings, line):
    with pytest.raises(InputError) as caught:
        SamBindConfig(**settings)
    assert str(caught.value) == line
