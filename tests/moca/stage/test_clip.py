"""sample_clip: shapes, movement, timing of the sources, exactness of what it says about itself."""

import numpy as np
import pytest

from moca.errors import InputError
from moca.stage import StageConfig, sample_clip
from moca.stage.clip import _gate

SMALL = StageConfig(size=48, rate_hz=4)


def step_levels(clip) -> np.ndarray:
    return np.sqrt(np.mean(clip.audio.astype(float).reshape(clip.config.steps, -1) ** 2, axis=1))


@pytest.mark.parametrize("kind", ["s4", "ms3", "silent", "offscreen", "noise"])
def test_a_clip_has_its_layout(kind):
    clip = sample_clip(4, kind, SMALL)
    assert clip.frames.shape == (20, 48, 48, 3) and clip.frames.dtype == np.uint8
    assert clip.audio.shape == (80_000,) and clip.audio.dtype == np.float32
    assert clip.masks.shape == (5, 48, 48) and clip.masks.dtype == np.uint8
    assert clip.object_masks.shape == (5, len(clip.objects), 48, 48)
    np.testing.assert_array_equal(clip.frames_at, [3, 7, 11, 15, 19])
    np.testing.assert_allclose(clip.times_s, [0.75, 1.75, 2.75, 3.75, 4.75])
    assert np.abs(clip.audio).max() <= 0.981


def test_equal_seeds_give_equal_clips():
    first, again, other = (sample_clip(seed, "ms3", SMALL) for seed in (2, 2, 3))
    for name in ("frames", "audio", "masks", "object_masks"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.frames, other.frames)


def test_masks_are_the_union_of_the_objects_that_sound_in_the_step():
    for seed in range(8):
        clip = sample_clip(seed, "ms3", SMALL)
        for step, names in enumerate(clip.sounding):
            union = np.zeros((48, 48), np.uint8)
            for name in names:
                own = clip.object_masks[step, clip.objects.index(name)]
                assert 0.025 <= own.mean() <= 0.35
                union |= own
            np.testing.assert_array_equal(clip.masks[step], union)


def test_objects_move_smoothly():
    moved = []
    for seed in range(6):
        clip = sample_clip(seed, "s4", SMALL)
        rows, columns = np.mgrid[:48, :48]
        for own in clip.object_masks.transpose(1, 0, 2, 3).astype(float):
            path = np.stack([(own * axis).sum((1, 2)) / own.sum((1, 2)) for axis in (rows, columns)], axis=1)
            moved.append(np.linalg.norm(np.diff(path, axis=0), axis=1))
    assert np.max(moved) < 0.2 * 48
    assert np.mean(moved) > 0.1


def test_a_single_source_sounds_first_and_most_and_is_heard_only_then():
    on = []
    for seed in range(25):
        clip = sample_clip(seed, "s4", SMALL)
        sounding = np.array([bool(names) for names in clip.sounding])
        assert sounding[0]
        levels = step_levels(clip)
        if not sounding.all():
            assert levels[~sounding].max() < 0.35 * levels[sounding].max()
        assert (clip.masks.any(axis=(1, 2)) == sounding).all()
        on.append(sounding)
    assert 0.75 < np.mean(on) < 1


def test_sources_of_a_mixture_start_and_stop():
    sets = [clip.sounding for clip in (sample_clip(seed, "ms3", SMALL) for seed in range(12))]
    assert any(len(set(steps)) > 1 for steps in sets)
    assert any(len(names) > 1 for steps in sets for names in steps)


@pytest.mark.parametrize("kind", ["silent", "offscreen", "noise"])
def test_clips_without_a_visible_source_have_empty_masks(kind):
    clip = sample_clip(1, kind, SMALL)
    assert not clip.masks.any()
    assert clip.object_masks.any(axis=(2, 3)).all()
    assert clip.sounding == ((),) * 5
    assert any(clip.heard) == (kind == "offscreen")
    assert not set(clip.objects) & {name for names in clip.heard for name in names}


def test_gate_fades_inside_the_steps_that_are_on():
    gain = _gate(np.array([False, True, True, False]))
    assert not gain[:16_000].any() and not gain[48_000:].any()
    assert gain[16_000] == 0 and gain[47_999] == 0
    np.testing.assert_array_equal(gain[16_320:47_680], 1)
    np.testing.assert_array_equal(_gate(np.array([True, True])), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 31}, "size must be from 32 to 2048 pixels, got 31; choose for example 224."),
        ({"rate_hz": 0}, "rate_hz must be from 1 to 60 frames per second, got 0; choose for example 8."),
        ({"steps": 61}, "steps must be from 1 to 60 seconds, got 61; choose for example 5."),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError) as caught:
        StageConfig(**options)
    assert str(caught.value) == message
