"""sample_frame: determinism, what each kind promises, refusals."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from moca.errors import InputError
from moca.stage import CLASSES, KINDS, derive_seed, sample_frame
from moca.stage.seeds import generator

SIZE = 64


def digest(frame) -> str:
    parts = [frame.frame, frame.audio, frame.mask, *(item.mask for item in frame.objects)]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_has_its_layout_and_range(kind):
    drawn = sample_frame(5, kind)
    assert (drawn.frame.shape, drawn.frame.dtype) == ((112, 112, 3), np.uint8)
    assert (drawn.audio.shape, drawn.audio.dtype) == ((16_000,), np.float32)
    assert (drawn.mask.shape, drawn.mask.dtype) == ((112, 112), np.uint8)
    assert np.abs(drawn.audio).max() <= 0.981
    assert set(np.unique(drawn.mask)) <= {0, 1}


def test_equal_seeds_give_equal_bytes_whatever_was_drawn_before():
    alone = digest(sample_frame(7, "ms3", SIZE))
    np.random.seed(0)  # the global state is not looked at
    others = {digest(sample_frame(seed, "ms3", SIZE)) for seed in range(7)}
    assert digest(sample_frame(7, "ms3", SIZE)) == alone
    assert len(others | {alone}) == 8  # could have differed


def test_another_process_draws_the_same_bytes_in_another_order():
    program = (
        "import hashlib, sys\n"
        "from moca.stage import sample_frame\n"
        "for seed in (3, 2, 1):\n"
        "    f = sample_frame(seed, 's4', 64)\n"
        "    parts = [f.frame, f.audio, f.mask, *(item.mask for item in f.objects)]\n"
        "    print(seed, hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest())\n"
        "assert 'torch' not in sys.modules\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    there = dict(line.split() for line in told.splitlines())
    assert there == {str(seed): digest(sample_frame(seed, "s4", SIZE)) for seed in (1, 2, 3)}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_keep_their_promises(kind):
    shown_counts, sounding_counts = set(), set()
    for seed in range(40):
        drawn = sample_frame(seed, kind, SIZE)
        names = [item.name for item in drawn.objects]
        sounding = [item for item in drawn.objects if item.sounding]
        assert len(set(names)) == len(names)
        shown_counts.add(len(names))
        sounding_counts.add(len(sounding))
        for item in sounding:
            assert 0.025 <= item.mask.mean() <= 0.35
        union = np.zeros((SIZE, SIZE), np.uint8)
        for item in sounding:
            union |= item.mask
        np.testing.assert_array_equal(drawn.mask, union)
        assert sum(item.mask.astype(int) for item in drawn.objects).max() <= 1  # a pixel has one owner
        if kind == "offscreen":
            assert len(drawn.heard) == 1 and drawn.heard[0] not in names
        else:
            assert set(drawn.heard) == {item.name for item in sounding}
    expected = {
        "single": ({1}, {1}),
        "s4": ({1, 2, 3}, {1}),
        "ms3": ({2, 3}, {1, 2, 3}),
    }.get(kind, ({1, 2, 3}, {0}))
    assert (shown_counts, sounding_counts) == expected


@pytest.mark.parametrize("kind", ["silent", "offscreen", "noise"])
def test_kinds_without_a_visible_source_have_empty_masks_and_objects_all_the_same(kind):
    drawn = [sample_frame(seed, kind, SIZE) for seed in range(20)]
    assert not any(frame.mask.any() for frame in drawn)
    assert all(item.mask.any() for frame in drawn for item in frame.objects)


def test_silence_is_digital_or_faint_and_noise_is_loud():
    def level_db(kind, seed):
        audio = sample_frame(seed, kind, 32).audio.astype(float)
        return 10 * np.log10(np.mean(audio**2) + 1e-30)

    silent = [level_db("silent", seed) for seed in range(20)]
    assert -300 in np.round(silent)  # digital
    assert any(-90 < level < -55 for level in silent)  # faint
    assert max(silent) < -55
    assert min(level_db("noise", seed) for seed in range(20)) > -31


def test_lead_decides_who_sounds():
    for name in CLASSES:
        assert sample_frame(1, "s4", 32, lead=name).heard == (name,)
        assert sample_frame(1, "offscreen", 32, lead=name).heard == (name,)
        assert name in [item.name for item in sample_frame(1, "silent", 32, lead=name).objects]


def test_seeds_of_splits_kinds_and_places_are_all_different():
    seeds = {
        derive_seed(seed, split, kind, index)
        for seed in (0, 1)
        for split in ("train", "val", "test")
        for kind in KINDS
        for index in range(50)
    }
    assert len(seeds) == 2 * 3 * len(KINDS) * 50


def test_labels_give_independent_streams():
    assert generator(1, "a").random() == generator(1, "a").random()
    assert generator(1, "a").random() != generator(1, "b").random()
    assert generator(1, "a", 0).random() != generator(1, "a", 1).random()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (0, "solo"),
            {},
            "kind must be one of single, s4, ms3, silent, offscreen, noise, got 'solo'; choose one of these.",
        ),
        ((-1, "s4"), {}, "seed must be an integer of at least 0, got -1; pass for example 0."),
        ((0.5, "s4"), {}, "seed must be an integer of at least 0, got 0.5; pass for example 0."),
        ((0, "s4", 16), {}, "size must be from 32 to 2048 pixels, got 16; choose for example 224."),
        (
            (0, "s4"),
            {"lead": "cow"},
            f"lead must be one of {', '.join(CLASSES)}, got 'cow'; choose one of these.",
        ),
    ],
)
def test_refusals(arguments, options, message):
    with pytest.raises(InputError) as caught:
        sample_frame(*arguments, **options)
    assert str(caught.value) == message
