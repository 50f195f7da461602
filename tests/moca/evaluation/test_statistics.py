"""Intervals and paired tests against the slow way of getting them."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from moca.errors import InputError
from moca.evaluation import Localisation, Segmentation, Semantic, intervals
from moca.evaluation.protocols.resampling import ratio, times_drawn
from moca.evaluation.statistics import paired


def clip_sums(count, seed=0):
    """Sums of localised clips; every fourth has no source."""
    generator = np.random.default_rng(seed)
    names = ("ciou", "ciou_any", "confidence", "ap_pixel", "piap_reversed")
    rows = np.round(generator.random((count, len(names))), 1)  # ties, and values on the limits
    return [dict(zip(names, map(float, row), strict=True)) | {"sounding": at % 4 > 0} for at, row in enumerate(rows)]


def class_sums(count, seed=0):
    """Sums of labelled clips with four classes; the last is seen in one clip alone."""
    generator = np.random.default_rng(seed)
    found = []
    for at in range(count):
        counts = generator.integers(0, 11, 4) * np.array([1, 1, 1, at == 0])
        iou, f = (counts * generator.random(4) for _ in range(2))
        found.append({"iou": iou.tolist(), "f": f.tolist(), "count": counts.tolist(), "frames": 10})
    return found


@pytest.fixture(params=["segmentation", "batches of 3", "localisation", "semantic"])
def measured(request, video_sums):
    """A protocol with sums of eleven clips; no batch size divides eleven."""
    return {
        "segmentation": (Segmentation(), video_sums(11)),
        "batches of 3": (Segmentation((2, 3)), video_sums(11)),
        "localisation": (Localisation(), clip_sums(11)),
        "semantic": (Semantic(["background", "a", "b", "c"]), class_sums(11)),
    }[request.param]


def test_resampling_gives_what_measuring_each_draw_gives(measured):
    protocol, sums = measured
    draws = np.random.default_rng(1).integers(len(sums), size=(40, len(sums)))
    draws[0] = 4  # one clip again and again: nothing sounds in it
    found = protocol.resampled(sums, draws)
    for at, draw in enumerate(draws):
        naive = protocol.metrics([sums[i] for i in draw])
        assert found.keys() == {name for name in naive if not protocol.column(name).count}
        for name, values in found.items():
            assert values[at] == pytest.approx(naive[name], abs=1e-9, nan_ok=True), (name, at)
    varies = [name for name, values in found.items() if np.nanstd(values) > 0]
    assert len(varies) == len(found)  # not vacuous


def test_every_metric_has_its_words(measured):
    protocol, sums = measured
    metrics, own = protocol.metrics(sums), protocol.clip_metrics(sums[0])
    assert protocol.main in metrics and protocol.clip_main in own
    for name in {**metrics, **own}:
        column = protocol.column(name)
        assert column.title and column.meaning and column.better in ("higher", "lower", None)
        assert not (column.count and column.better)


def test_intervals_are_the_percentiles_of_the_resampled_metrics(measured):
    protocol, sums = measured
    found = intervals(protocol, sums, samples=200, seed=5)
    draws = np.random.default_rng(5).integers(len(sums), size=(200, len(sums)))
    for name, values in protocol.resampled(sums, draws).items():
        assert found[name] == pytest.approx(tuple(np.nanpercentile(values, [2.5, 97.5])))
    assert found != intervals(protocol, sums, samples=200, seed=6)


def test_draws_in_parts_are_the_same_draws(video_sums, monkeypatch):
    whole = intervals(Segmentation(), video_sums(7), samples=50)
    monkeypatch.setattr("moca.evaluation.statistics._DRAWN", 20)
    monkeypatch.setattr("moca.evaluation.protocols.segmentation._CHUNK", 1)
    parts = intervals(Segmentation(), video_sums(7), samples=50)
    assert parts.keys() == whole.keys()
    assert all(parts[name] == pytest.approx(whole[name]) for name in whole)


def test_more_clips_make_intervals_narrower(video_sums):
    def width(count):
        low, high = intervals(Segmentation(), video_sums(count), samples=300)["miou_batch1"]
        return high - low

    assert width(160) < 0.6 * width(20)


def test_an_interval_usually_holds_the_true_mean():
    generator, held = np.random.default_rng(2), 0
    for seed in range(60):
        values = generator.random(50)
        sums = [{**clip, "ciou": float(value)} for clip, value in zip(clip_sums(50), values, strict=True)]
        low, high = intervals(Localisation(), sums, samples=200, seed=seed)["mean_ciou"]
        held += low <= 0.5 <= high
    assert 50 <= held <= 60


def test_there_is_no_interval_without_two_clips_or_without_the_metric(video_sums):
    sums = video_sums(5)
    assert intervals(Segmentation(), sums[:1]) == intervals(Segmentation(), sums, samples=0) == {}
    silent = intervals(Segmentation(), [sums[4], sums[4]], samples=10)
    assert "f_mask" not in silent and "f_batch_free" not in silent and "miou_plain" in silent


@pytest.mark.parametrize("samples", [-1, 100_001])
def test_samples_out_of_range(video_sums, samples):
    with pytest.raises(InputError) as refusal:
        intervals(Segmentation(), video_sums(2), samples=samples)
    assert str(refusal.value) == (
        f"samples must be a whole number between 0 and 100000, got {samples}; 1,000 suit most uses."
    )


def test_times_drawn_and_ratio():
    assert times_drawn(np.array([[0, 0, 2], [1, 2, 2]]), 4).tolist() == [[2, 0, 1, 0], [0, 1, 2, 0]]
    found = ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    assert found[0] == 0.5 and np.isnan(found[1])


def naive_p(differences):
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product([1, -1], repeat=6)]
    return np.mean([value >= abs(sum(differences)) - 1e-12 for value in sums])


def test_p_of_few_clips_is_the_share_of_all_sign_patterns():
    generator = np.random.default_rng(3)
    for _ in range(5):
        a, b = generator.random((2, 6))
        found = paired(a, b)
        assert found.exact and found.p == naive_p(a - b)
    best = paired(np.ones(6), np.zeros(6))
    assert best.p == 2 / 64 and (best.wins, best.ties, best.losses) == (6, 0, 0)


def test_p_of_many_clips_is_close_to_that_of_the_normal_distribution():
    generator = np.random.default_rng(4)
    a, b = generator.random((2, 300))
    from scipy.stats import norm

    difference = a - b
    score = difference.sum() / np.sqrt((difference**2).sum())
    found = paired(a, b, permutations=20_000)
    assert not found.exact and found.p == pytest.approx(2 * norm.sf(abs(score)), abs=0.02)
    assert paired(a + 1, b).p == 1 / 10_001  # never 0


def test_equal_methods_differ_by_chance_alone():
    values = np.random.default_rng(5).random(40)
    found = paired(values, values)
    assert (found.difference, found.interval, found.p) == (0, (0, 0), 1)
    assert (found.wins, found.ties, found.losses) == (0, 40, 0)


def test_swapping_the_sides_swaps_the_verdict():
    a, b = np.random.default_rng(6).random((2, 10))
    one, two = paired(a, b), paired(b, a)
    assert one.difference == -two.difference and one.p == two.p and one.wins == two.losses > 0
    assert one.interval == pytest.approx((-two.interval[1], -two.interval[0]))
    lower = paired(a, b, lower_is_better=True)
    assert (lower.wins, lower.losses, lower.difference) == (one.losses, one.wins, one.difference)


def test_one_clip_has_no_interval_and_cannot_convince():
    found = paired([0.9], [0.1])
    assert found.interval is None and found.p == 1 and found.difference == pytest.approx(0.8)


def test_permutations_out_of_range():
    with pytest.raises(InputError) as refusal:
        paired([1], [0], permutations=0)
    assert str(refusal.value) == "permutations must be at least 1, got 0; 10,000 suit most uses."


def test_rounding_does_not_decide_ties():
    """Differences of one decimal, whose sums are often equal: p as fractions have it."""
    generator = np.random.default_rng(0)
    for _ in range(40):
        a, b = np.round(generator.random((2, 6)), 1)
        differences = [Fraction(round(10 * x)) - Fraction(round(10 * y)) for x, y in zip(a, b, strict=True)]
        assert paired(a, b, samples=0).p == naive_p(differences)
