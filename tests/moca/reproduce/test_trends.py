"""Figures over seeds and clips, and when a difference counts."""

import math

import numpy as np
import pytest

from moca.reproduce import TABLES
from moca.reproduce.figures import percentiles
from moca.reproduce.trends import NO, NOISE, UNKNOWN, YES, compare, findings

IOU = "miou_batch4"


def test_mean_spread_and_values(measured):
    found = measured([0.2, 0.4], [0.4, 0.6], [0.6, 0.8], muted=[0.0, 0.1])
    assert found.values(IOU) == pytest.approx((0.3, 0.5, 0.7))
    assert found.mean(IOU) == pytest.approx(0.5) and found.spread(IOU) == pytest.approx(0.2)
    assert found.controls == ("muted",) and found.mean(IOU, "muted") == pytest.approx(0.05)
    assert not found.deterministic
    once = measured([0.2, 0.4], once=True)
    assert once.deterministic and once.spread(IOU) is None and once.mean(IOU) == pytest.approx(0.3)


def test_the_interval_is_that_of_the_clips_averaged_over_the_seeds(measured):
    generator = np.random.default_rng(5)
    a, b = generator.random((2, 12))
    both, averaged = measured(list(a), list(b)), measured(list((a + b) / 2), once=True)
    assert both.interval(IOU) == pytest.approx(averaged.interval(IOU))  # without batches' unequal weights: 12 = 3 x 4
    low, high = both.interval(IOU)
    assert low < both.mean(IOU) < high
    assert both.interval(IOU) != pytest.approx(measured(list(a)).interval(IOU))
    assert measured([0.5]).interval(IOU) is None  # one clip


def test_percentiles_leave_nan_out():
    assert percentiles([math.nan, 1.0]) == (1.0, 1.0)
    assert percentiles([math.nan]) is percentiles(None) is percentiles([]) is None


def test_a_difference_counts_when_neither_seeds_nor_clips_explain_it(measured):
    low, high = measured([0.30, 0.32], [0.31, 0.33], [0.30, 0.33]), measured([0.60, 0.62], [0.61, 0.63], [0.60, 0.63])
    assert compare("a", "b", high, low, IOU).verdict == YES
    assert compare("a", "b", low, high, IOU).verdict == NO
    gain = compare("a", "b", high, low, IOU)
    assert gain.mean == pytest.approx(0.3) and gain.seeds[0] <= 0.3 + 1e-9 and gain.clips == pytest.approx((0.3, 0.3))


def test_seeds_that_disagree_are_noise(measured):
    first = measured([0.5, 0.5], [0.3, 0.3], [0.6, 0.6])
    second = measured([0.4, 0.4], [0.4, 0.4], [0.4, 0.4])
    gain = compare("a", "b", first, second, IOU)
    assert gain.mean > 0 and gain.clips[0] > 0 > gain.seeds[0] and gain.verdict == NOISE
    # by hand: differences .1, -.1, .2: mean .0667, sd .1528, t(2) at 97.5 % 4.303
    assert gain.seeds == pytest.approx((0.0667 - 4.303 * 0.1528 / 3**0.5, 0.0667 + 4.303 * 0.1528 / 3**0.5), abs=1e-3)


def test_seeds_are_paired(measured):
    """A gain of every seed counts, however much the seeds themselves differ."""
    first = measured([0.2, 0.2], [0.5, 0.5], [0.8, 0.8])
    second = measured([0.19, 0.19], [0.49, 0.49], [0.788, 0.788])
    assert first.spread(IOU) > 0.2
    assert compare("a", "b", first, second, IOU).verdict == YES
    turned = measured([0.49, 0.49], [0.788, 0.788], [0.19, 0.19])  # the same values of other seeds
    assert compare("a", "b", first, turned, IOU).verdict == NOISE


def test_clips_are_paired_where_nothing_is_random(measured):
    generator = np.random.default_rng(2)
    base = generator.random(12) * 0.8
    low, high = measured(list(base), once=True), measured(list(base + 0.01), once=True)
    gain = compare("a", "b", high, low, IOU)
    assert gain.seeds is None and gain.verdict == YES  # though the sets' own intervals overlap
    assert high.interval(IOU)[0] < low.interval(IOU)[1]
    shuffled = measured(list(generator.permutation(base) + 0.01), once=True)
    assert compare("a", "b", shuffled, low, IOU).verdict == NOISE
    assert compare("a", "b", low, low, IOU).verdict == NOISE


def test_a_run_without_seeds_is_compared_with_every_seed(measured):
    once, seeds = measured([0.4, 0.4], once=True), measured([0.5, 0.5], [0.6, 0.6], [0.55, 0.55])
    gain = compare("a", "b", seeds, once, IOU)
    assert gain.mean == pytest.approx(0.15) and gain.seeds is not None and gain.verdict == YES


def test_findings_of_a_table(measured):
    table = TABLES["table9"]
    best, worse = measured([0.6, 0.6], [0.61, 0.61]), measured([0.5, 0.5], [0.51, 0.51])
    figures = {("0.1", "ms3"): worse, ("0.3", "ms3"): best, ("0.5", "ms3"): worse}
    (finding,) = findings(table, figures)
    assert finding.verdict == YES and finding.missing == ()
    assert finding.told() == (
        "0.3 is the best margin (MS3 mIoU): holds here: yes (0.3 over 0.1 +0.100 [seeds +0.100 to +0.100; clips +0.100 "
        "to +0.100]; 0.3 over 0.5 +0.100 [seeds +0.100 to +0.100; clips +0.100 to +0.100])"
    )
    (finding,) = findings(table, figures | {("0.1", "ms3"): measured([0.7, 0.7], [0.72, 0.72])})
    assert finding.verdict == NO  # one pair that goes the other way is enough
    (finding,) = findings(table, figures | {("0.1", "ms3"): best})
    assert finding.verdict == NOISE
    del figures["0.5", "ms3"]
    (finding,) = findings(table, figures)
    assert finding.verdict == YES and finding.missing == ("0.5",) and finding.told().endswith("; not run: 0.5")
    (finding,) = findings(table, {("0.1", "ms3"): best})
    assert finding.verdict == UNKNOWN
    assert finding.told() == "0.3 is the best margin (MS3 mIoU): holds here: not measured; not run: 0.3, 0.5"
    assert findings(table, {}) == []
