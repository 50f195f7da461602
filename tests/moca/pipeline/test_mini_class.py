"""The small model with ImageBind's habits, which lies beside the installed package."""

import json
from pathlib import Path

import numpy as np

from moca.segmenter import Segmenter

FOLDER = Path(__file__).resolve().parents[3] / "weights" / "mini-class"


def test_it_chooses_proposals_by_crops_of_a_class_token(make_step):
    segmenter = Segmenter.load(FOLDER, device="cpu")
    pipeline = segmenter.pipeline
    assert pipeline.encoder.config.pooling == "class" and not pipeline.adapted
    assert segmenter.by_crops and segmenter.relative and segmenter.config.gate_rank == 0.5
    assert pipeline.fingerprints["masks"] == Segmenter.load("mini", device="cpu").pipeline.fingerprints["masks"]
    (result,) = segmenter.segment_steps([make_step(0)])
    assert result.mask.dtype == bool and np.isfinite(result.rank)


def test_all_weights_together_stay_small():
    files = [path for path in FOLDER.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25e6


def test_its_class_token_finds_the_class_of_the_sound():
    measured = json.loads((FOLDER / "imagebind" / "training.json").read_text())
    assert measured["retrieval"]["class@1"] >= 0.95  # on validation frames; chance is .07
    assert np.mean([group["class@1"] for group in measured["test"]]) > 0.93
