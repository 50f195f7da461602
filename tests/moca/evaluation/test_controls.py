"""The same clips with other sound."""

import numpy as np
import pytest

from moca.errors import InputError
from moca.evaluation import CONTROLS, muted, swap_all, swapped


def test_muted_keeps_everything_but_the_sound(world):
    clip = world.clips()[1]
    for plain, silent in zip(clip.steps(), muted(clip).steps(), strict=True):
        assert plain.audio.any() and not silent.audio.any() and silent.audio.shape == plain.audio.shape
        assert np.array_equal(plain.frame, silent.frame) and plain.frame_s == silent.frame_s
    assert muted(clip).name == clip.name and muted(clip).fingerprint() != clip.fingerprint()


def test_swapped_hears_the_other_clip(world):
    one, two = world.clips()[:2]
    assert [step.audio[0] for step in swapped(one, two).steps()] == [step.audio[0] for step in two.steps()]
    assert len({swapped(one, two).fingerprint(), one.fingerprint(), two.fingerprint()}) == 3


@pytest.mark.parametrize("categories", ["aabbcc", "abcabcabc", "aaab", "abbb", "", "aaaaa", "ab", "abccccc"])
def test_swapping_never_gives_a_clip_its_own_sound_and_leaves_the_category_where_it_can(world, categories):
    own = [world.FakeClip(f"c{i}", 0.1, category=c) for i, c in enumerate(categories or "    ")]
    pairs = swap_all(own)
    assert [pair.clip for pair in pairs] == own and swap_all(own) == pairs
    assert {pair.donor.name for pair in pairs} == {clip.name for clip in own}
    assert all(pair.clip.name != pair.donor.name for pair in pairs)
    kept = sum(pair.category == pair.donor.category for pair in pairs)
    largest = max(categories.count(c) for c in categories) if categories else 4
    assert kept == max(0, 2 * largest - len(own))  # no pairing can keep fewer


def test_one_clip_cannot_be_swapped(world):
    with pytest.raises(InputError) as refusal:
        swap_all(world.clips(1))
    assert str(refusal.value) == "the swapped control needs at least 2 clips, got 1; evaluate more clips."


def test_a_control_has_its_clips_boxes_and_nothing_it_lacks(world):
    clip = world.clips()[0]
    with pytest.raises(AttributeError):
        _ = muted(clip).boxes
    boxed = type("Boxed", (), {"boxes": ((0, 0, 1, 1),)})()
    assert muted(boxed).boxes == ((0, 0, 1, 1),)


def test_the_controls_offered():
    assert list(CONTROLS) == ["muted", "swapped"]
