"""What a model's card says of mask proposals: found, inherited, asked for, refused; with tiny models on disk."""

import json

import numpy as np
import pytest
import torch
from transformers import Owlv2Config, Owlv2ForObjectDetection, SamConfig, SamModel

import moca.pipeline.card as card_module
import moca.pipeline.loading as loading
from moca.adapters import AdaptedTowers, fingerprint, save_adapters
from moca.errors import InputError
from moca.foundation import published
from moca.foundation.catalogue import row_of
from moca.foundation.imagebind.weights import save_imagebind
from moca.foundation.owlv2 import save_objects
from moca.foundation.sam.sam import save_sam
from moca.pipeline.card import row_card
from moca.pipeline.encoder import load_encoder
from moca.pipeline.loading import load_pipeline
from moca.pipeline.parts import catalogue_parts, default_rule, described_parts, no_proposals, read_parts
from moca.segmentation.config import OPEN, ProposalConfig, SegmentConfig
from moca.segmenter import Segmenter

EAGER = {"box_threshold": 0.0, "mask_nms_iou": 0.999, "match": 0.0}


def randomised(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a tiny random SAM and a tiny random OWLv2."""
    folder = tmp_path_factory.mktemp("models")
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    sam = SamConfig(
        vision_config={
            **vision, "output_channels": 8, "window_size": 2, "global_attn_indexes": [1], "mlp_dim": 16,
            "num_pos_feats": 4,
        },
        prompt_encoder_config={"hidden_size": 8, "image_size": 32, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "mlp_dim": 16,
            "iou_head_hidden_dim": 8, "attention_downsample_rate": 1,
        },
    )  # fmt: skip
    words = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 2, "max_position_embeddings": 4, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
    objects = Owlv2Config(text_config=words, vision_config={**vision, "intermediate_size": 16}, projection_dim=8)
    save_sam(folder / "sam", randomised(SamModel(sam), 1))
    save_objects(folder / "objects", randomised(Owlv2ForObjectDetection(objects), 2))
    return folder


@pytest.fixture
def write_model(tmp_path, pipeline):
    """Factory of model folders with the tiny encoder and more entries in their card."""

    def write(name="model", **entries):
        folder = tmp_path / name
        save_imagebind(folder / "encoder", pipeline.encoder)
        card = {"format": 1, "name": name, "encoder": "encoder", "licence": "Apache-2.0"}
        card["frozen_segment"] = {"gate": -1.0, "heat_low": -1.0}
        (folder / "pipeline.json").write_text(json.dumps({**card, **entries}))
        return folder

    return write


@pytest.fixture
def model(write_model, models):
    """A model folder whose card names the tiny SAM and OWLv2 beside it."""
    folder = write_model(masks="sam", objects="objects", proposals={"kind": "boxes", **EAGER})
    for name in ("sam", "objects"):
        (folder / name).symlink_to(models / name)
    return folder


def settings_of(folder, **asked):
    return Segmenter.load(folder, device="cpu", **asked).settings


def test_a_card_without_entries_makes_no_proposals(write_model):
    loaded = load_pipeline(write_model())
    assert loaded.proposer is None and set(loaded.fingerprints) == {"encoder"}
    assert Segmenter(loaded).settings["proposals"] == {"kind": "none"}


def test_a_card_with_entries_makes_its_own_and_settings_tell(model):
    settings = settings_of(model)
    assert settings["proposals"] == ProposalConfig(kind="boxes", **EAGER).used()
    assert set(settings["fingerprints"]) == {"encoder", "masks", "objects"}
    json.dumps(settings)
    grid = settings_of(model, proposals="grid", rule="cover", match=0.4, unmatched="empty")
    wanted = ProposalConfig(kind="grid", mask_nms_iou=0.999, rule="cover", match=0.4, unmatched="empty")
    assert grid["proposals"] == wanted.used()
    assert set(grid["fingerprints"]) == {"encoder", "masks"}
    assert settings_of(model, proposals="none")["fingerprints"] == {"encoder": settings["fingerprints"]["encoder"]}
    whole = settings_of(model, proposals=ProposalConfig(kind="boxes", box_limit=3), rule="cover")
    assert whole["proposals"] == ProposalConfig(kind="boxes", box_limit=3, rule="cover").used()


def test_another_rule_brings_its_own_threshold(write_model, models):
    folder = write_model(masks="sam", proposals={"kind": "grid", "match": 0.2})
    (folder / "sam").symlink_to(models / "sam")

    def measured(**asked):
        found = settings_of(folder, **asked)["proposals"]
        return found["rule"], found["match"]

    assert measured() == measured(rule="iou") == ("iou", 0.2)  # the model's own
    assert measured(rule="cover") == ("cover", 0.5) and measured(rule="agreement") == ("agreement", 0.7)
    assert measured(rule="agreement", match=0.3) == ("agreement", 0.3) and measured(match=0.4) == ("iou", 0.4)


def test_fingerprints_are_those_of_the_models(model, models):
    found = load_pipeline(model)
    assert found.fingerprints["masks"] == fingerprint(found.proposer.masks.model.state_dict())
    sam = randomised(found.proposer.masks.model, 9)
    (model / "sam").unlink()
    save_sam(model / "sam", sam)
    again = load_pipeline(model).fingerprints
    assert again["masks"] != found.fingerprints["masks"] and again["objects"] == found.fingerprints["objects"]


@pytest.mark.parametrize("kind", ["boxes", "grid"])
def test_tiny_models_propose_end_to_end(model, make_step, kind):
    config = ProposalConfig(
        kind=kind, points_per_side=3, pred_iou=0, stability=0, grid_nms_iou=1, match=0, box_threshold=0
    )
    segmenter = Segmenter.load(model, device="cpu", proposals=config, batch_steps=3)
    plain = Segmenter.load(model, device="cpu", proposals="none")
    steps = [make_step(index, audio=None if index == 1 else "tone") for index in range(5)]
    results, before = list(segmenter.segment_steps(steps)), list(plain.segment_steps(steps))
    for result, coarse in zip(results, before, strict=True):
        assert (result.proposals is None) == (result.coarse is None) == (not coarse.mask.any())
        if result.coarse is not None:
            np.testing.assert_array_equal(result.coarse, coarse.mask)
            assert result.proposals.masks.shape[1:] == (24, 40) and result.proposals.masks.any((1, 2)).all()
    matched = [result for result in results if result.proposals and result.proposals.matched]
    assert matched and any(not np.array_equal(result.mask, result.coarse) for result in matched)
    assert results[1].reason == "no audio in this step" and before[0].proposals is None


def test_a_runs_folder_has_the_parts_of_the_model_it_was_trained_on(model, write_model, tmp_path, monkeypatch):
    for module in (card_module, published):
        monkeypatch.setattr(module, "bundled_weights", lambda: tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / "mini").symlink_to(write_model("bare"))
    (tmp_path / "bundled" / "mini" / "imagebind").symlink_to(model / "encoder")
    run = write_model("run", encoder="mini")
    asked = {"kind": "grid"}
    with pytest.raises(InputError, match=r"need masks in .*, which names none; add it, or choose proposals none"):
        load_pipeline(run, proposals=asked)
    assert load_pipeline(run).proposer is None  # mini itself has none

    card = json.loads((model / "pipeline.json").read_text())
    (tmp_path / "bare" / "pipeline.json").write_text(json.dumps(card))
    seen = []
    monkeypatch.setattr(loading, "make_proposer", lambda parts, device: seen.append(parts) or (None, {}))
    load_pipeline(run)
    assert (seen[-1].masks, seen[-1].objects) == ("mini", "mini")
    assert seen[-1].config == ProposalConfig(kind="boxes", **EAGER)
    own = write_model("own", encoder="mini", proposals={"kind": "grid"})
    load_pipeline(own)
    assert seen[-1].config == ProposalConfig(kind="grid") and seen[-1].masks == "mini"


def test_a_foundation_hands_its_parts_on_to_the_card_of_a_run(model, write_model):
    card = {"masks": str(model / "sam"), "objects": str(model / "objects")}
    parts = load_encoder(model).parts
    (model / "sam").unlink()
    assert {name: parts[name] for name in card}.keys() == card.keys()
    assert parts["proposals"] == {"kind": "boxes", **EAGER}
    assert all(json.dumps(parts[name]).startswith('"/') for name in card)
    assert load_encoder("mini").parts == {}
    assert load_encoder(write_model("plain")).parts == {}


def test_names_are_folders_beside_the_card_or_as_the_loaders_take_them(tmp_path):
    for named, found in {
        "sam": str(tmp_path / "sam"), "mini": "mini", "/elsewhere/sam": "/elsewhere/sam",
        "facebook/sam-vit-base": "facebook/sam-vit-base",
    }.items():  # fmt: skip
        assert read_parts({"masks": named}, tmp_path, {}).masks == found
    (tmp_path / "parts" / "sam").mkdir(parents=True)
    assert read_parts({"masks": "parts/sam"}, tmp_path, {}).masks == str(tmp_path / "parts" / "sam")
    assert described_parts({"masks": "mini", "name": "x"}, tmp_path) == {"masks": "mini"}
    assert described_parts({"proposals": {}, "objects": "a/b"}, tmp_path) == {"proposals": {}, "objects": "a/b"}


@pytest.mark.parametrize(
    ("entries", "asked", "message"),
    [
        ({"masks": "sam", "proposals": {"kind": "boxes"}}, {}, "proposals boxes need objects in {}, which names none; "
         "add it, or choose proposals none."),
        ({}, {"kind": "grid"}, "proposals grid need masks in {}, which names none; add it, or choose proposals none."),
        ({}, {"rule": "cover", "match": 0.3}, "rule, match rule mask proposals, which this model does not make here; "
         "ask for proposals boxes or grid."),
        ({"proposals": {"kind": "words"}}, {}, "proposals in {} cannot be used: proposals must be one of none, boxes, "
         "grid, got 'words'; change it."),
        ({"proposals": {"match": "high"}}, {}, "proposals in {} cannot be used: "),
        ({"proposals": ["boxes"]}, {}, "proposals in {} must be an object with any of "),
        ({"proposals": {"kind": "none", "iou": 1}}, {}, "proposals in {} must be an object with any of "),
        ({}, {"kind": "words"}, "proposals must be one of none, boxes, grid, got 'words'; change it."),
    ],
)  # fmt: skip
def test_what_a_card_or_a_caller_cannot_mean_is_one_line(write_model, entries, asked, message):
    folder = write_model(**entries)
    with pytest.raises(InputError) as caught:
        load_pipeline(folder, proposals=asked)
    assert str(caught.value).startswith(message.format(folder / "pipeline.json")) and "\n" not in str(caught.value)


def test_a_card_may_name_no_model_it_does_not_need(write_model):
    assert load_pipeline(write_model(masks="absent", proposals={"kind": "grid"}), proposals={"kind": "none"})
    with pytest.raises(InputError, match=r"absent"):
        load_pipeline(write_model(masks="absent", proposals={"kind": "grid"}))


def test_huge_makes_proposals_where_its_models_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path))
    huge = row_of("huge")
    default = catalogue_parts(huge, {})
    assert (default.config.kind, default.notice, default.masks) == ("none", no_proposals(huge), None)
    assert default.notice == (
        "Without sam-vit-huge and owlv2-base-ensemble the masks are the coarse ones; fetch both with moca weights "
        "fetch for mask proposals."
    )
    for kind in ("boxes", "grid"):
        with pytest.raises(InputError, match=r"^sam-vit-huge must be in .*; run moca weights fetch sam-vit-huge"):
            catalogue_parts(huge, {"kind": kind})
    asked = catalogue_parts(huge, {"kind": "none"})
    assert asked.config.kind == "none" and asked.notice is None
    monkeypatch.setattr("moca.foundation.published.local_source", lambda name: tmp_path / name)
    here = catalogue_parts(huge, {})
    assert here.config == ProposalConfig(kind="boxes", rule="crops") and here.notice is None
    adapted = catalogue_parts(huge, {"match": 0.3}, rule="iou")
    assert adapted.config == ProposalConfig(kind="boxes", match=0.3)
    assert catalogue_parts(huge, {"rule": "agreement"}).config.match == 0.7
    with pytest.raises(InputError) as caught:
        catalogue_parts(huge, {"match": 0.3})
    assert str(caught.value) == (
        "match is a threshold of the rules iou, cover and agreement, got rule crops; give delta."
    )
    with pytest.raises(InputError) as caught:
        catalogue_parts(huge, {"delta": 0.3, "rule": "iou"})
    assert str(caught.value) == "delta belongs to the rule crops, got rule iou; give match, or --rule crops."
    assert (here.masks, here.objects) == ("sam-vit-huge", "owlv2-base-ensemble")
    assert catalogue_parts(huge, {"kind": "grid"}).objects is None


def test_random_weights_make_every_part_of_a_row_random():
    found, again, other = (load_pipeline("mini", weights="random", seed=seed) for seed in (0, 0, 1))
    trained = load_pipeline("mini")
    assert set(found.fingerprints) == {"encoder", "masks", "objects"} and found.fingerprints == again.fingerprints
    for name, value in found.fingerprints.items():
        assert value not in (other.fingerprints[name], trained.fingerprints[name])
    assert found.proposer.config == trained.proposer.config
    sizes = [count(pipeline.proposer.masks.model) for pipeline in (found, trained)]
    assert sizes[0] == sizes[1] and load_pipeline("mini", weights="random", proposals={"kind": "none"}).proposer is None


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_random_parts_of_a_row_need_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path))
    parts = catalogue_parts(row_of("huge-lite"), {}, fileless=True)
    assert (parts.config.kind, parts.notice) == ("boxes", None)
    assert parts.used() == {"masks": "sam-vit-base", "objects": "owlv2-base-ensemble"}


def test_crops_choose_where_nothing_was_trained(tmp_path, pipeline):
    encoder, plan, config = pipeline.encoder, pipeline.towers.plan, pipeline.towers.config
    for name, readout in (("with", 8), ("without", None)):
        towers = AdaptedTowers(encoder.image_tower, encoder.audio_tower, plan, config, readout=readout)
        save_adapters(tmp_path / name, towers, fingerprint="12ab")
    found = [default_rule(adapters) for adapters in (None, tmp_path / "with", tmp_path / "without")]
    assert found == ["crops", "agreement", "iou"]


def test_cosines_that_nobody_has_seen_are_counted_relatively_and_gated_by_rank():
    settings = SegmentConfig(**row_card(row_of("huge"))[0]["frozen_segment"])
    assert (settings.scores, settings.gate_rank, settings.gate) == ("relative", 0.5, OPEN)
    assert (settings.heat_low, settings.heat_high) == (0.0, 4.0) and settings.sounding != "level"
