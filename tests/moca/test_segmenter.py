import dataclasses
from itertools import count, islice

import numpy as np
import pytest
import torch

from moca.adapters import AdaptedTowers
from moca.core.maps import resize_maps
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.roles import Boxes, Masks
from moca.segmentation.config import ProposalConfig, SegmentConfig
from moca.segmentation.gate import support
from moca.segmentation.proposals import Proposer
from moca.segmenter import Segmenter


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


@pytest.fixture
def reading_out(pipeline, randomise):
    """The pipeline with adapters that have a read-out, none of them at zero."""
    encoder, plan, config = pipeline.encoder, pipeline.towers.plan, pipeline.towers.config
    towers = AdaptedTowers(encoder.image_tower, encoder.audio_tower, plan, config, readout=8)
    return dataclasses.replace(pipeline, towers=randomise(towers), adapted=True)


@pytest.mark.parametrize("mirror", [False, True])
def test_the_read_out_takes_the_place_of_the_cosine(reading_out, make_step, mirror):
    config = dataclasses.replace(reading_out.segment, mirror=mirror)
    patches, agreement = Segmenter(reading_out, config=config).features([make_step(0), make_step(1)])
    weight, bias = reading_out.towers.readout.detach().numpy()[:-1], reading_out.towers.readout[-1].item()
    expected = 1 / (1 + np.exp(-(10 * (patches @ weight) + bias)))
    np.testing.assert_allclose(agreement, expected, atol=1e-5)
    assert agreement.min() >= 0 and agreement.max() <= 1 and agreement.std() > 0.01


@pytest.mark.parametrize("pooling", ["dense", "class"])
def test_frozen_presence_is_read_as_the_encoder_was_trained(pipeline, reading_out, make_step, monkeypatch, pooling):
    for encoder in (pipeline.encoder, reading_out.encoder):
        monkeypatch.setattr(encoder, "config", dataclasses.replace(encoder.config, pooling=pooling))
    steps = [make_step(0), make_step(1)]
    frozen, segmenter = Segmenter(pipeline), Segmenter(reading_out)
    if pooling == "dense":
        wanted = [support(cosines) for cosines in frozen.features(steps)[1]]
    else:
        (view,), context = frozen._enter(steps)
        encoder, towers = pipeline.encoder, pipeline.towers
        pictures = encoder.class_direction(towers.suffix(view, context))
        wanted = (pictures * encoder.audio_direction(context.tokens)).sum(-1).tolist()
    assert segmenter.frozen_presence(steps) == pytest.approx(wanted, abs=1e-6)
    assert segmenter.features(steps)[1] != pytest.approx(frozen.features(steps)[1], abs=1e-2)


def test_frozen_presence_is_the_mean_over_the_frame_and_its_mirror_image(reading_out, make_step):
    step = make_step(0)
    mirrored = dataclasses.replace(step, frame=np.ascontiguousarray(step.frame[:, ::-1]))
    plain, other = Segmenter(reading_out).frozen_presence([step, mirrored])
    config = dataclasses.replace(reading_out.segment, mirror=True)
    both = Segmenter(reading_out, config=config).frozen_presence([step])
    assert both == pytest.approx((plain + other) / 2, abs=1e-5) and plain != pytest.approx(other, abs=1e-5)


def test_the_frozen_gate_closes_on_what_the_frozen_encoder_does_not_see(reading_out, make_step):
    steps = [make_step(index) for index in range(6)]
    found = Segmenter(reading_out).frozen_presence(steps)
    gate = float(np.median(found))
    config = dataclasses.replace(reading_out.segment, gate_frozen=gate)
    results = list(Segmenter(reading_out, config=config, batch_steps=4).segment_steps(steps))
    before = list(Segmenter(reading_out, batch_steps=4).segment_steps(steps))
    for result, opened, frozen in zip(results, before, found, strict=True):
        assert result.score == opened.score
        if frozen < gate:
            assert result.reason == f"nothing in the picture goes with the sound: {frozen:.2f}, below {gate:.2f}"
            assert not result.mask.any() and not result.heat.any() and opened.mask.any()
        else:
            np.testing.assert_array_equal(result.mask, opened.mask)
    assert 0 < sum(result.reason is not None for result in results) < 6


def test_a_level_of_the_read_out_makes_the_mask(reading_out, make_step):
    step = make_step()
    _, agreement = Segmenter(reading_out).features([step])
    level = float(np.median(agreement))
    config = SegmentConfig(gate=-1.0, sounding="level", level=level)
    (result,) = Segmenter(reading_out, config=config).segment_steps([step])
    np.testing.assert_array_equal(result.mask, resize_maps(agreement[0], (24, 40)) >= level)
    assert result.mask.any() and not result.mask.all()
    assert all(0 <= segment.score <= 1 for segment in result.segments)


def test_an_empty_mask_has_a_reason(reading_out, make_step):
    config = dataclasses.replace(reading_out.segment, sounding="level", level=1.0, gate=-1.0, gate_frozen=-1.0)
    (result,) = Segmenter(reading_out, config=config).segment_steps([make_step()])
    assert not result.mask.any() and result.reason == "no region reaches the level 1.00" and not result.heat.any()


class CoarseAgain:
    """A mask predictor and detector in one, whose proposals are what it is told for each frame; notes what it saw."""

    def __init__(self, *masks):
        self.masks, self.seen = masks, []

    def detect(self, frames, **settings):
        self.seen.append(len(frames))
        boxes = np.zeros((len(self.masks), 4), np.float32)
        return [Boxes(xyxy=boxes, scores=np.ones(len(boxes), np.float32)) for _ in frames]

    def encode(self, frames):
        return list(frames)

    def from_boxes(self, encoded, boxes):
        scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
        return Masks(masks=np.stack(self.masks), scores=scores, stability=scores)


@pytest.fixture
def proposing(pipeline):
    """Factory of the pipeline with a proposer that proposes the masks given, whatever the frame."""

    def make(*masks, **config):
        models = CoarseAgain(*masks)
        config = ProposalConfig(kind="boxes", mask_nms_iou=1.0, **config)
        return dataclasses.replace(pipeline, proposer=Proposer(config, models, models)), models

    return make


def test_proposals_are_asked_for_once_a_batch_and_only_where_something_sounds(proposing, make_step):
    left = np.zeros((24, 40), bool)
    left[:, :22] = True
    found, models = proposing(left, ~left, rule="cover", match=0.2)
    steps = [make_step(index, audio="silence" if index in (1, 4) else "tone") for index in range(7)]
    results = list(Segmenter(found, batch_steps=5).segment_steps(steps))
    assert models.seen == [3, 2]
    plain = Segmenter(dataclasses.replace(found, proposer=None))
    for result, coarse in zip(results, plain.segment_steps(steps), strict=True):
        assert (result.coarse is None) == (result.index in (1, 4)) and result.reason == coarse.reason
        if result.coarse is not None:
            np.testing.assert_array_equal(result.coarse, coarse.mask)
            wanted = [mask for mask in (left, ~left) if (coarse.mask & mask).sum() / mask.sum() > 0.2]
            np.testing.assert_array_equal(result.mask, np.any(wanted, axis=0))
            assert len(result.segments) == len(wanted) and result.score == pytest.approx(coarse.score, abs=1e-5)
    assert any(not np.array_equal(result.mask, result.coarse) for result in results if result.coarse is not None)


def test_no_step_with_a_coarse_mask_costs_nothing(proposing, make_step):
    found, models = proposing(np.ones((24, 40), bool))
    steps = [make_step(index) for index in range(3)]
    closed = Segmenter(found, config=dataclasses.replace(found.segment, gate=1.0))
    assert [result.proposals for result in closed.segment_steps(steps)] == [None] * 3
    assert [result.proposals for result in Segmenter(found).segment_steps([make_step(audio=None)])] == [None]
    assert sum(models.seen) == 0
    assert all(result.proposals is not None for result in Segmenter(found).segment_steps(steps))
    assert models.seen == [3]


def test_by_agreement_masks_are_snapped_only_where_they_become_the_result(proposing, make_step, monkeypatch):
    snapped = []

    def snap(frame, fine, mask):
        snapped.append(1)
        return np.roll(mask, 1, axis=0)

    monkeypatch.setattr("moca.segmentation.coarse.snap_to_edges", snap)
    block, steps = np.zeros((24, 40), bool), [make_step(index) for index in range(3)]
    block[3:20, 5:30] = True
    found, _ = proposing(block, rule="agreement", match=0.5)
    config = dataclasses.replace(found.segment, refine=True, heat_low=-1.0)
    for result in Segmenter(found, config=config).segment_steps(steps):
        np.testing.assert_array_equal(result.mask, block)
    assert not snapped
    found, _ = proposing(np.zeros((24, 40), bool), rule="agreement", match=0.5)  # an empty one is no proposal
    plain = Segmenter(dataclasses.replace(found, proposer=None), config=config)
    results = Segmenter(found, config=config).segment_steps(steps)
    for result, alone in zip(results, plain.segment_steps(steps), strict=True):
        np.testing.assert_array_equal(result.mask, alone.mask)
        np.testing.assert_array_equal(result.coarse, alone.mask)
        assert result.proposals.matched == () and result.mask.any()
    assert len(snapped) == 6


def test_a_segments_score_is_the_mean_agreement_in_it(proposing, make_step):
    block = np.zeros((24, 40), bool)
    block[3:20, 5:30] = True
    found, _ = proposing(block, rule="cover", match=0.0)
    segmenter, step = Segmenter(found), make_step()
    (result,) = segmenter.segment_steps([step])
    agreement = resize_maps(segmenter.features([step])[1][0], (24, 40))
    (only,) = result.segments
    assert only.score == pytest.approx(max(0, agreement[block].mean()), abs=1e-5)
    np.testing.assert_array_equal(result.mask, block)


def test_settings_tell_how_proposals_are_made(proposing, pipeline):
    found, _ = proposing(np.ones((24, 40), bool), rule="cover", match=0.3)
    settings = Segmenter(found).settings
    assert settings["proposals"] == ProposalConfig(kind="boxes", mask_nms_iou=1.0, rule="cover", match=0.3).used()
    assert settings != Segmenter(pipeline).settings and Segmenter(pipeline).settings["proposals"] == {"kind": "none"}


class Colours:
    """A DINO behind the real interface: mean colours of 8 x 8 patches."""

    def patches(self, frames):
        resized = np.stack([resize_maps(np.asarray(frame, np.float32), (32, 32)) for frame in frames])
        return resized.reshape(len(frames), 8, 4, 8, 4, 3).mean((2, 4)) / 128 - 1


@pytest.fixture
def by_proxy(pipeline):
    reading = PatchReader(config=PatchReading(reading="proxy"), images=Colours())
    return dataclasses.replace(pipeline, reading=reading)


def test_by_proxy_features_lie_on_the_other_models_grid_whatever_the_batch(by_proxy, make_step):
    steps = [make_step(index) for index in range(3)]
    segmenter = Segmenter(by_proxy)
    patches, agreement = segmenter.features(steps)
    assert patches.shape == (3, 8, 8, 8) and agreement.shape == (3, 8, 8)
    for row, step in enumerate(steps):
        np.testing.assert_allclose(segmenter.features([step])[0][0], patches[row], atol=1e-5)
    results = list(segmenter.segment_steps(steps))
    assert all(result.mask.shape == (24, 40) and result.mask.any() for result in results)
    by_token = Segmenter(dataclasses.replace(by_proxy, reading=None)).features(steps)[1]
    assert not np.allclose(resize_maps(agreement[0], (4, 4)), by_token[0], atol=1e-2)


def test_by_proxy_a_mirrored_frame_has_mirrored_features(by_proxy, make_step):
    step = make_step()
    other = dataclasses.replace(step, frame=step.frame[:, ::-1])
    both = Segmenter(by_proxy, config=dataclasses.replace(by_proxy.segment, mirror=True))
    (a, _), (b, _) = both.features([step]), both.features([other])
    np.testing.assert_allclose(a, b[:, :, ::-1], atol=1e-3)
    plain, _ = Segmenter(by_proxy).features([step])
    assert not np.allclose(plain, Segmenter(by_proxy).features([other])[0][:, :, ::-1], atol=1e-2)


def test_presence_is_asked_of_the_tokens_whatever_the_reading(pipeline, by_proxy, make_step):
    steps = [make_step(0), make_step(1)]
    np.testing.assert_array_equal(
        Segmenter(by_proxy).frozen_presence(steps), Segmenter(pipeline).frozen_presence(steps)
    )
