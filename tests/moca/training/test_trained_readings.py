"""What is trained is read as it is read when segmenting, labels included."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moca.adapters import read_record
from moca.core.step import Step
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading
from moca.mining import MiningConfig
from moca.pipeline.loading import Pipeline
from moca.segmentation.config import SegmentConfig
from moca.segmenter import Segmenter
from moca.training.config import LabelConfig, TrainConfig
from moca.training.finishing import write_model
from moca.training.frozen import FrozenReader
from moca.training.losses.adapted import AdaptedReader
from moca.training.losses.objective import Objective
from moca.training.losses.preparing import prepare
from moca.training.run import _reading_print

READINGS = ("token", "value", "clear", "proxy")
CONFIG = TrainConfig(
    batch=5, matching=1.0, distillation=1.0, mining=MiningConfig(source="audio", neighbours=3),
    labels=LabelConfig(alike=3, unlike=4, refine=False), keep=0.5,
)  # fmt: skip


class Colours:
    """A DINO behind the real interface: mean colours of a grid of patches."""

    def __init__(self, side=4):
        self.side = side

    def patches(self, frames):
        frames = np.asarray(frames, np.float32)
        step = frames.shape[1] // self.side
        cells = frames.reshape(len(frames), self.side, step, self.side, step, 3).mean((2, 4))
        return cells / 128 - 1


def reader_of(reading, side=4, **settings):
    return PatchReader(config=PatchReading(reading=reading, **settings), images=Colours(side), fingerprint=f"c{side}")


@pytest.mark.parametrize("reading", READINGS)
def test_training_sees_the_features_that_segmentation_sees(encoder, attach, randomise, corpus: Corpus, reading):
    towers, reader, rows = randomise(attach(None)), reader_of(reading), np.array([0, 3, 8])
    adapted = AdaptedReader(encoder, towers, corpus, reader=reader)
    with torch.no_grad():
        context = adapted.hear(corpus.sound(rows))
        tokens = adapted.suffix(adapted.prefix(rows), context, likeness=adapted.likeness(rows))
        trained = encoder.project_image(tokens).unflatten(1, (4, 4)).numpy()
    pipeline = Pipeline(
        name="x", encoder=encoder, towers=towers, adapted=True, segment=SegmentConfig(), licence="x", reading=reader
    )
    steps = [
        Step(index=row, start_s=0, end_s=1, frame_s=0, frame=corpus.frames[row], audio=corpus.sound(int(row)),
             sample_rate_hz=corpus.sample_rate_hz)
        for row in rows
    ]  # fmt: skip
    np.testing.assert_allclose(trained, Segmenter(pipeline).features(steps)[0], atol=1e-5)
    other = Segmenter(replace(pipeline, reading=reader_of("clear" if reading != "clear" else "token")))
    assert not np.allclose(trained, other.features(steps)[0], atol=1e-2)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("side", [4, 8])
def test_both_losses_teach_the_adapters_under_every_reading(
    encoder, attach, randomise, corpus, tmp_path, reading, side
):
    reader, towers = reader_of(reading, side), randomise(attach())
    prepared = prepare(encoder, corpus, CONFIG, tmp_path, reader=reader)
    objective = Objective(encoder, towers, corpus, CONFIG, prepared, reader=reader)
    loss, parts = objective.loss(0)
    loss.backward()
    assert loss.isfinite() and parts.keys() == {"matching", "active", "distillation"}
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in towers.parameters())
    assert towers.adapters["2"].up.weight.grad.abs().sum() > 0
    again = Objective(encoder, towers, corpus, CONFIG, prepared, reader=reader).loss(0)[0]
    assert torch.equal(loss, again)
    other = Objective(encoder, towers, corpus, CONFIG, prepared, reader=reader_of("value2")).loss(0)[0]
    assert not torch.allclose(loss, other)


def test_labels_are_of_the_reading(encoder, corpus, tmp_path):
    found = {
        (reading, side): prepare(encoder, corpus, CONFIG, tmp_path, reader=reader_of(reading, side)).labels.targets
        for reading, side in (("token", 4), ("clear", 4), ("proxy", 4), ("proxy", 8))
    }
    assert all(targets.shape[2:] == (4, 4) for targets in found.values())  # the encoder's own grid
    assert len({targets.tobytes() for targets in found.values()}) == 4
    assert len(list(tmp_path.glob("labels-*"))) == 4  # and none is taken for another
    own = prepare(encoder, corpus, CONFIG, tmp_path).labels.targets
    assert np.array_equal(own, found["token", 4])


def test_frozen_patches_by_proxy_average_a_frame_and_its_mirror_image(encoder, corpus):
    reader = FrozenReader(encoder, reader=reader_of("proxy", 8))
    frames = corpus.frames[:3]
    pixels, tower = reader.pixels(frames), encoder.image_tower
    sides = []
    for side, pictures in ((pixels, frames), (pixels.flip(-1), frames[:, :, ::-1])):
        how = reader.reader.keywords(reader.likeness(pictures))
        with torch.no_grad():
            sides.append(encoder.project_image(tower(tower.tokens(side), **how)).unflatten(1, (4, 4)))
    expected = F.normalize(sides[0] + sides[1].flip(2), dim=-1).flatten(1, 2)
    torch.testing.assert_close(reader.patches(pixels, frames), expected)


def test_high_norms_need_all_patches(encoder, attach, corpus, tmp_path):
    reader = reader_of("value", high_norm=1.5)
    prepared = prepare(encoder, corpus, CONFIG, tmp_path, reader=reader)
    with pytest.raises(InputError) as refusal:
        Objective(encoder, attach(), corpus, CONFIG, prepared, reader=reader)
    assert str(refusal.value) == (
        "keep must be 1 with high_norm, which needs all patches of a picture, got 0.5; set it, or leave high_norm out."
    )
    whole = replace(CONFIG, keep=1.0)
    assert Objective(encoder, attach(), corpus, whole, prepared, reader=reader).loss(0)[0].isfinite()


def test_a_run_keeps_its_reading(pipeline, attach, corpus, tmp_path):
    from moca.pipeline.encoder import Foundation

    reader = reader_of("proxy", 8)
    entries = {"reading": reader.config.to_json(), "images": "facebook/dino-vits8"}
    foundation = Foundation(encoder=pipeline.encoder, reference="mini", licence="x", reader=reader, reading=entries)
    write_model(
        tmp_path, foundation, attach(), corpus, CONFIG, encoder_print="0123456789abcdef", device=torch.device("cpu")
    )
    card = json.loads((tmp_path / "pipeline.json").read_text())
    assert card["reading"] == entries["reading"] and card["images"] == entries["images"]
    assert read_record(tmp_path / "adapters").extra["reading"] == entries["reading"]
    prints = _reading_print(foundation), _reading_print(replace(foundation, reader=reader_of("proxy", 4)))
    assert prints[0].keys() == {"reading"} and prints[0] != prints[1]
    assert _reading_print(replace(foundation, reader=None)) == {}
    assert _reading_print(replace(foundation, reader=PatchReader.of(pipeline.encoder.config))) == {}
