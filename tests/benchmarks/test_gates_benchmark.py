"""The study of gates: its figures against ones worked out by hand, and its page from them alone."""

import numpy as np
import pytest

from benchmarks import gates

SCORES = tuple(dict.fromkeys(score for gate in gates.GATES.values() for score in gate))


def figures(scores, *, iou=0.5, area=0.25):
    """Frames that have the same of every score, and one IoU and area."""
    return {"iou": [iou] * len(scores), "area": [area] * len(scores), **{name: list(scores) for name in SCORES}}


@pytest.fixture
def world():
    ramp = np.linspace(0, 1, 101)
    val = {"s4": figures(ramp[:50]), "ms3": figures(ramp[50:])}
    test = {
        "s4": figures([0.01, 0.5, 0.9, 0.95]), "ms3": figures([0.04, 0.2, 0.3, 0.8], iou=0.3),
        "silent": figures([-1e9, -1e9], area=0.0), "offscreen": figures([0.0, 0.04, 0.06, 0.7], area=0.5),
        "noise": figures([0.01, 0.02]), "swapped": figures([0.03, 0.99]),
    }  # fmt: skip
    return val, test


@pytest.mark.parametrize("names", [("support",), ("crop_score", "crop_rank")])
def test_a_gate_is_set_on_one_split_and_applied_to_the_other(world, names):
    row = gates.gate_row(names, *world, on="val")  # 5% of validation frames are below .05
    assert row["recall"] == 6 / 8 and row["miou"] == pytest.approx((3 * 0.5 + 3 * 0.3) / 8)
    kinds = row["kinds"]
    assert kinds["silent"] == {"fpr": 0, "false_alarms": 0, "g_miou": pytest.approx((row["miou"] + 1) / 2), "auc": 1}
    assert kinds["offscreen"]["fpr"] == 0.25 and kinds["offscreen"]["false_alarms"] == 0.5
    assert kinds["offscreen"]["g_miou"] == pytest.approx((row["miou"] + 0.5) / 2)
    assert kinds["noise"]["fpr"] == 0 and kinds["swapped"]["false_alarms"] == 0.5
    own, noise = np.array([0.01, 0.5, 0.9, 0.95, 0.04, 0.2, 0.3, 0.8]), np.array([0.01, 0.02])
    wins = (own[:, None] > noise).sum() + 0.5 * (own[:, None] == noise).sum()
    assert kinds["noise"]["auc"] == pytest.approx(wins / 16)


def test_a_gate_set_on_the_test_frames_passes_as_many_as_was_asked_for(world):
    val, test = world
    test = {**test, "s4": figures(np.linspace(0, 1, 100)), "ms3": figures(np.linspace(0, 1, 100))}
    assert gates.gate_row(("support",), val, test, on="test")["recall"] == pytest.approx(0.95, abs=0.006)


def test_the_page_has_a_row_for_every_gate(world):
    text = gates.page("somewhere", *world, "python -m benchmarks.gates")
    assert text.count("\n## ") == 2 and all(text.count(f"\n| {name} | ") == 2 for name in gates.GATES)
    row = gates.gate_row(("support",), *world, on="val")
    assert f"\n| patches, cosine | {row['recall']:.3f} | {row['miou']:.3f} | 0.000 | 0.000 | " in text
    assert "4 s4, 4 ms3, 2 silent" in text and "offscreen 0.015, noise 0.05" in text
