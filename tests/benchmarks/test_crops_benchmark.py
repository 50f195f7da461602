import numpy as np
import pytest

from benchmarks.crops import Frames, auc, measured, table
from benchmarks.proposals.world import SIZE, Kept
from moca.metrics.segmentation import mean_iou
from moca.segmentation.relative import SoundBank
from recipes.stage_pairs import Pairs


@pytest.fixture
def drawn():
    """Three frames, the second without proposals, and masks of the others."""
    generator = np.random.default_rng(0)
    truths = np.zeros((3, SIZE, SIZE), np.uint8)
    masks = np.zeros((5, SIZE, SIZE), bool)
    for plane in (*truths, *masks):
        top, left = generator.integers(0, 150, 2)
        plane[top : top + 70, left : left + 70] = 1
    truths[0] |= masks[0].astype(np.uint8)
    bits = np.packbits(masks.reshape(5, -1), axis=1)
    kept = Kept(bits=bits, scores=np.ones(5), stability=np.ones(5), ends=np.array([3, 3, 5]))
    pairs = Pairs(np.zeros((3, SIZE, SIZE, 3), np.uint8), np.zeros((3, 16)), truths, np.array(["s4"] * 3))
    return Frames(pairs, kept, np.eye(3, 8, dtype=np.float32)), masks, truths


def test_pixels_counted_by_pattern_give_the_miou_of_the_masks(drawn):
    frames, masks, truths = drawn
    chosen = {0: np.array([0, 2]), 2: np.array([1])}
    unions = np.stack([masks[[0, 2]].any(0), np.zeros((SIZE, SIZE), bool), masks[4]])
    assert frames.miou(lambda number: chosen[number]) == pytest.approx(mean_iou(unions, truths > 0), abs=2e-4)
    assert frames.miou(lambda number: np.zeros(0, int)) == 0.0


def test_auc_counts_pairs_of_proposals(drawn):
    frames, *_ = drawn
    frames.sounding = {0: np.array([1.0, 0.2, 0.6]), 2: np.array([0.0, 0.5])}
    values = {0: np.array([0.9, 0.1, 0.4]), 2: np.array([0.5, 0.7])}
    good, bad = [0.9, 0.4, 0.7], [0.1, 0.5]
    assert auc(values, frames) == pytest.approx(np.mean([a > b for a in good for b in bad]), abs=1e-4)


def test_a_table_has_every_way_with_and_without_the_bank(drawn):
    frames, *_ = drawn
    drawn_bank = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    bank = SoundBank(embeddings=drawn_bank, names=tuple("abcdef"), fingerprint="1")
    cosines = {0: np.random.default_rng(2).uniform(-1, 1, (3, 9)), 2: np.random.default_rng(3).uniform(-1, 1, (2, 9))}
    found = measured(cosines, bank, frames)
    assert set(found) == {"cosines", "with the bank", "rank"}
    lines = table({kind: {"patches": found, "surround": found} for kind in ("s4", "ms3")}).splitlines()
    assert len(lines) == 6 and lines[2].startswith("| patches, cosines |") and "surround, with the bank" in lines[5]
