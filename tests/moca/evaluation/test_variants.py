"""What `moca evaluate` compares a model with: parts taken away, everything else the same."""

from dataclasses import replace

import pytest

from moca.evaluation import variants
from moca.evaluation.variants import variants_of
from moca.pipeline.loading import load_pipeline
from moca.segmentation.config import ProposalConfig
from moca.segmentation.proposals import Proposer
from moca.segmenter import Segmenter


class Nothing:
    """A detector and a mask predictor that are never asked."""


@pytest.fixture(scope="module")
def bare():
    return load_pipeline("mini", proposals={"kind": "none"})


@pytest.fixture
def loaded(bare, monkeypatch):
    """Segmenters that `load` was asked for, without loading mini again for each."""

    def load(model, *, adapters, proposals, device):
        assert (model, adapters, proposals) == ("mini", None, "none")
        config = replace(bare.segment, refine=False)
        return Segmenter(replace(bare, adapted=False, segment=config), config=config, device=device)

    monkeypatch.setattr(variants.Segmenter, "load", staticmethod(load))


def test_a_model_that_snaps_is_compared_with_a_frozen_one_that_does(bare, loaded):
    found = variants_of(Segmenter(bare, config=replace(bare.segment, refine=True)), "mini")
    assert [(name, each.config.refine) for name, each in found.items()] == [
        ("frozen encoder", False),
        ("frozen encoder, snapped", True),
    ]
    found = variants_of(Segmenter(bare, config=replace(bare.segment, refine=False)), "mini")
    assert list(found) == ["frozen encoder"]
    assert not any(each.pipeline.adapted for each in found.values())


def test_a_model_with_proposals_is_also_run_without_them(bare, loaded):
    proposer = Proposer(ProposalConfig(kind="boxes", rule="cover"), Nothing(), Nothing())
    prints = {**bare.fingerprints, "masks": "m", "objects": "o"}
    pipeline = replace(bare, proposer=proposer, fingerprints=prints)
    segmenter = Segmenter(pipeline, config=replace(bare.segment, refine=True))
    found = variants_of(segmenter, "mini")
    made = {name: (each.pipeline.proposer is proposer, each.pipeline.adapted) for name, each in found.items()}
    assert made == {
        "without proposals": (False, True),
        "frozen encoder": (True, False),
        "frozen encoder, without proposals": (False, False),
    }
    assert {each.config.refine for each in found.values()} == {True}
    assert found["frozen encoder"].settings["proposals"] == segmenter.settings["proposals"]
    assert found["without proposals"].settings["proposals"] == {"kind": "none"}
    assert found["frozen encoder"].settings["fingerprints"] == prints
    assert found["without proposals"].settings["fingerprints"] == bare.fingerprints
    kept = [str(each.settings) for each in (segmenter, *found.values())]
    assert len(set(kept)) == 4  # no two share a cache


def test_what_is_opened_stays_open_and_what_is_calibrated_is_each_models_own(bare, loaded):
    usual = variants_of(Segmenter(bare), "mini")["frozen encoder"].config
    opened = replace(bare.segment, heat_low=-1.0, gate=-1.0, gate_frozen=-1.0)
    found = variants_of(Segmenter(bare, config=opened), "mini")["frozen encoder"].config
    assert found == replace(usual, heat_low=-1.0, gate=-1.0, gate_frozen=-1.0) != usual
