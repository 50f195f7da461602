"""Which blocks meet, for the released encoder, the paper's depths and every small case."""

import itertools

import pytest

from moca.adapters import AdapterError, Plan, make_plan


@pytest.mark.parametrize(
    ("placement", "image", "audio"),
    [
        ("last", (26, 27, 28, 29, 30, 31), (6, 7, 8, 9, 10, 11)),
        ("first", (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5)),
        ("interleaved", (4, 9, 15, 20, 25, 31), (1, 3, 5, 7, 9, 11)),
    ],
)
def test_six_blocks_of_imagebind_huge(placement, image, audio):
    assert make_plan(placement, 6, image_depth=32, audio_depth=12) == Plan(image, audio)


@pytest.mark.parametrize(
    ("placement", "image"),
    [
        ("last", (6, 7, 8, 9, 10, 11)),
        ("first", (0, 1, 2, 3, 4, 5)),
        ("interleaved", (1, 3, 5, 7, 9, 11)),
    ],
)
def test_the_depths_the_paper_states(placement, image):
    assert make_plan(placement, 6, image_depth=12, audio_depth=6) == Plan(image, (0, 1, 2, 3, 4, 5))


def test_more_adapters_than_audio_blocks_repeats_them_in_order():
    assert make_plan("last", 5, image_depth=5, audio_depth=3).audio_blocks == (0, 0, 1, 1, 2)
    assert make_plan("first", 4, image_depth=5, audio_depth=1).audio_blocks == (0, 0, 0, 0)


@pytest.mark.parametrize("placement", ["last", "first", "interleaved"])
def test_laws_for_all_small_depths(placement):
    for image_depth, audio_depth in itertools.product(range(1, 9), repeat=2):
        for blocks in range(1, image_depth + 1):
            plan = make_plan(placement, blocks, image_depth, audio_depth)
            plan.check(image_depth, audio_depth)
            assert len(plan.image_blocks) == len(plan.audio_blocks) == blocks
            assert len(set(plan.image_blocks)) == blocks
            assert len(set(plan.audio_blocks)) == min(blocks, audio_depth)
            if placement != "first":
                assert plan.image_blocks[-1] == image_depth - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("middle", 2, 5, 3),
            "placement must be one of last, first, interleaved, got 'middle'; choose one of them.",
        ),
        (
            ("last", 6, 5, 3),
            "blocks must be between 1 and 5 for an image tower of 5 blocks, got 6; "
            "change the number of adapted blocks.",
        ),
        (
            ("last", 0, 5, 3),
            "blocks must be between 1 and 5 for an image tower of 5 blocks, got 0; "
            "change the number of adapted blocks.",
        ),
        (
            ("last", 1, 5, 0),
            "audio_depth must be a whole number of at least 1, got 0; give the tower's depth.",
        ),
    ],
)
def test_make_plan_refuses(arguments, message):
    with pytest.raises(AdapterError) as refusal:
        make_plan(*arguments)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("image", "audio", "message"),
    [
        (
            (),
            (),
            "a plan needs at least one image block and one audio block for each, got 0 and 0; "
            "pair every image block with an audio block.",
        ),
        (
            (1, 2),
            (1,),
            "a plan needs at least one image block and one audio block for each, got 2 and 1; "
            "pair every image block with an audio block.",
        ),
        ((2, 2), (0, 1), "image_blocks must rise strictly, got [2, 2]; sort them and drop repeats."),
        ((1, 2), (1, 0), "audio_blocks must never fall, got [1, 0]; sort them."),
        ((-1,), (0,), "blocks are whole numbers from 0, got [-1] and [0]; count from 0."),
        (3, (0,), "image_blocks must be a list of block numbers, got 3; give a list."),
    ],
)
def test_plan_refuses(image, audio, message):
    with pytest.raises(AdapterError) as refusal:
        Plan(image, audio)
    assert str(refusal.value) == message


def test_check_refuses_a_tower_without_the_block():
    with pytest.raises(AdapterError) as refusal:
        Plan((3, 5), (0, 1)).check(image_depth=5, audio_depth=3)
    assert str(refusal.value) == (
        "image_blocks must lie below 5 for an image tower of 5 blocks, got 5; make the plan for these towers."
    )
