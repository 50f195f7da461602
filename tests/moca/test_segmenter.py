import dataclasses
from itertools import count, islice

import numpy as np
import pytest
import torch

from moca.segmenter import Segmenter
from moca.segmenting import SegmentConfig


def test_every_step_gets_a_result_in_order_whatever_the_batch(pipeline, make_step):
    steps = [make_step(index, audio="silence" if index in (1, 4) else "tone") for index in range(7)]
    one = list(Segmenter(pipeline, batch_steps=1).segment_steps(steps))
    many = list(Segmenter(pipeline, batch_steps=4).segment_steps(steps))
    assert [result.index for result in many] == list(range(7))
    for a, b in zip(one, many, strict=True):
        assert a.mask.shape == (24, 40) and a.mask.dtype == bool
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_allclose(a.heat, b.heat, atol=1e-5)
        assert a.reason == b.reason
    assert many[0].mask.any() and many[0].reason is None
    assert not many[1].mask.any() and many[1].reason == "silent: digital silence, below -60 dBFS"


def test_memory_is_bounded_steps_are_pulled_batch_by_batch(pipeline, make_step):
    pulled = []

    def endless():
        for index in count():
            pulled.append(index)
            yield make_step(index)

    results = list(islice(Segmenter(pipeline, batch_steps=3).segment_steps(endless()), 4))
    assert len(results) == 4 and len(pulled) == 6


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (None, "no audio in this step"),
        (np.zeros(16_000), "silent: digital silence, below -60 dBFS"),
        (np.full(16_000, 0.4), "silent: digital silence, below -60 dBFS"),
        (1e-4 * np.sin(np.arange(16_000)), "silent: -83 dBFS, below -60 dBFS"),
        (np.ones(100), "less than 50 ms of audio"),
    ],
)
def test_nothing_to_hear_gives_an_empty_mask_and_says_why(pipeline, audio, reason, make_step):
    (result,) = Segmenter(pipeline).segment_steps([make_step(audio=audio)])
    assert result.reason == reason
    assert not result.mask.any() and not result.heat.any() and result.segments == ()
    assert np.isnan(result.score)


def test_the_gate_closes_on_unsupported_sound(pipeline, make_step):
    config = dataclasses.replace(pipeline.segment, gate=1.0)
    (closed,) = Segmenter(pipeline, config=config).segment_steps([make_step()])
    (opened,) = Segmenter(pipeline).segment_steps([make_step()])
    assert closed.score == opened.score
    assert closed.reason == f"no region supports the sound: score {closed.score:.2f}, below 1.00"
    assert not closed.mask.any() and opened.mask.any()


def test_segments_are_disjoint_and_make_up_the_mask(pipeline, make_step):
    config = SegmentConfig(gate=-1.0, clusters=6, sounding="ratio", ratio=0.01)
    for result in Segmenter(pipeline, config=config).segment_steps([make_step(i) for i in range(5)]):
        total = sum(segment.mask.astype(int) for segment in result.segments)
        assert total.max() == 1
        np.testing.assert_array_equal(total > 0, result.mask)


def test_sound_decides_when_adapters_are_not_at_zero(pipeline, randomise, make_step):
    def patches(steps):
        return Segmenter(pipeline).features(steps)[0]

    tone, other = make_step(0), make_step(0, audio=np.random.default_rng(0).normal(0, 0.2, 16_000))
    np.testing.assert_array_equal(patches([tone]), patches([other]))  # zero exit: the image alone
    randomise(pipeline.towers)
    assert not np.allclose(patches([tone]), patches([other]), atol=1e-3)


def test_zero_adapters_equal_the_frozen_encoder(pipeline, make_step):
    from moca.foundation.preprocessing import preprocess_frames

    step = make_step()
    with torch.no_grad():
        frozen = pipeline.encoder.embed_patches(preprocess_frames([step.frame], 32))
    np.testing.assert_array_equal(Segmenter(pipeline).features([step])[0].reshape(frozen.shape), frozen.numpy())


def test_a_shorter_last_step_is_heard_as_it_is(pipeline, make_step):
    short = make_step(1, audio=0.3 * np.sin(np.arange(5_000)))
    alone = list(Segmenter(pipeline).segment_steps([short]))
    among = list(Segmenter(pipeline).segment_steps([make_step(0), short]))
    np.testing.assert_allclose(alone[0].heat, among[1].heat, atol=1e-5)


def test_settings_name_what_the_result_depends_on(pipeline):
    settings = Segmenter(pipeline).settings
    assert settings["model"] == "tiny" and settings["segment"]["clusters"] == 4
    assert len(settings["fingerprints"]["encoder"]) == 16


def test_mirroring_gives_a_mirrored_frame_the_mirrored_features(pipeline, make_step):
    step = make_step()
    other = dataclasses.replace(step, frame=step.frame[:, ::-1])
    plain = Segmenter(pipeline)
    both = Segmenter(pipeline, config=dataclasses.replace(pipeline.segment, mirror=True))
    for segmenter, same in ((both, True), (plain, False)):
        (a, _), (b, _) = segmenter.features([step]), segmenter.features([other])
        assert np.allclose(a, b[:, :, ::-1], atol=1e-3) == same
    np.testing.assert_allclose(np.linalg.norm(both.features([step])[0], axis=-1), 1, atol=1e-5)
