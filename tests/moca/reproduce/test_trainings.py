"""Adapters for tables: the paper's recipe made shorter, trained once and found again."""

from pathlib import Path

import pytest

from moca.errors import InputError
from moca.reproduce.config import ReproduceConfig
from moca.reproduce.specs import Training
from moca.reproduce.tables import MOCA, PAPER
from moca.reproduce.trainings import Trainings
from moca.training.config import PRESETS

TINY = {"batch": 4, "labels.alike": 2, "labels.unlike": 2, "labels.refine": False}


@pytest.fixture
def trainings(tmp_path, stage, model):
    """trainings(steps=...) on the stage, with the tiny model."""

    def build(**changes) -> Trainings:
        return Trainings(ReproduceConfig(data=stage, out=tmp_path / "out", model=model, device="cpu", **changes))

    return build


def test_without_a_limit_presets_are_themselves(trainings):
    made = trainings().settings(PAPER, 2)
    assert (made.steps, made.lr, made.batch, made.seed) == (10_000, 1e-4, 8, 2)
    assert trainings().settings(MOCA, 0) == PRESETS["moca"]


@pytest.mark.parametrize(("steps", "lr"), [(5_000, 2e-4), (1_000, 1e-3), (300, 1e-3), (20_000, 1e-4)])
def test_a_shorter_paper_training_is_faster_up_to_tenfold(trainings, steps, lr):
    made = trainings(steps=steps).settings(PAPER, 0)
    assert made.steps == min(steps, 10_000) and made.lr == pytest.approx(lr)
    assert made.checkpoint_every <= made.steps


def test_ours_is_only_cut(trainings):
    assert trainings(steps=10_000).settings(MOCA, 0).steps == 400
    short = trainings(steps=7).settings(MOCA, 0)
    assert (short.steps, short.lr) == (7, PRESETS["moca"].lr)


def test_a_rows_own_change_goes_before_what_is_asked_of_all(trainings):
    margin = Training(name="m", preset="paper", changes={"pixel_matching.margin": 0.1})
    asked = trainings(training={"pixel_matching.margin": 0.9, "batch": 2})
    made = asked.settings(margin, 0)
    assert (made.pixel_matching.margin, made.batch) == (0.1, 2)
    assert asked.settings(PAPER, 0).pixel_matching.margin == 0.9


def test_an_unknown_setting_is_refused(trainings):
    with pytest.raises(InputError, match=r"^marginn is not a setting; the settings are steps, "):
        trainings(training={"marginn": 1}).settings(PAPER, 0)


def test_blocks_follow_the_trunk(trainings):
    """Three image blocks: the default is two, which stand for the paper's six."""
    found = trainings()
    assert found.depth == 3 and found.notice == "It is random."
    counts = [found.settings(Training(name="n", preset="paper", adapters=count), 0).blocks for count in (2, 4, 6)]
    assert counts == [1, 1, 2]
    assert found.settings(PAPER, 0).blocks is None


def test_trained_once_shared_and_never_again(trainings, tmp_path):
    heard = []
    made = trainings(steps=2, training=TINY)
    made.progress = lambda what, done, total, **values: heard.append(what)
    out = made.trained(MOCA, 0)
    assert out == tmp_path / "out" / "trained" / "moca" / "seed-0" and (out / "pipeline.json").is_file()
    assert {"moca, seed 0: reading videos", "moca, seed 0: labelling", "moca, seed 0: training"} <= set(heard)
    shared = tmp_path / "out" / "trained"
    assert (out / "corpus").resolve() == (shared / "corpus").resolve() and (shared / "corpus" / "frames.npy").is_file()
    bytes_of = {path: path.read_bytes() for path in (out / "adapters").iterdir()}
    frames_at = (shared / "corpus" / "frames.npy").stat().st_mtime_ns
    heard.clear()
    assert made.trained(MOCA, 0) == out
    assert "moca, seed 0: training" not in heard
    assert {path: path.read_bytes() for path in (out / "adapters").iterdir()} == bytes_of
    heard.clear()
    other = made.trained(MOCA, 1)
    assert "moca, seed 1: training" in heard and "moca, seed 1: labelling" not in heard  # the labels were there
    assert (shared / "corpus" / "frames.npy").stat().st_mtime_ns == frames_at
    assert (other / "adapters" / "adapters.safetensors").read_bytes() not in bytes_of.values()


def test_a_stopped_training_goes_on(trainings, tmp_path):
    def stop(what, done, total, **values):
        if what.endswith(": training") and done == 2:
            raise KeyboardInterrupt

    stopped = trainings(steps=3, training={**TINY, "checkpoint_every": 1})  # two are kept when it is stopped
    stopped.progress = stop
    with pytest.raises(KeyboardInterrupt):
        stopped.trained(MOCA, 0)
    assert not (tmp_path / "out" / "trained" / "moca" / "seed-0" / "pipeline.json").exists()
    seen = []
    stopped.progress = lambda what, done, total, **values: seen.append((what, done))
    stopped.trained(MOCA, 0)
    assert [done for what, done in seen if what.endswith(": training")] == [3]


def test_the_training_data_has_a_name_that_changes_with_it(trainings, stage, tmp_path):
    before = trainings().data
    assert before == trainings().data
    wave = next(stage.glob("Single-source/s4_data/audio_wav/train/*/*.wav"))
    content = wave.read_bytes()
    try:
        wave.write_bytes(content + b"\0\0")
        assert trainings().data != before
    finally:
        wave.write_bytes(content)


def test_a_models_weights_have_a_name_that_changes_with_them(trainings, model):
    before = trainings().weights
    assert before == trainings().weights and len(before) == 16
    card = Path(model) / "pipeline.json"
    card.write_text(card.read_text() + " ")
    assert trainings().weights != before
