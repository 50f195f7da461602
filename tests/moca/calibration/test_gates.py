"""Gates: percentiles of matching pairs, and thresholds at a false-positive rate, against what is counted by hand."""

import numpy as np
import pytest

from moca.calibration.gates import area_under, gates_at, heat_range, joined, joint_gates, roc


def stopped(supports, gates) -> float:
    """Share of the frames that some gate stops."""
    return float(np.any(np.stack(supports) < np.array(gates)[:, None], axis=0).mean())


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_gates_share_the_highest_percentile_that_stops_no_more_than_allowed(kinds):
    generator = np.random.default_rng(kinds)
    supports = [generator.random(400) for _ in range(kinds)]
    tried = [[np.percentile(values, percent) for values in supports] for percent in np.arange(0, 10, 0.01)]
    expected = [gates for gates in tried if stopped(supports, gates) <= 0.1][-1]
    shared = joint_gates(supports, stopped=10.0)
    assert shared == pytest.approx(expected, abs=1e-3)
    assert 0.08 < stopped(supports, shared) <= 0.105


def test_gates_that_agree_stop_as_many_as_one():
    values = np.random.default_rng(0).random(400)
    assert joint_gates([values, values, values]) == joint_gates([values]) * 3
    assert joint_gates([values, 0.5 * values])[1] == pytest.approx(0.5 * joint_gates([values])[0], abs=1e-4)


@pytest.mark.parametrize("values", [[0.25], [0.25] * 30])
def test_gates_of_one_frame_and_of_equal_frames_stop_none(values):
    assert joint_gates([np.array(values), np.array(values)]) == [0.25, 0.25]


def test_gates_never_stop_the_frame_they_are_set_on():
    (gate,) = joint_gates([np.full(40, 0.12346)])
    assert gate == 0.1234


def passing(scores, gates) -> np.ndarray:
    """Which pairs pass all gates, one by one."""
    return np.array([all(value >= gate for value, gate in zip(pair, gates, strict=True)) for pair in scores])


def test_a_curve_worked_out_by_hand():
    matching = np.array([0.9, 0.8, 0.6, 0.3])
    curve = roc(matching, {"a": np.array([0.7, 0.3]), "b": np.array([0.1, 0.2]), "c": np.array([-np.inf])}, ["a", "b"])
    assert curve.thresholds.tolist() == [0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9]
    assert curve.recall.tolist() == [1, 1, 1, 0.75, 0.5, 0.5, 0.25]
    assert curve.classes["a"].tolist() == [1, 1, 1, 0.5, 0.5, 0, 0]
    assert curve.classes["b"].tolist() == [1, 0.5, 0, 0, 0, 0, 0] and not curve.classes["c"].any()
    assert curve.false_positives.tolist() == [1, 0.75, 0.5, 0.25, 0.25, 0, 0]
    # Of 4 x 2 comparisons with a, 0.9 and 0.8 win both, 0.6 wins one, 0.3 ties one: (4 + 1 + .5) / 8.
    assert curve.areas == {"a": 5.5 / 8, "b": 1, "c": 1} and curve.area == (5.5 / 8 + 1) / 2
    assert [curve.at(rate) for rate in (1, 0.3, 0.25, 0.1)] == [0, 3, 3, 5]
    assert curve.between(3) == pytest.approx(0.45) and curve.between(0) == 0.1


def test_a_gate_that_nothing_reaches_is_none():
    curve = roc(np.array([0.5]), {"a": np.array([0.5, 0.9])}, ["a"])
    assert curve.at(0.5) == 1 and curve.at(0.4) is None


@pytest.mark.parametrize("kinds", [1, 2, 3])
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_gates_pass_exactly_what_the_curve_says(kinds, rate):
    generator = np.random.default_rng([kinds, round(100 * rate)])
    matching, negative = generator.normal(1, 1, (150, kinds)), generator.normal(0, 1, (200, kinds))
    one, other = joined(matching, matching), joined(negative, matching)
    curve = roc(one, {"a": other}, ["a"])
    at = curve.at(rate)
    gates = gates_at(curve.between(at), matching)
    assert passing(matching, gates).mean() == pytest.approx(curve.recall[at])
    assert passing(negative, gates).mean() == pytest.approx(curve.false_positives[at])
    assert curve.false_positives[at] <= rate
    assert curve.false_positives[at - 1] > rate  # the lowest such gates
    assert curve.areas["a"] == pytest.approx(np.mean(one[:, None] > other) + np.mean(one[:, None] == other) / 2)


def test_several_gates_share_a_percentile_whatever_their_scales():
    matching = np.random.default_rng(0).normal(size=(99, 2))
    scaled = matching * [1, 1000] + [0, 5]
    gates, others = gates_at(30.0, matching), gates_at(30.0, scaled)
    assert others == pytest.approx((gates[0], gates[1] * 1000 + 5))
    assert joined(scaled, scaled) == pytest.approx(joined(matching, matching))
    below = joined(np.array([[-99.0, 0.0], [-np.inf, -np.inf], [99.0, 99.0]]), matching)
    assert below.tolist() == [-1, -1, 100]


def test_one_score_is_its_own_scale():
    scores = np.array([[0.3], [-np.inf], [0.1]])
    assert joined(scores, scores[:1]).tolist() == [0.3, -np.inf, 0.1] and gates_at(0.25, scores) == (0.25,)


def test_area_of_equal_scores_is_a_half():
    assert area_under(np.full(7, 0.2), np.full(3, 0.2)) == 0.5
    assert area_under(np.array([1.0, 2.0]), np.array([0.0])) == 1 and area_under(np.array([0.0]), np.ones(4)) == 0


def test_heat_runs_from_the_median_to_almost_the_highest():
    values = np.arange(1001) / 1000
    assert heat_range(values) == (0.5, 0.995) and heat_range(np.full(9, 0.25)) == (0.25, 0.26)
