"""The study of readings: its measures against loops, its controls, and its page."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.readings import costs, measuring
from benchmarks.readings.page import COSTS, write_page
from benchmarks.readings.rows import READINGS, REFERENCE
from moca.core.maps import resize_maps
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.roles import Masks
from moca.media.logmel import LogMelConfig
from moca.metrics.segmentation import frame_iou
from moca.pipeline.encoder import frozen_towers
from moca.pipeline.loading import Pipeline
from moca.segmentation.config import SegmentConfig
from recipes.stage_pairs import Pairs

COUNT, SIDE = 5, 16


@pytest.fixture
def pipeline():
    """A random encoder of 4 x 4 patches that hears about a second."""
    config = ImageBindConfig(
        image_size=32, patch=8, image_width=16, image_blocks=2, image_heads=2, audio_patch=8, audio_stride=8,
        audio_width=12, audio_blocks=1, audio_heads=2, embed_dim=8,
        log_mel=LogMelConfig(mel_bins=16, target_frames=96),
    )  # fmt: skip
    encoder = random_imagebind(config, seed=3)
    return Pipeline(
        name="tiny",
        encoder=encoder,
        towers=frozen_towers(encoder),
        adapted=False,
        segment=SegmentConfig(),
        licence="none",
    )


@pytest.fixture
def truth():
    masks = np.zeros((COUNT, SIDE, SIDE), bool)
    for row in range(COUNT):
        masks[row, row : row + 6, 4:10] = True
    return masks


@pytest.fixture
def heats():
    return np.random.default_rng(0).normal(size=(COUNT, 4, 4)).astype(np.float32)


def masks_of(*masks):
    scores = np.ones(len(masks), np.float32)
    return Masks(masks=np.array(masks), scores=scores, stability=scores)


def test_level_ious_agree_with_masks_made_one_by_one(heats, truth):
    levels = measuring.levels_of(measuring.Scored(heats, heats))
    fine = np.stack([resize_maps(heat, (SIDE, SIDE)) for heat in heats])
    expected = [frame_iou(fine >= level, truth).mean() for level in levels]
    np.testing.assert_allclose(measuring.level_ious(heats, truth, levels), expected)
    assert len(set(np.round(expected, 6))) > 20


def test_auc_of_proposals(heats, truth):
    right = np.stack([resize_maps(mask.astype(np.float32), (4, 4)) for mask in truth])
    proposals = [masks_of(mask, ~mask, np.roll(mask, 1, axis=0), np.zeros_like(mask)) for mask in truth]

    def auc(own):
        return measuring.proposal_auc(measuring.Scored(own, own), proposals, truth)

    assert auc(right) > 0.95 and auc(-right) < 0.05 and 0.05 < auc(heats) < 0.95
    none = [masks_of(~mask) for mask in truth]
    assert np.isnan(measuring.proposal_auc(measuring.Scored(heats, heats), none, truth))


def test_pointing(truth):
    right = np.stack([resize_maps(mask.astype(np.float32), (SIDE, SIDE)) for mask in truth])
    assert measuring.pointing(right, truth) == 1.0 and measuring.pointing(-right, truth) == 0.0


@pytest.fixture
def pairs(truth):
    draw = np.random.default_rng(1)
    return Pairs(
        draw.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8),
        draw.integers(-9000, 9000, (COUNT, 16_000), dtype=np.int16),
        truth.astype(np.uint8),
        np.full(COUNT, "s4"),
    )


class Colours:
    def patches(self, frames):
        return np.asarray(frames, np.float32).reshape(len(frames), 8, 2, 8, 2, 3).mean((2, 4)) / 128 - 1


def test_scores_are_cosines_and_what_all_sounds_share_is_taken_off(pipeline, pairs, monkeypatch):
    monkeypatch.setattr(measuring, "BATCH", 2)
    found = measuring.score_frames(pipeline, PatchReading(reading="proxy"), Colours(), pairs)
    assert {scale: each.own.shape for scale, each in found.items()} == dict.fromkeys(measuring.SCALES, (5, 8, 8))
    assert np.abs(found["raw"].own).max() <= 1 + 1e-5
    sounds = measuring.sound_directions(pipeline, pairs)
    np.testing.assert_allclose(np.linalg.norm(sounds, axis=1), 1, atol=1e-5)
    shared = found["raw"].own - found["centred"].own
    np.testing.assert_allclose(found["raw"].swapped - found["centred"].swapped, shared, atol=1e-5)
    assert not np.allclose(found["raw"].own, found["raw"].swapped, atol=1e-4)
    token = measuring.score_frames(pipeline, PatchReading(), None, pairs)
    assert token["raw"].own.shape == (5, 4, 4)
    other = replace(pipeline, segment=replace(pipeline.segment, mirror=True))  # the study never mirrors
    again = measuring.score_frames(other, PatchReading(), None, pairs)
    np.testing.assert_allclose(again["raw"].own, token["raw"].own)


def test_the_page_is_written_from_the_files(pipeline, pairs, truth, tmp_path):
    proposals = [masks_of(mask, ~mask) for mask in truth]
    kinds = ("s4", "ms3")
    result = measuring.measure(
        pipeline, PatchReading(), None, dict.fromkeys(kinds, pairs), dict.fromkeys(kinds, proposals)
    )
    known = {
        "pooling": "class", "frames": COUNT, "proposals": dict.fromkeys(kinds, 10),
        "true area": dict.fromkeys(kinds, 0.14), "fingerprints": {"encoder": "abc", "images": "def"},
    }  # fmt: skip
    (tmp_path / "tiny.json").write_text(json.dumps({**known, "readings": {REFERENCE: result}}))
    (tmp_path / COSTS).write_text(json.dumps({"what": "Random.", "readings": {"proxy": {"time": 1.25, "peak": 1.0}}}))
    write_page(tmp_path, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "## tiny" in text and "Encoder abc (pooling class), DINO def; 5 validation frames" in text
    auc, iou = result["centred"]["s4"]["auc"], result["centred"]["s4"]["iou"]
    assert f"| {REFERENCE} | {auc:.3f} | {iou:.3f} (" in text
    assert "| proxy | 1.25 | 1.00 |" in text


def test_costs_are_ratios_of_the_shortest_time_and_the_largest_peak():
    runs = {REFERENCE: [(2.0, 100), (4.0, 80)], "proxy": [(9.0, 150), (3.0, 90)]}
    assert costs.ratios(runs) == {REFERENCE: {"time": 1.0, "peak": 1.0}, "proxy": {"time": 1.5, "peak": 1.5}}


def test_every_reading_runs_at_mini_size(tmp_path, monkeypatch):
    target = tmp_path / COSTS
    monkeypatch.setattr("sys.argv", ["costs", "--size", "mini", "--repeats", "1", "-o", str(target)])
    costs.main()
    found = json.loads(target.read_text())["readings"]
    assert found.keys() == costs.MEASURED.keys() and found[REFERENCE] == {"time": 1.0, "peak": 1.0}
    assert {config.reading for config in READINGS.values()} >= {"token", "value", "clear", "proxy"}
