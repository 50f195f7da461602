"""The segmenter with scores that have no scale: crops, the bank, the gate by rank."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.roles import Boxes, Masks
from moca.metrics.segmentation import mean_iou
from moca.pipeline.comparing import CropScorer
from moca.segmentation.config import OPEN, ProposalConfig, SegmentConfig
from moca.segmentation.gate import best_patches
from moca.segmentation.proposals import Proposer
from moca.segmentation.relative import compare
from moca.segmenter import Segmenter
from moca.stage import sample_frame

RELATIVE = SegmentConfig(scores="relative", gate=OPEN, heat_high=4.0)


class Blocks:
    """A detector and mask predictor in one: four blocks in every frame, or none."""

    def __init__(self, count=4):
        self.count, self.seen = count, 0

    def detect(self, frames, **settings):
        self.seen += len(frames)
        empty = np.zeros((self.count, 4), np.float32)
        return [Boxes(xyxy=empty, scores=np.ones(self.count, np.float32)) for _ in frames]

    def encode(self, frames):
        return [frame.shape[:2] for frame in frames]

    def from_boxes(self, size, boxes):
        masks = np.zeros((4, *size), bool)
        masks[0, :12, :20] = masks[1, :12, 20:] = masks[2, 12:, :20] = masks[3, 12:, 20:] = True
        return Masks(masks=masks, scores=np.linspace(0.9, 0.6, 4).astype(np.float32), stability=np.ones(4, np.float32))


def by_crops(pipeline, count=4, **proposing):
    blocks = Blocks(count)
    proposing = ProposalConfig(kind="boxes", rule="crops", **proposing)
    return dataclasses.replace(pipeline, proposer=Proposer(proposing, blocks, blocks))


@pytest.fixture
def steps(make_step):
    return [make_step(index, audio="silence" if index == 2 else "tone") for index in range(6)]


def test_relative_agreement_is_that_of_every_patch_beside_the_bank(pipeline, make_step):
    step = make_step()
    patches, cosines = Segmenter(pipeline).features([step])
    segmenter = Segmenter(pipeline, config=RELATIVE)
    same, scores = segmenter.features([step])
    np.testing.assert_array_equal(same, patches)
    others = patches[0].reshape(-1, 8) @ segmenter.bank.embeddings.T
    wanted = (cosines[0].ravel() - others.mean(1)) / np.sqrt(((others - others.mean(1)[:, None]) ** 2).mean())
    np.testing.assert_allclose(scores[0].ravel(), wanted, atol=1e-4)
    assert not np.allclose(scores, cosines, atol=0.05)


def test_a_read_out_needs_no_bank(pipeline, make_step, monkeypatch):
    from moca.adapters import AdaptedTowers

    monkeypatch.setattr("moca.pipeline.looking.sound_bank", lambda *given: pytest.fail("a bank was made"))
    encoder, plan, config = pipeline.encoder, pipeline.towers.plan, pipeline.towers.config
    towers = AdaptedTowers(encoder.image_tower, encoder.audio_tower, plan, config, readout=8)
    segmenter = Segmenter(dataclasses.replace(pipeline, towers=towers), config=RELATIVE)
    (result,) = segmenter.segment_steps([make_step()])
    assert np.isnan(result.rank) and "bank" not in segmenter.settings["fingerprints"]


def test_a_level_of_cosines_needs_absolute_scores(pipeline):
    with pytest.raises(InputError) as caught:
        Segmenter(pipeline, config=dataclasses.replace(RELATIVE, sounding="level"))
    assert str(caught.value) == (
        "sounding level compares cosines as they are, which needs scores absolute, got scores relative; choose "
        "sounding best, ratio or otsu, or scores absolute."
    )
    assert Segmenter(pipeline, config=dataclasses.replace(RELATIVE, sounding="level", scores="absolute"))


def test_proposals_are_chosen_by_their_crops(pipeline, steps):
    pipeline = by_crops(pipeline, delta=0.2)
    segmenter = Segmenter(pipeline, config=RELATIVE, batch_steps=4)
    results = list(segmenter.segment_steps(steps))
    assert pipeline.proposer.objects.seen == 5 and results[2].reason.startswith("silent")
    for step, result in zip(steps, results, strict=True):
        if result.index == 2:
            continue
        with torch.no_grad():
            context = segmenter.looker.enter([step])[1]
            sound = pipeline.encoder.audio_direction(context.tokens)[0].numpy()
        (found,) = CropScorer(pipeline.encoder, segmenter.bank).each([(step.frame, result.proposals.masks, sound)])
        np.testing.assert_allclose(result.proposals.measured, found.scores, atol=1e-3)
        wanted = np.flatnonzero(found.scores >= found.scores.max() - 0.2)
        assert result.proposals.matched == tuple(wanted) and result.score == pytest.approx(found.scores.max(), abs=1e-3)
        np.testing.assert_array_equal(result.mask, result.proposals.masks[wanted].any(0))
        np.testing.assert_array_equal(result.heat >= 0.5, result.mask)
        assert result.rank == pytest.approx(found.rank(int(found.scores.argmax())), abs=0.01)


def test_the_sound_is_embedded_once_a_step(pipeline, steps, monkeypatch):
    heard = []
    segmenter = Segmenter(by_crops(pipeline), config=RELATIVE, batch_steps=4)
    tokens = pipeline.encoder.audio_tower.__class__.tokens

    def count(tower, inputs, **settings):
        heard.extend([len(inputs)] if tower.audio else [])
        return tokens(tower, inputs, **settings)

    monkeypatch.setattr(pipeline.encoder.audio_tower.__class__, "tokens", count)
    list(segmenter.segment_steps(steps))
    assert sum(heard) == 5


@pytest.mark.parametrize(("unmatched", "reason"), [("coarse", None), ("empty", "no proposal was found")])
def test_a_frame_without_proposals_is_left_to_its_coarse_mask(pipeline, make_step, unmatched, reason):
    (result,) = Segmenter(by_crops(pipeline, 0, unmatched=unmatched), config=RELATIVE).segment_steps([make_step()])
    (coarse,) = Segmenter(pipeline, config=RELATIVE).segment_steps([make_step()])
    assert result.reason == reason
    np.testing.assert_array_equal(result.mask, coarse.mask if unmatched == "coarse" else np.zeros((24, 40), bool))


@pytest.mark.parametrize("crops", [True, False])
def test_the_gate_closes_where_other_sounds_fit_better(pipeline, steps, crops):
    pipeline = by_crops(pipeline) if crops else pipeline
    opened = list(Segmenter(pipeline, config=RELATIVE).segment_steps(steps))
    ranks = [result.rank for result in opened if result.index != 2]
    assert len(set(ranks)) > 1 and all(0 <= rank <= 1 for rank in ranks)
    gate = float(np.sort(ranks)[2])
    segmenter = Segmenter(pipeline, config=dataclasses.replace(RELATIVE, gate_rank=gate))
    for before, result in zip(opened, segmenter.segment_steps(steps), strict=True):
        if result.index == 2:
            continue
        assert (result.score, result.rank) == (before.score, before.rank)
        if before.rank >= gate:
            np.testing.assert_array_equal(result.mask, before.mask)
        else:
            assert not result.mask.any() and result.reason.startswith("another sound fits better (")
            assert result.reason.endswith(f": {before.rank:.0%} of other sounds fit worse, below {gate:.0%}")
            named = result.reason.split("(")[1].split(")")[0].split(", ")
            assert set(named) <= set(segmenter.bank.names)


def test_the_rank_of_patches_is_that_of_the_best_of_them(pipeline, make_step):
    segmenter, step = Segmenter(pipeline, config=RELATIVE), make_step()
    (result,) = segmenter.segment_steps([step])
    (patches,), _ = segmenter.features([step])
    with torch.no_grad():
        sound = pipeline.encoder.audio_direction(segmenter.looker.enter([step])[1].tokens)[0].numpy()
    compared = compare(patches, sound, segmenter.bank)
    top = best_patches(compared.scores)
    own, others = compared.own[top].mean(), compared.others[top].mean(0)
    assert result.rank == pytest.approx((others < own).mean(), abs=0.01)


def test_crops_are_asked_whether_the_best_of_them_is_good_enough(pipeline, make_step):
    config = dataclasses.replace(RELATIVE, gate=50.0)
    (result,) = Segmenter(by_crops(pipeline), config=config).segment_steps([make_step()])
    assert result.reason == f"no proposal supports the sound: score {result.score:.2f}, below 50.00"
    assert not result.mask.any() and not np.isnan(result.rank)


def test_absolute_cosines_that_reach_nothing_say_what_they_missed(pipeline, make_step):
    (gated,) = Segmenter(pipeline, config=SegmentConfig(gate=0.99)).segment_steps([make_step()])
    assert gated.missed == 0.99 and gated.reason
    level = SegmentConfig(gate=-1.0, sounding="level", level=0.98)
    (low,) = Segmenter(pipeline, config=level).segment_steps([make_step()])
    assert low.missed == 0.98
    (relative,) = Segmenter(pipeline, config=dataclasses.replace(RELATIVE, gate=50.0)).segment_steps([make_step()])
    assert relative.missed is None and relative.reason


def test_settings_name_the_bank_that_a_result_depends_on(pipeline):
    segmenter = Segmenter(pipeline, config=RELATIVE)
    assert segmenter.settings["fingerprints"]["bank"] == segmenter.bank.fingerprint
    assert "bank" not in Segmenter(pipeline).settings["fingerprints"]


def test_another_way_of_counting_brings_its_own_thresholds(model):
    as_it_is = Segmenter.load(model)
    assert as_it_is.config.scores == "absolute"
    relative = Segmenter.load(model, scores="relative").config
    assert (relative.gate, relative.heat_low, relative.heat_high) == (OPEN, 0.0, 4.0)
    assert Segmenter.load(model, scores="relative", gate=2.5, heat_high=3.0).config == dataclasses.replace(
        relative, gate=2.5, heat_high=3.0
    )


class Shifted(ImageBind):
    """An encoder whose every cosine is .3 c + .1: what all pictures share, and all sounds, is most of an embedding."""

    def project_image(self, tokens):
        return _shared(super().project_image(tokens), (1.0, 0.0))

    def class_direction(self, tokens):
        return _shared(super().class_direction(tokens), (1.0, 0.0))

    def _embed_picture(self, pixels):
        return _shared(super()._embed_picture(pixels), (1.0, 0.0))

    def audio_direction(self, heard):
        known = heard.ndim == 2 and heard.shape[1] == self.config.embed_dim + 2
        return heard if known else _shared(super().audio_direction(heard), (1 / 7, (1 - 1 / 49) ** 0.5))


def _shared(embeddings, direction):
    share = torch.tensor(direction).expand(*embeddings.shape[:-1], 2)
    return torch.cat([0.3**0.5 * embeddings, 0.7**0.5 * share], -1)


def shifted(pipeline):
    encoder = copy.copy(pipeline.encoder)
    encoder.__class__ = Shifted
    prints = {**pipeline.fingerprints, "encoder": "0" * 16}
    return dataclasses.replace(pipeline, encoder=encoder, fingerprints=prints)


def test_the_shift_is_what_it_says(pipeline, make_step):
    _, plain = Segmenter(pipeline).features([make_step()])
    _, other = Segmenter(shifted(pipeline)).features([make_step()])
    np.testing.assert_allclose(other, 0.3 * plain + 0.1, atol=1e-5)


def masks_of(pipeline, config, steps):
    return np.stack([result.mask for result in Segmenter(pipeline, config=config).segment_steps(steps)])


@pytest.mark.parametrize("sounding", ["best", "ratio", "otsu"])
@pytest.mark.parametrize("rule", [None, "agreement", "crops"])
def test_relative_rules_know_no_scale(pipeline, make_step, sounding, rule):
    steps = [make_step(index) for index in range(6)]
    if rule:
        pipeline = by_crops(pipeline)
        proposing = ProposalConfig(kind="boxes", rule=rule)
        pipeline = dataclasses.replace(
            pipeline, proposer=Proposer(proposing, pipeline.proposer.masks, pipeline.proposer.objects)
        )
    config = dataclasses.replace(RELATIVE, sounding=sounding, gate_rank=0.3)
    plain, other = masks_of(pipeline, config, steps), masks_of(shifted(pipeline), config, steps)
    assert plain.any() and not plain.all() and (plain != other).mean() < 0.005


@pytest.fixture(scope="module")
def drawn():
    """A few drawn frames with a sounding object."""
    return [sample_frame(seed, "s4" if seed % 2 else "single", size=224) for seed in range(6)]


@pytest.mark.parametrize(
    "settings", [{"proposals": "none"}, {}, {"rule": "crops"}], ids=["coarse", "agreement", "crops"]
)
def test_masks_of_mini_survive_another_scale_under_relative_rules_and_die_under_absolute_ones(
    make_step, drawn, settings
):
    """mIoU of a few drawn frames, by mini's frozen encoder."""
    truths = np.stack([frame.mask for frame in drawn])
    steps = [
        dataclasses.replace(make_step(index, audio=frame.audio), frame=frame.frame) for index, frame in enumerate(drawn)
    ]
    relative = Segmenter.load("mini", adapters=None, scores="relative", **settings)
    plain = masks_of(relative.pipeline, relative.config, steps)
    assert plain.any((1, 2)).all() and mean_iou(plain, truths) > 0.4
    if settings.get("rule") == "crops":
        if relative.pipeline.encoder.config.pooling == "dense":
            pytest.skip("the soft maximum of a dense encoder has a scale of its own")
    else:
        absolute = Segmenter.load("mini", adapters=None, scores="absolute", **settings)
        assert masks_of(absolute.pipeline, absolute.config, steps).any((1, 2)).sum() >= 5
        assert not masks_of(shifted(absolute.pipeline), absolute.config, steps).any()
    other = masks_of(shifted(relative.pipeline), relative.config, steps)
    assert abs(mean_iou(other, truths) - mean_iou(plain, truths)) < 0.01
