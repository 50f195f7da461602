"""Labels asked of the sound, and segments painted as class numbers."""

from dataclasses import replace

import numpy as np
import pytest

from moca.core.step import Segment, StepResult
from moca.data.avss_words import AVSS_WORDS
from moca.errors import InputError
from moca.output.records import StoredSteps, step_record
from moca.segmentation.labelling import TagLabeller, label_map, labeller_for, words_for
from moca.stage import CLASSES, derive_seed, sample_frame

LABELS = ("Speech", "Dog", "Bark", "Violin, fiddle", "Animal")
WORDS = {"man": ("Speech",), "dog": ("Dog", "Bark", "Animal"), "violin": ("Violin, fiddle",), "cat": ("Animal",)}
NAMES = {"background": 0, "man": 1, "dog": 2, "violin": 3}


class FakeTagger:
    """The first samples of a sound are the probabilities of its tags."""

    labels = LABELS

    def __init__(self):
        self.heard = []

    def tag(self, waves, *, sample_rate_hz):
        self.heard += [(len(wave), sample_rate_hz) for wave in waves]
        return np.stack([wave[: len(LABELS)] for wave in waves]).astype(np.float32)


def sound(*probabilities, samples=16_000):
    wave = np.zeros(samples, np.float32)
    wave[: len(probabilities)] = probabilities
    return wave


def area(rows, columns, size=(8, 10)):
    mask = np.zeros(size, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def result_of(*segments, size=(8, 10)):
    mask = np.zeros(size, bool)
    for segment in segments:
        mask |= segment.mask
    return StepResult(
        index=0, start_s=0.0, end_s=1.0, frame_s=0.5, mask=mask, heat=mask.astype(np.float32), score=0.5,
        level_dbfs=-20.0, segments=segments, reason=None if segments else "silent",
    )  # fmt: skip


LEFT, RIGHT = area((0, 8), (0, 3)), area((0, 8), (6, 10))


def labels_of(result):
    return [segment.label for segment in result.segments]


def test_all_segments_of_a_step_have_the_class_of_the_most_probable_tag(make_step):
    result = result_of(Segment(mask=LEFT, score=0.9), Segment(mask=RIGHT, score=0.4))
    labeller = TagLabeller(FakeTagger(), WORDS)
    assert labels_of(labeller.label(make_step(audio=sound(0.2, 0.1, 0.7, 0.6)), result)) == ["dog", "dog"]
    assert labels_of(labeller.label(make_step(audio=sound(0.2, 0.1, 0.5, 0.6)), result)) == ["violin", "violin"]
    assert labels_of(labeller.label(make_step(audio=sound(0, 0, 0, 0, 0.5)), result)) == ["dog", "dog"]  # a tie
    assert labels_of(result) == [None, None]


def test_labels_change_and_nothing_else(make_step):
    result = result_of(Segment(mask=LEFT, score=0.9))
    found = TagLabeller(FakeTagger(), WORDS).label(make_step(audio=sound(0.9)), result)
    assert labels_of(found) == ["man"] and found.segments[0].mask is LEFT and found.segments[0].score == 0.9
    assert found.mask is result.mask and found.heat is result.heat


def test_a_methods_own_label_counts_where_it_names_a_class(make_step):
    tagger = FakeTagger()
    labeller = TagLabeller(tagger, {**WORDS, "frying-food": ("Speech",)})
    own = ("bark", "Violin, fiddle", "DOG", "Frying food", "animal", "wind", None)
    result = result_of(*(Segment(mask=LEFT, score=0.5, label=label) for label in own))
    named = ["dog", "violin", "dog", "frying-food"]
    assert labels_of(labeller.named(result)) == [*named, None, None, None]  # "animal" may be a dog or a cat
    assert tagger.heard == []
    found = labeller.label(make_step(audio=sound(0, 0.1, 0, 0.8)), result)
    assert labels_of(found) == [*named, "violin", "violin", "violin"]


def test_nothing_is_heard_where_nothing_needs_a_label(make_step):
    tagger = FakeTagger()
    labeller = TagLabeller(tagger, WORDS)
    labelled = result_of(Segment(mask=LEFT, score=0.5, label="dog"))
    assert labels_of(labeller.label(make_step(audio=sound(0.9)), labelled)) == ["dog"]
    assert labels_of(labeller.label(make_step(audio=sound(0.9)), result_of())) == []
    assert labels_of(labeller.label(make_step(audio=None), result_of(Segment(mask=LEFT, score=0.5)))) == [None]
    assert tagger.heard == []


def test_a_sound_shorter_than_a_window_is_padded(make_step):
    tagger = FakeTagger()
    step = make_step(audio=sound(0, 0, 0, 0.8, samples=9))
    assert labels_of(TagLabeller(tagger, WORDS).label(step, result_of(Segment(mask=LEFT, score=1.0)))) == ["violin"]
    assert tagger.heard == [(400, 16_000)]


def test_it_says_how():
    assert TagLabeller(FakeTagger(), WORDS).how == (
        "labels: a segment the method gives no label has the class whose tag the audio tagger finds most probable in "
        "the step's sound, of 4 classes; all such segments of a step share it"
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"dog": ("Dog",), "wolf": ()}, "class 'wolf' has none"),
        ({"dog": ("Dog", "Howl", "Yip")}, "class 'dog' has 'Howl', 'Yip', which it does not know"),
    ],
)
def test_words_that_the_tagger_does_not_know_are_refused(words, found):
    with pytest.raises(InputError) as caught:
        TagLabeller(FakeTagger(), words)
    assert str(caught.value) == (
        f"every class must have at least 1 tag, all known to the tagger, {found}; "
        "its 5 tags begin with 'Speech', 'Dog', 'Bark'."
    )


def test_words_are_the_tags_own_names_or_audiosets():
    assert words_for(("bell", "frog"), ("frog", "bell")) == {"bell": ("bell",), "frog": ("frog",)}
    audioset = tuple(tag for tags in AVSS_WORDS.values() for tag in tags)
    assert words_for(tuple(AVSS_WORDS), audioset) == AVSS_WORDS
    with pytest.raises(InputError) as caught:
        words_for(("dog", "unheard", "cat"), ("Dog", "Bark", "Cat", "Meow", "Purr", "Caterwaul"))
    assert str(caught.value) == (
        "the tagger must have a tag for every class, it has none for 2 of 3 (dog, unheard); take a tagger that knows "
        "them (ast knows AVSS's classes, mini Soundstage's)."
    )


def test_the_small_tagger_names_what_sounds_in_soundstage(make_step):
    labeller = labeller_for(("background", *CLASSES), "mini", device="cpu")
    frames = [sample_frame(derive_seed(11, "test", "labels", n), "single", 32) for n in range(20)]
    found = [labeller.heard(frame.audio, 16_000) for frame in frames]
    assert sum(name == frame.heard[0] for name, frame in zip(found, frames, strict=True)) >= 15


def test_a_map_has_the_number_of_every_segment():
    result = result_of(Segment(mask=LEFT, score=0.4, label="dog"), Segment(mask=RIGHT, score=0.9, label="violin"))
    found = label_map(result, NAMES)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, 2 * LEFT + 3 * RIGHT)
    assert not label_map(result_of(), NAMES).any()


def test_where_two_objects_overlap_the_better_is_seen():
    low, high = area((0, 8), (0, 6)), area((0, 8), (4, 10))
    assert (low & high).sum() / (low | high).sum() < 0.3
    segments = Segment(mask=low, score=0.4, label="dog"), Segment(mask=high, score=0.6, label="man")
    np.testing.assert_array_equal(label_map(result_of(*segments), NAMES), np.where(high, 1, 2 * low))
    turned = [replace(segments[0], score=0.8), segments[1]]
    np.testing.assert_array_equal(label_map(result_of(*turned), NAMES), np.where(low, 2, 1 * high))


def test_masks_are_one_object_from_an_iou_of_three_tenths():
    best = area((0, 1), (0, 10))
    part, other = area((0, 1), (0, 3)), area((0, 1), (8, 10))
    assert part.sum() / best.sum() == 0.3 > other.sum() / best.sum()
    leader = Segment(mask=best, score=0.5, label="dog")
    for mask, score, wanted in ((part, 0.4, 2), (part, 0.9, 1), (other, 0.9, None)):
        found = label_map(result_of(leader, Segment(mask=mask, score=score, label="man")), NAMES)
        if wanted is not None:
            np.testing.assert_array_equal(found, wanted * best)  # the union, with the better one's label
        else:
            np.testing.assert_array_equal(found, np.where(mask, 1, 2 * best))  # apart


def test_an_object_takes_the_label_of_its_best_segment_that_has_one():
    segments = [
        Segment(mask=LEFT, score=0.9, label=None),
        Segment(mask=LEFT, score=0.8, label="unknown to the data set"),
        Segment(mask=LEFT, score=0.7, label="violin"),
        Segment(mask=LEFT, score=0.6, label="dog"),
        Segment(mask=RIGHT, score=0.5, label=None),
    ]
    np.testing.assert_array_equal(label_map(result_of(*segments), NAMES), 3 * LEFT)


def test_a_label_is_stored_and_read_back(tmp_path):
    result = result_of(Segment(mask=LEFT, score=0.4, label="dog"), Segment(mask=RIGHT, score=0.9))
    record = step_record(result)
    assert [segment["label"] for segment in record["segments"]] == ["dog", None]
    from moca.stage.storing import write_image

    (tmp_path / "masks").mkdir()
    write_image(tmp_path / record["mask"], result.mask.astype(np.uint8) * 255)
    assert labels_of(StoredSteps(tmp_path, [record]).load(record)) == ["dog", None]
    for segment in record["segments"]:
        del segment["label"]  # as written before there were labels
    assert labels_of(StoredSteps(tmp_path, [record]).load(record)) == [None, None]
