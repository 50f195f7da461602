"""What `moca evaluate` compares a model with: one thing changed, everything else the same."""

from dataclasses import replace

import pytest

from moca.core.changing import flattened
from moca.evaluation import evaluate
from moca.evaluation.datasets import UNCLIPPED
from moca.evaluation.variants import FROZEN, OF_AGREEMENT, WITHOUT_PROPOSALS, adjusted, variants_of
from moca.pipeline.loading import load_pipeline
from moca.segmentation.config import ProposalConfig, SegmentConfig
from moca.segmentation.proposals import Proposer
from moca.segmenter import Segmenter

WISHED = {"clusters": 6, "mirror": False, "silence_dbfs": -50.0, "refine": False, "ratio": 0.5, "seed": 3}
"""What a user may ask for that no model's calibration sets."""


class Nothing:
    """A detector and a mask predictor that are never asked."""


@pytest.fixture(scope="module")
def bare():
    return load_pipeline("mini", proposals={"kind": "none"})


@pytest.fixture(scope="module")
def proposing(bare):
    proposer = Proposer(ProposalConfig(kind="boxes", rule="cover"), Nothing(), Nothing())
    return replace(bare, proposer=proposer, fingerprints={**bare.fingerprints, "masks": "m", "objects": "o"})


def differing(one: Segmenter, other: Segmenter) -> set[str]:
    """Names of settings, fingerprints among them, that only one has or that have two values."""
    a, b = dict(flattened(one.settings)), dict(flattened(other.settings))
    return {name for name in a.keys() | b.keys() if a.get(name, ...) != b.get(name, ...)}


def settings_of_proposals(segmenter: Segmenter) -> set[str]:
    return {f"proposals.{name}" for name in segmenter.settings["proposals"]} | {
        "fingerprints.masks",
        "fingerprints.objects",
    }


CALIBRATED = {"segment.gate", "segment.gate_frozen", "segment.heat_low", "segment.heat_high"}
"""What differs of mini's own calibrations with adapters and without; both have the same level."""
ADAPTERS = {"adapted", "fingerprints.adapters"}


def test_a_control_differs_in_what_it_controls_alone(proposing):
    config = replace(proposing.segment, **WISHED)
    segmenter = Segmenter(proposing, config=config, batch_steps=3)
    variants = variants_of(segmenter)
    assert {name: differing(segmenter, variant) for name, variant in variants.items()} == {
        WITHOUT_PROPOSALS: settings_of_proposals(segmenter),
        FROZEN: ADAPTERS | CALIBRATED,
        f"{FROZEN}, {WITHOUT_PROPOSALS}": ADAPTERS | CALIBRATED | settings_of_proposals(segmenter),
    }
    for name, variant in variants.items():
        assert variant.batch_steps == 3 and variant.device == segmenter.device
        assert variant.pipeline.encoder is proposing.encoder  # nothing is loaded again
        assert variant.pipeline.proposer is (None if WITHOUT_PROPOSALS in name else proposing.proposer)
        assert (variant.pipeline.towers is proposing.towers) == (FROZEN not in name)
    stored = [str(variant.settings) for variant in (segmenter, *variants.values())]
    assert len(set(stored)) == 4  # no two share a cache


def test_other_sound_changes_no_setting(world, pipeline):
    result = evaluate(Segmenter(pipeline), world.clips(2), controls=("muted", "swapped"), samples=0)
    assert [control.settings for control in result.controls.values()] == [result.settings] * 2
    assert result.settings["fingerprints"] == pipeline.fingerprints


def test_a_model_without_proposals_has_its_frozen_encoder_alone(bare):
    segmenter = Segmenter(bare, config=replace(bare.segment, refine=True))
    variants = variants_of(segmenter)
    assert list(variants) == [FROZEN]
    assert differing(segmenter, variants[FROZEN]) == ADAPTERS | CALIBRATED


def test_the_frozen_control_is_what_is_loaded_without_adapters(bare):
    loaded = load_pipeline("mini", adapters=None, proposals={"kind": "none"})
    control = variants_of(Segmenter(bare))[FROZEN]
    assert differing(control, Segmenter(loaded)) == {"segment.refine"}  # mini's adapters snap, its encoder does not
    assert not control.pipeline.adapted and control.pipeline.towers.readout is None


def test_a_frozen_model_has_no_frozen_control(pipeline, proposing):
    assert variants_of(Segmenter(pipeline)) == {}
    frozen = load_pipeline("mini", adapters=None, proposals={"kind": "none"})
    proposing = replace(frozen, proposer=proposing.proposer, fingerprints={**frozen.fingerprints, "masks": "m"})
    variants = variants_of(Segmenter(proposing))
    assert list(variants) == [WITHOUT_PROPOSALS]


def test_random_weights_are_not_compared_with_trained_ones():
    random = load_pipeline("mini", weights="random", seed=4)
    assert set(variants_of(Segmenter(random))) == {"without proposals"}  # which are as random


def test_what_a_user_set_stays_in_every_control(bare):
    set_by_hand = {"gate": 0.2, "heat_low": -1.0, "level": 0.1}
    segmenter = Segmenter(bare, config=replace(bare.segment, **set_by_hand))
    control = variants_of(segmenter)[FROZEN].config
    assert {name: getattr(control, name) for name in set_by_hand} == set_by_hand
    assert control.heat_high == bare.frozen_segment.heat_high != bare.segment.heat_high


def test_a_run_without_a_read_out_of_its_own_rule_takes_the_encoders(bare):
    calibrated = SegmentConfig(sounding="otsu", gate=0.1, heat_high=0.4)
    control = variants_of(Segmenter(replace(bare, frozen_segment=calibrated)))[FROZEN].config
    assert {name: getattr(control, name) for name in OF_AGREEMENT} == {
        name: getattr(calibrated, name) for name in OF_AGREEMENT
    }
    assert control.refine and control.mirror  # as the method, whatever the encoder's card says
    unknown = variants_of(Segmenter(replace(bare, frozen_segment=None)))[FROZEN].config
    assert unknown == bare.segment


def test_what_a_protocol_needs_is_changed_and_nothing_else(proposing):
    segmenter = Segmenter(proposing, batch_steps=3)
    changed = adjusted(segmenter, UNCLIPPED)
    assert differing(segmenter, changed) == {"segment.heat_low", "segment.gate", "segment.gate_frozen"}
    assert changed.batch_steps == 3 and changed.pipeline is segmenter.pipeline
    assert adjusted(segmenter, {}) is segmenter


def test_another_method_is_left_as_it_is(world):
    listener = world.Listener()
    assert adjusted(listener, UNCLIPPED) is listener and variants_of(listener) == {}
