import numpy as np
import pytest

from moca.baselines.at_gdino_sam import AtGdinoSam, AtGdinoSamConfig, padded, phrases_of
from moca.errors import InputError
from moca.foundation.roles import Boxes

LABELS = ("Violin, fiddle", "Dog", "Bark, dog", "Silence")


class FakeTags:
    """Hears what it is told to, and remembers the sounds."""

    labels = LABELS

    def __init__(self, *rows):
        self.rows, self.heard = np.array(rows, np.float32), []

    def tag(self, waves, *, sample_rate_hz):
        self.heard += list(waves)
        return self.rows[len(self.heard) - len(waves) : len(self.heard)]


class FakeWords:
    """One box of 0.6 a word, side by side, in the order of the words."""

    def __init__(self):
        self.asked, self.nms_iou = [], "never"

    def detect(self, frames, words, *, box_threshold, text_threshold, nms_iou):
        self.asked += [tuple(phrases) for phrases in words]
        self.nms_iou = nms_iou
        answers = []
        for phrases in words:
            chosen = phrases if box_threshold < 0.6 else ()
            xyxy = np.array([(40 * i, 10, 40 * i + 30, 50) for i in range(len(chosen))], np.float32).reshape(-1, 4)
            answers.append(Boxes(xyxy=xyxy, scores=np.full(len(chosen), 0.6, np.float32), labels=tuple(chosen)))
        return answers


@pytest.fixture
def make(fakes, card):
    _, masks, _ = fakes

    def build(*rows, **settings):
        config = AtGdinoSamConfig(**settings)
        return AtGdinoSam(config, card, tags=FakeTags(*rows), words=FakeWords(), masks=masks())

    return build


def test_tags_become_words_boxes_and_labelled_masks(make, make_step):
    method = make([0.6, 0.9, 0.2, 0.1])
    (result,) = method.segment_steps([make_step()])
    assert method.words.asked == [("dog", "violin", "fiddle")]
    assert [(segment.label, segment.score) for segment in result.segments] == [
        ("Dog", pytest.approx(0.9)), ("Violin, fiddle", pytest.approx(0.6)), ("Violin, fiddle", pytest.approx(0.6)),
    ]  # fmt: skip
    assert result.segments[0].mask[10:50, 0:30].all() and result.score == pytest.approx(0.9)
    assert result.heat[20, 5] == pytest.approx(0.9) and result.heat[20, 45] == pytest.approx(0.6)
    assert result.mask.sum() == 3 * 30 * 40


def test_each_step_is_asked_for_its_own_words(make, make_step):
    method = make([0.9, 0, 0, 0], [0, 0.9, 0, 0], [0, 0, 0, 0])
    first, second, third = method.segment_steps([make_step(i) for i in range(3)])
    assert method.words.asked == [("violin", "fiddle"), ("dog",), ()]
    assert (len(first.segments), len(second.segments), len(third.segments)) == (2, 1, 0)


def test_boxes_are_suppressed_where_it_is_asked_for(make, make_step):
    for iou in (None, 0.5):
        method = make([0.6, 0.9, 0.2, 0.1], box_nms_iou=iou)
        list(method.segment_steps([make_step()]))
        assert method.words.nms_iou == iou


def test_phrases_are_shared_by_the_more_probable_tag():
    assert phrases_of(np.array([0.1, 0.6, 0.8, 0.5]), LABELS, 0.5) == {"bark": 2, "dog": 2, "silence": 3}
    assert phrases_of(np.array([0.1, 0.9, 0.8, 0.4]), LABELS, 0.5) == {"dog": 1, "bark": 2}
    assert phrases_of(np.array([0.1, 0.2, 0.3, 0.4]), LABELS, 0.5) == {}


def test_short_sounds_are_padded_and_longer_ones_left(make, make_step):
    wave = np.ones(4000, np.float32) * np.sin(np.arange(4000) / 9).astype(np.float32)
    method = make([0.9, 0, 0, 0], [0.9, 0, 0, 0])
    list(method.segment_steps([make_step(0, audio=wave), make_step(1)]))
    short, whole = method.tags.heard
    assert short.size == 15_360 and not short[4000:].any() and whole.size == 16_000
    np.testing.assert_array_equal(short[:4000], wave)
    assert padded(wave, 0) is not None and padded(wave, 0).size == 4000
    unpadded = make([0.9, 0, 0, 0], pad_ms=0)
    list(unpadded.segment_steps([make_step(0, audio=wave)]))
    assert unpadded.tags.heard[0].size == 4000


def test_reasons(make, make_step):
    method = make([0.3, 0.31, 0.2, 0.1])
    (result,) = method.segment_steps([make_step()])
    assert result.reason == "no tag reaches 0.50: the most probable is Dog, 0.31"
    assert result.score == pytest.approx(0.31) and method.masks.encoded == 0
    (result,) = make([0.3, 0.9, 0.2, 0.1], box_threshold=0.7).segment_steps([make_step()])
    assert result.reason == "no box is above 0.70 for dog" and result.score == pytest.approx(0.9)
    (faint,) = make([0.3, 0.31, 0.2, 0.1], tag_threshold=0.3).segment_steps([make_step()])
    assert faint.reason is None


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"tag_threshold": 1.5}, "tag_threshold must be a number between 0 and 1, got 1.5; the paper uses 0.5."),
        ({"box_threshold": -1}, "box_threshold must be a number between 0 and 1, got -1; change it."),
        ({"text_threshold": "low"}, "text_threshold must be a number between 0 and 1, got 'low'; change it."),
        ({"box_nms_iou": 2}, "box_nms_iou must be a number between 0 and 1, or none, got 2; change it."),
        ({"pad_ms": -1}, "pad_ms must be a whole number between 0 and 60000, got -1; change it."),
    ],
)
def test_ranges(settings, line):
    with pytest.raises(InputError) as caught:
        AtGdinoSamConfig(**settings)
    assert str(caught.value) == line
