import numpy as np
import pytest

from moca.baselines.owod_bind import OwodBind, OwodBindConfig
from moca.errors import InputError

BRIGHT, GREY = (20, 20, 80, 90), (120, 120, 200, 210)
MARKS = [(*BRIGHT, 230), (*GREY, 140)]


@pytest.fixture
def make(fakes, card):
    """Factory of a method that finds two boxes, of objectness 0.9 and 0.6, and prefers bright ones."""
    objects, masks, bright = fakes

    def build(boxes=(BRIGHT, GREY), scores=(0.9, 0.6), **settings):
        config = OwodBindConfig(**settings)
        method = OwodBind(config, card, encoder=_Nothing(), objects=objects(boxes, scores), masks=masks())
        method.filter = bright()
        return method

    return build


class _Nothing:
    """In place of an encoder that is not asked."""

    def eval(self):
        return self

    def requires_grad_(self, _):
        return self


def test_boxes_that_agree_become_masks(make, make_step):
    (result,) = make().segment_steps([make_step(marks=MARKS)])
    x0, y0, x1, y1 = BRIGHT
    expected = np.zeros((224, 224), bool)
    expected[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(result.mask, expected)
    assert result.score == pytest.approx(230 / 255) and result.heat.max() == pytest.approx(230 / 255)
    assert [segment.score for segment in result.segments] == pytest.approx([230 / 255])
    (both,) = make(bind_threshold=0.5).segment_steps([make_step(marks=MARKS)])
    assert len(both.segments) == 2 and both.mask.sum() > result.mask.sum()


def test_a_box_below_the_objectness_is_never_asked_about(make, make_step):
    method = make(box_threshold=0.7, bind_threshold=0.0)
    (result,) = method.segment_steps([make_step(marks=MARKS)])
    assert len(method.filter.crops) == 1 and len(result.segments) == 1


def test_frames_are_looked_at_at_224_pixels(make, make_step):
    method = make()
    (result,) = method.segment_steps([make_step(size=(112, 448), marks=[(40, 10, 160, 45, 255)])])
    assert method.objects.seen == [(224, 224, 3)] and result.mask.shape == (112, 448)
    other = make(side=112)
    list(other.segment_steps([make_step()]))
    assert other.objects.seen == [(112, 112, 3)]


def test_reasons(make, make_step):
    (result,) = make(scores=(0.2, 0.1)).segment_steps([make_step(marks=MARKS)])
    assert result.reason == "no box reaches 0.50" and np.isnan(result.score)
    method = make(bind_threshold=0.95)
    (result,) = method.segment_steps([make_step(marks=MARKS)])
    assert result.reason == "nothing agrees with the sound: best cosine 0.90, below 0.95"
    assert result.score == pytest.approx(230 / 255) and not result.mask.any()
    assert method.masks.encoded == 0  # SAM is not run where nothing agrees


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"box_threshold": 1.5}, "box_threshold must be a number between 0 and 1, got 1.5; the paper uses 0.5."),
        ({"bind_threshold": -2}, "bind_threshold must be a number between -1 and 1, got -2; the paper uses 0.7."),
        (
            {"bind_threshold": float("nan")},
            "bind_threshold must be a number between -1 and 1, got nan; the paper uses 0.7.",
        ),
        ({"box_nms_iou": True}, "box_nms_iou must be a number between 0 and 1, got True; change it."),
        ({"margin": -0.1}, "margin must be a number between 0 and 1, got -0.1; change it."),
        ({"box_limit": 0}, "box_limit must be a whole number between 1 and 1000, got 0; change it."),
    ],
)
def test_ranges(settings, line):
    with pytest.raises(InputError) as caught:
        OwodBindConfig(**settings)
    assert str(caught.value) == line
