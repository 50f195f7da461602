"""The study of mask proposals: they are found once and kept, scored as they should be, and told on one page."""

import json
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.proposals import __main__ as study
from benchmarks.proposals import world
from benchmarks.proposals.tables import COARSE, read
from benchmarks.proposals.world import KINDS, kept_proposals
from moca.core.step import StepResult
from moca.foundation.roles import Masks
from moca.segmentation.config import ProposalConfig
from recipes.stage_pairs import Pairs

SIDE, COUNT = 16, 20


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(world, "SIZE", SIDE)


def pairs_of(count=COUNT):
    """Frame n shows its number and has a rectangle that sounds; so is its sound."""
    frames, masks = np.zeros((count, SIDE, SIDE, 3), np.uint8), np.zeros((count, SIDE, SIDE), np.uint8)
    waves = np.repeat(np.arange(1, count + 1, dtype=np.int16)[:, None] * 100, 16_000, axis=1)
    for row in range(count):
        frames[row] = row
        masks[row, row % 8 : row % 8 + 6, 3:10] = 1
    return Pairs(frames, waves, masks, np.full(count, "s4"))


@dataclass
class FakeProposer:
    """Frame n has n % 4 masks; asked holds the numbers of the frames that were looked at."""

    config: ProposalConfig = field(default_factory=lambda: ProposalConfig(kind="boxes"))
    asked: list = field(default_factory=list)

    def propose(self, frames):
        assert len(frames) <= world.CHUNK
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        self.asked += numbers
        return [self.masks(number) for number in numbers]

    @staticmethod
    def masks(number):
        draw, count = np.random.default_rng(number), number % 4
        scores = draw.random((2, count)).astype(np.float32)
        return Masks(masks=draw.random((count, SIDE, SIDE)) < 0.4, scores=scores[0], stability=scores[1])


def test_proposals_come_back_as_they_were_found(tmp_path):
    proposer = FakeProposer()
    kept = kept_proposals(proposer, pairs_of(), {"masks": "1"}, tmp_path / "new" / "val-s4-boxes")
    assert proposer.asked == list(range(COUNT))
    for _ in range(2):
        found = list(kept)
        assert len(found) == COUNT and [len(one) for one in found[:5]] == [0, 1, 2, 3, 0]
        for number, one in enumerate(found):
            for name in ("masks", "scores", "stability"):
                np.testing.assert_array_equal(getattr(one, name), getattr(FakeProposer.masks(number), name))
                assert getattr(one, name).dtype == getattr(FakeProposer.masks(number), name).dtype


def test_proposals_are_found_once_for_the_same_models_and_settings(tmp_path):
    place, prints = tmp_path / "val-s4-boxes", {"masks": "1"}
    first = kept_proposals(FakeProposer(), pairs_of(), prints, place)
    idle = FakeProposer()
    again = kept_proposals(idle, pairs_of(), prints, place)
    assert idle.asked == [] and np.array_equal(again.bits, first.bits) and np.array_equal(again.ends, first.ends)
    other = FakeProposer(config=ProposalConfig(kind="boxes", box_limit=7))
    changed = [(other, pairs_of(), prints), (FakeProposer(), pairs_of(), {"masks": "2"})]
    changed.append((FakeProposer(), pairs_of(9), {"masks": "2"}))
    for proposer, pairs, wanted in changed:
        kept = kept_proposals(proposer, pairs, wanted, place)
        assert proposer.asked == list(range(len(pairs.frames))) and len(list(kept)) == len(pairs.frames)


def test_thresholds_in_names_do_not_share_a_file(tmp_path):
    places = [tmp_path / f"val-s4-boxes-from-{least}" for least in (0.1, 0.3)]
    for place, limit in zip(places, (5, 6), strict=True):
        kept_proposals(FakeProposer(config=ProposalConfig(kind="boxes", box_limit=limit)), pairs_of(), {}, place)
    idle = FakeProposer(config=ProposalConfig(kind="boxes", box_limit=5))
    kept_proposals(idle, pairs_of(), {}, places[0])
    assert idle.asked == []


def test_a_search_that_was_stopped_is_done_again(tmp_path, monkeypatch):
    proposer, propose = FakeProposer(), FakeProposer.propose

    def stopped(self, frames):
        if self.asked:
            raise KeyboardInterrupt
        return propose(self, frames)

    monkeypatch.setattr(FakeProposer, "propose", stopped)
    with pytest.raises(KeyboardInterrupt):
        kept_proposals(proposer, pairs_of(), {}, tmp_path / "a")
    assert not list(tmp_path.iterdir())


# Scores


def step(mask, heat=None):
    heat = mask.astype(np.float32) if heat is None else heat
    return StepResult(index=0, start_s=0, end_s=1, frame_s=0, mask=mask, heat=heat, score=1, level_dbfs=-20)


def proposals(pairs):
    """For every frame its truth, second best, and everything else."""
    found = []
    for mask in pairs.masks > 0:
        scores = np.array([0.9, 0.8], np.float32)
        found.append(Masks(masks=np.stack([~mask, mask]), scores=scores, stability=scores))
    return found


def test_scores_are_those_of_the_masks():
    pairs = pairs_of(6)
    truth = [step(mask > 0) for mask in pairs.masks]
    assert study.scored(iter(truth), pairs) == pytest.approx({"miou": 1, "f": 1}, abs=1e-4)
    other = study.scored(iter(truth[1:] + truth[:1]), pairs)
    expected = [
        (one & two).sum() / (one | two).sum() for one, two in zip(pairs.masks, np.roll(pairs.masks, -1, 0), strict=True)
    ]
    assert other["miou"] == pytest.approx(np.mean(expected), abs=1e-4) and other["f"] < 1


def test_what_knows_no_sound_and_what_knows_the_truth():
    pairs = pairs_of(6)
    kept, blank = proposals(pairs), [step(np.zeros((SIDE, SIDE), bool)) for _ in range(6)]
    surest, everything = (list(study.proposals_alone(blank, kept, best=best)) for best in (True, False))
    for row in range(6):
        np.testing.assert_array_equal(surest[row].mask, pairs.masks[row] == 0)
        assert everything[row].mask.all() and everything[row].heat.min() == 1
    assert study.best_proposals(kept, pairs) == pytest.approx(1, abs=1e-4)
    none = Masks(masks=np.zeros((0, SIDE, SIDE), bool), scores=np.zeros(0), stability=np.zeros(0))
    assert not any(result.mask.any() for result in study.proposals_alone(blank, [none] * 6, best=False))
    assert study.best_proposals([none] * 6, pairs) == pytest.approx(0, abs=1e-4)


def test_only_a_frame_with_a_coarse_mask_is_matched():
    pairs = pairs_of(2)
    coarse = pairs.masks[0].astype(bool)
    coarse[0] = True
    first, second = study.matched([step(coarse), blank := step(np.zeros_like(coarse))], proposals(pairs), CONFIG)
    np.testing.assert_array_equal(first.mask, pairs.masks[0] > 0)
    assert first.proposals.matched == (1,) and second is blank


CONFIG = ProposalConfig(kind="boxes")


# The whole of it, with a segmenter that knows the answer


@dataclass(frozen=True)
class FakeConfig:
    refine: bool = True


class FakeSegmenter:
    """Hears which frame a sound belongs to, and finds its rectangle: moved when not refined, and cut when frozen."""

    loads: list = []  # noqa: RUF012

    def __init__(self, pipeline, config=None, batch_steps=1):
        self.pipeline, self.config = pipeline, config or FakeConfig()

    @classmethod
    def load(cls, name, *, adapters=None, proposals):
        cls.loads.append((adapters, proposals))
        config = proposals if isinstance(proposals, ProposalConfig) else ProposalConfig(kind="boxes", rule="cover")
        frozen = adapters is None and proposals == "none"
        return cls(SimpleNamespace(proposer=FakeProposer(config), fingerprints={"masks": "1"}, frozen=frozen))

    def segment_steps(self, steps):
        for heard in steps:
            mask = pairs_of(4).masks[heard].astype(bool)
            mask[:, 8:] &= not self.pipeline.frozen
            yield step(mask if self.config.refine else np.roll(mask, -1, 1))


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """The study from nothing, on four frames a kind; gives the folder of its results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "draw_frames", lambda cache, split, count: {kind: pairs_of(4) for kind in KINDS})
    monkeypatch.setattr(study, "Segmenter", FakeSegmenter)
    monkeypatch.setattr(FakeSegmenter, "loads", [])
    monkeypatch.setattr(study, "steps_of", lambda pairs, rows, heard=None: rows if heard is None else heard)
    monkeypatch.setattr(FakeProposer, "masks", staticmethod(lambda number: proposals(pairs_of(4))[number]))
    monkeypatch.setattr(sys, "argv", ["x", "--adapters", "default", "other", "-o", "results", "--test", "4"])
    study.main()
    return tmp_path / "results"


def test_the_study_from_nothing_to_its_page(whole, tmp_path):
    names = {f"test-{name}.json" for name in ("ceiling", "frozen", "seed-0", "seed-1")}
    assert {path.name for path in whole.iterdir()} == names | {"val-ceiling.json", "val-seed-0.json"}
    frozen, runs = read(whole, "test")
    for found in (frozen, *runs):
        for kind in KINDS:
            assert found[kind]["snapped"]["miou"] > found[kind]["coarse"]["miou"]
            assert found[kind]["snapped + boxes, cover 0.3"]["miou"] == pytest.approx(1, abs=1e-4)
            assert found[kind]["snapped + boxes, cover 0.5, swapped"]["miou"] < 0.95
            assert found[kind]["surest of grid, no sound"]["miou"] == pytest.approx(0, abs=1e-4)
    assert frozen["s4"]["snapped"]["miou"] < runs[0]["s4"]["snapped"]["miou"] == pytest.approx(1, abs=1e-4)
    assert runs[0]["frames"] == 4 and json.loads((whole / "test-ceiling.json").read_text())["ms3"]["grid"] > 0.99
    page = (tmp_path / "docs" / "proposals.md").read_text()
    assert "adapters of 2 seed(s)" in page and (tmp_path / "docs" / "proposals.png").stat().st_size > 10_000
    assert all(words in page for words in (*COARSE.values(), "Do the paper's trends hold here?", "On validation"))
    assert all(f"coarse + boxes from {least}, cover" in page for least in study.BOX_THRESHOLDS)
    # What is there is not done again.
    adapters = [given for given, proposals in FakeSegmenter.loads if proposals == "none"]
    assert adapters == ["default", None, "default", "other"]  # the first on validation
    study.main()
    assert len([given for given, proposals in FakeSegmenter.loads if proposals == "none"]) == 4
    (whole / "test-seed-1.json").unlink()
    study.main()
    assert [given for given, proposals in FakeSegmenter.loads if proposals == "none"][4:] == ["other"]
