"""Pairs of a frame and a sound: what is shown with what."""

import numpy as np
import pytest

from moca.calibration.pairs import MATCHING, NOISE, SILENT, SWAPPED, content_print, pairs_of, steps_of
from moca.corpus.corpus import corpus_from_arrays
from moca.segmentation.gate import why_silent


@pytest.fixture
def corpus():
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    return corpus_from_arrays(frames, generator.integers(-9000, 9000, (10, 16_000), dtype=np.int16))


def test_steps_hold_a_rows_frame_and_sound_or_anothers(corpus):
    rows, heard = np.array([3, 7, 7]), np.array([9, 3, 7])
    for steps, sounds in ((steps_of(corpus, rows), rows), (steps_of(corpus, rows, heard=heard), heard)):
        assert [step.index for step in steps] == [0, 1, 2]
        assert [(step.start_s, step.frame_s, step.end_s) for step in steps] == [(0, 0.5, 1), (1, 1.5, 2), (2, 2.5, 3)]
        for step, row, sound in zip(steps, rows, sounds, strict=True):
            np.testing.assert_array_equal(step.frame, corpus.frames[row])
            np.testing.assert_array_equal(step.audio, corpus.sound(int(sound)))
            assert step.sample_rate_hz == 16_000 and step.audio.dtype == np.float32
    assert steps_of(corpus, np.empty(0, int)) == []


def test_every_kind_has_its_sound(make_step):
    steps, donors = [make_step(index) for index in range(3)], [make_step(index, seed=1) for index in (7, 8)]
    pairs = pairs_of(steps, donors, name="clip")
    assert {kind: len(some) for kind, some in pairs.items()} == {MATCHING: 3, NOISE: 3, SILENT: 1, SWAPPED: 3}
    assert pairs[MATCHING] == steps
    for kind in (NOISE, SWAPPED):
        for step, pair in zip(steps, pairs[kind], strict=True):
            assert pair.frame is step.frame and not np.allclose(pair.audio, step.audio)
    heard = [donor.audio for donor in (donors[0], donors[1], donors[0])]
    assert all(np.array_equal(pair.audio, sound) for pair, sound in zip(pairs[SWAPPED], heard, strict=True))
    assert why_silent(pairs[SILENT][0], -120.0) == "silent: digital silence, below -120 dBFS"
    assert all(why_silent(pair, -60.0) is None for pair in pairs[NOISE])


def test_the_first_video_has_nobodys_sound(make_step):
    assert SWAPPED not in pairs_of([make_step()], [], name="clip")


def test_noise_belongs_to_the_video_the_step_and_the_seed(make_step):
    def noise(name="a", seed=0, index=0):
        return pairs_of([make_step(index)], [], name=name, seed=seed)[NOISE][0].audio

    assert np.array_equal(noise(), noise())
    for other in (noise(name="b"), noise(seed=1), noise(index=1)):
        assert not np.allclose(other, noise())


def test_the_print_stands_for_frames_and_sounds(make_step):
    own = content_print([make_step(0), make_step(1)])
    assert own == content_print([make_step(0), make_step(1)]) and len(own) == 16
    others = [[make_step(0)], [make_step(1), make_step(0)], [make_step(0), make_step(1, seed=4)], []]
    assert len({own, *map(content_print, others)}) == 5
