"""Which reading a model has: what is asked for, what adapters were trained with, its card, its row, its encoder."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from moca.adapters import save_adapters
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading
from moca.pipeline import models, reading
from moca.pipeline.card import OPEN_GATE, UNCALIBRATED_ROW, row_card
from moca.pipeline.encoder import load_encoder
from moca.pipeline.loading import load_pipeline
from moca.pipeline.reading import choose_reading
from moca.segmentation.config import SegmentConfig
from moca.segmenter import Segmenter

HUGE = ImageBindConfig.huge()


class Colours:
    """A DINO behind the real interface: mean colours of 6 x 6 patches."""

    def __init__(self):
        self.model, self.seen = torch.nn.Linear(1, 1), 0

    def patches(self, frames):
        self.seen += len(frames)
        return np.stack(
            [
                [
                    [cell.mean((0, 1)) / 128 - 1 for cell in np.array_split(row, 6, axis=1)]
                    for row in np.array_split(frame.astype(np.float32), 6, axis=0)
                ]
                for frame in frames
            ]
        ).astype(np.float32)


@pytest.fixture
def dino(monkeypatch):
    """What every name in the role "images" loads."""
    found = Colours()
    monkeypatch.setattr(models, "load_role", lambda role, name, *, device: found)
    monkeypatch.setattr(reading, "named_source", lambda name, role: None)
    return found


@pytest.fixture
def absent(monkeypatch, tmp_path):
    """A machine on which nothing was fetched."""
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))


def refusal(call, *args, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def chosen(requested=None, **options):
    """The reading of huge."""
    return choose_reading(*row_card(CATALOGUE["huge"]), HUGE, requested or {}, **options)


def test_huge_is_read_by_proxy_with_its_dino_and_by_clear_until_then_never_by_token(dino):
    found = chosen()
    assert found.config == PatchReading(reading="proxy", proxy_beta=1.2, proxy_gamma=3.0)
    assert found.images == CATALOGUE["huge"].images == "dino-vitb8" and found.own and found.notice is None
    assert HUGE.reading == "token"  # what its configuration alone would say


def test_huge_without_its_dino(absent):
    found = chosen()
    assert found.config == PatchReading(reading="clear") and found.images is None and found.own
    assert found.notice == (
        "Without dino-vitb8 patches are read by clear, which finds less than proxy; fetch it with moca weights fetch "
        "dino-vitb8."
    )
    assert chosen({"high_norm": 3.0}).config == PatchReading(reading="clear", high_norm=3.0)
    assert chosen({"reading": "value"}).notice is None
    assert refusal(chosen, {"reading": "proxy"}).startswith("dino-vitb8 must be in ")
    assert refusal(chosen, trained={"reading": "proxy"}, adapted=True).startswith("dino-vitb8 must be in ")


def test_a_row_that_is_bundled_is_read_as_its_encoder_says():
    card = row_card(CATALOGUE["mini"])
    assert choose_reading(*card, replace(HUGE, reading="value"), {}).config == PatchReading(reading="value")


def test_what_is_said_nearer_counts(tmp_path):
    card = {"encoder": "encoder", "reading": {"reading": "clear", "clear_by": "key"}, "images": "facebook/dino-vits8"}
    assert choose_reading(card, tmp_path, HUGE, {}).config == PatchReading(reading="clear", clear_by="key")
    other = choose_reading(card, tmp_path, HUGE, {"reading": "proxy", "proxy_beta": 1.0})
    assert other.config.proxy_beta == 1.0 and not other.own and other.images == "facebook/dino-vits8"
    trained = choose_reading(card, tmp_path, HUGE, {}, trained={"reading": "value"}, adapted=True)
    assert trained.config == PatchReading(reading="value") and trained.own
    folder = tmp_path / "dino"
    folder.mkdir()
    found = choose_reading({**card, "images": "dino"}, tmp_path, HUGE, {"reading": "proxy"})
    assert found.images == str(folder) and found.entries()["images"] == str(folder)


def test_what_cannot_be_is_refused(tmp_path):
    card = {"encoder": "encoder"}
    assert refusal(choose_reading, card, tmp_path, HUGE, {"reading": "proxy"}) == (
        f"reading proxy needs images, a DINO, in {tmp_path / 'pipeline.json'}, which names none; add it, such as "
        "dino-vitb8, or choose another reading."
    )
    assert refusal(choose_reading, card, tmp_path, HUGE, {"proxy_beta": 1.0}) == (
        "proxy_beta is a setting of reading proxy, got it with reading token; leave it out, or ask for reading proxy."
    )
    assert refusal(choose_reading, card, tmp_path, HUGE, {"reading": "clear"}, adapted=True) == (
        "reading must be token, as these adapters were trained, got clear; leave it out, or take the frozen encoder "
        "alone (--frozen)."
    )
    assert refusal(choose_reading, {**card, "reading": {"key": 1}}, tmp_path, HUGE, {}) == (
        f"reading in {tmp_path / 'pipeline.json'} must be an object with any of reading, proxy_beta, proxy_gamma, "
        "clear_by, high_norm, got key; restore it."
    )
    assert refusal(choose_reading, {**card, "reading": {"reading": "key"}}, tmp_path, HUGE, {}).startswith(
        f"reading in {tmp_path / 'pipeline.json'} cannot be used: reading must be one of "
    )


def with_card(model, **entries):
    path = model / "pipeline.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_a_model_read_by_proxy_is_loaded_with_its_dino_and_says_so(model, dino, make_step):
    with_card(model, reading={"reading": "proxy"}, images="facebook/dino-vits8", frozen_segment={"gate": 0.4})
    loaded = load_pipeline(model)
    assert loaded.reader.config.reading == "proxy" and loaded.reader.images is dino
    assert loaded.fingerprints.keys() == {"encoder", "images"}
    assert loaded.licence == "Apache-2.0; facebook/dino-vits8: licence not stated"
    assert loaded.segment == SegmentConfig(gate=0.4)
    segmenter = Segmenter(loaded, config=SegmentConfig(gate=-1.0))
    assert segmenter.settings["reading"] == PatchReading(reading="proxy").to_json()
    patches, agreement = segmenter.features([make_step(0), make_step(1)])
    assert patches.shape == (2, 6, 6, 8) and agreement.shape == (2, 6, 6) and dino.seen == 2
    assert all(result.mask.shape == (24, 40) for result in segmenter.segment_steps([make_step(0)]))


def test_another_reading_has_no_calibration(model, make_step):
    with_card(model, reading={"reading": "value"}, frozen_segment={"gate": 0.4})
    own, other = Segmenter.load(model, device="cpu"), Segmenter.load(model, device="cpu", reading="clear")
    assert own.config.gate == 0.4 and own.notice == "It is random."
    assert other.config == SegmentConfig(**UNCALIBRATED_ROW) == other.pipeline.frozen_segment
    assert other.notice == f"It is random. {OPEN_GATE}"
    assert not np.allclose(own.features([make_step()])[0], other.features([make_step()])[0], atol=1e-3)
    same = Segmenter.load(model, device="cpu", reading="value", clusters=3)
    assert same.config == SegmentConfig(gate=0.4, clusters=3)


def test_adapters_say_how_they_are_read(model, pipeline, randomise):
    extra = {"segment": {"gate": 0.1}, "reading": PatchReading(reading="clear").to_json()}
    print_ = pipeline.fingerprints["encoder"]
    save_adapters(model / "adapters", randomise(pipeline.towers), fingerprint=print_, extra=extra)
    with_card(model, adapters="adapters", reading={"reading": "value"})
    assert load_pipeline(model).reader.config.reading == "clear"
    assert load_pipeline(model, adapters=None).reader.config.reading == "value"
    assert refusal(load_pipeline, model, reading={"reading": "value"}).startswith("reading must be clear, as these ")
    assert load_pipeline(model, adapters=None, reading={"reading": "token"}).reader.config.reading == "token"


def test_random_weights_are_read_as_the_row_is(monkeypatch, absent):
    monkeypatch.setitem(CATALOGUE, "other", replace(CATALOGUE["huge"], name="other", architecture="mini"))
    assert load_pipeline("other", weights="random").reader.config.reading == "proxy"  # its DINO is random, too
    assert load_pipeline("other", weights="random", reading={"reading": "value"}).reader.config.reading == "value"
    assert load_pipeline("mini", weights="random").reader.config.reading == "token"


def test_what_is_trained_on_a_model_is_read_as_the_model(model, dino):
    with_card(model, reading={"reading": "proxy", "proxy_gamma": 5.0}, images="facebook/dino-vits8")
    foundation = load_encoder(model)
    assert foundation.reader.images is dino and foundation.reader.config.proxy_gamma == 5.0
    assert foundation.reading["images"] == "facebook/dino-vits8" and foundation.parts == {}
    assert foundation.reading["reading"] == PatchReading(reading="proxy", proxy_gamma=5.0).to_json()
    assert foundation.licence == "Apache-2.0"  # the DINO's is added by whoever loads it


def test_a_pipeline_without_a_reader_is_read_as_its_encoder_says(pipeline):
    assert pipeline.reading is None and pipeline.reader == PatchReader.of(pipeline.encoder.config)


def test_every_row_has_a_reading_that_is_one():
    for row in CATALOGUE.values():
        assert row.reading is None or PatchReading(reading=row.reading)
        assert row.bundled == (row.reading is None), row.name
