"""Two results on the same clips."""

from dataclasses import replace

import pytest

from moca.errors import InputError
from moca.evaluation import Segmentation, compare, evaluate


@pytest.fixture
def pair(world):
    return evaluate(world.Listener(), world.clips(8)), evaluate(world.Listener(scale=4), world.clips(8))


def test_the_better_method_wins_in_the_metric_of_a_clip(pair):
    found = compare(*pair)
    a, b = ([clip.metrics["miou_batch1"] for clip in result.clips] for result in pair)
    assert found.metric == "miou_batch1" and found.clips == 8 and found.left_out == 0
    assert found.difference == pytest.approx(sum(a) / 8 - sum(b) / 8) and found.difference > 0
    assert (found.mean_a, found.mean_b) == pytest.approx((sum(a) / 8, sum(b) / 8))
    assert (found.wins, found.ties, found.losses) == (8, 0, 0) and found.p == 2 / 2**8
    assert found.interval[0] > 0 and found == compare(*pair) != compare(*pair, seed=1)


def test_a_method_is_no_better_than_itself(pair):
    found = compare(pair[0], pair[0])
    assert (found.difference, found.p, found.ties) == (0, 1, 8)


def test_the_order_of_the_clips_does_not_matter(pair):
    turned = replace(pair[1], clips=pair[1].clips[::-1])
    assert turned != pair[1] and compare(pair[0], turned) == compare(*pair)


def test_lower_may_be_better_and_clips_without_the_metric_are_left_out(world):
    clips = [*world.clips(3), world.FakeClip("heard", 0.3, annotated=2)]
    bold = evaluate(world.Listener(scale=20), clips)
    found = compare(bold, evaluate(world.Listener(), clips), metric="false_positive_area")
    assert (found.clips, found.left_out) == (3, 1)  # every frame of the last clip sounds
    masked = (replace(clip, metrics={**clip.metrics, "false_positive_area": 1.0}) for clip in bold.clips)
    everywhere = replace(bold, clips=tuple(masked))
    worse = compare(everywhere, evaluate(world.Listener(), clips), metric="false_positive_area")
    assert (worse.wins, worse.losses) == (0, 3) and worse.difference == 1


def test_what_is_said_of_it(pair):
    lines = compare(*pair).lines("ours", "theirs")
    assert lines[0] == "mIoU, batch 1 (miou_batch1), mean over 8 clips"
    assert lines[1].startswith("A: 1.0000  ours") and lines[2].endswith("  theirs")
    assert lines[3].startswith("A - B: +0.") and "95 % interval [+0." in lines[3]
    assert lines[4] == "p = 0.0078 (paired, all sign patterns)"
    assert lines[5] == "A is better in 8, as good in 0, worse in 0"


def refusal(*results, **options):
    with pytest.raises(InputError) as caught:
        compare(*results, **options)
    return str(caught.value)


def test_other_clips_are_refused(world, pair):
    fewer = evaluate(world.Listener(), world.clips(7))
    assert refusal(pair[0], fewer) == (
        "two results must be of the same clips, got 8 and 7 with 7 in common (not in both: clip7); "
        "evaluate both on one data set."
    )
    changed = [*world.clips(7), world.FakeClip("clip7", 0.6, category="1")]
    assert refusal(pair[0], evaluate(world.Listener(), changed)) == (
        "two results must be of the same clips, 1 of 8 have another ground truth (first: clip7); "
        "evaluate both on one data set."
    )
    twice = evaluate(world.Listener(), [*world.clips(2), *world.clips(1)])
    assert refusal(twice, twice) == (
        "clips must have distinct names to be paired, 1 of listener's are there twice; evaluate each once."
    )


def test_other_protocols_and_metrics_are_refused(pair):
    other = replace(pair[1], protocol={"name": "localisation"})
    assert refusal(pair[0], other) == (
        "two results must be of one protocol, got segmentation and localisation; compare results of the same data."
    )
    names = [name for name in pair[0].clips[0].metrics if Segmentation.column(name).better]
    known = ", ".join(f"{name} ({Segmentation.column(name).title})" for name in names)
    assert {"miou_batch1", "f_mask"} < set(names) and "f_mask (F of masks)" in known
    for metric in ("accuracy", "mask_area", "videos"):  # unknown, neither end is better, a count
        assert refusal(*pair, metric=metric) == (
            f"metric must be one that clips of both results have, {known}, got {metric!r}; choose one of these."
        )


def test_a_metric_that_one_result_lacks_is_refused(pair):
    lacking = [replace(clip, metrics={**clip.metrics}) for clip in pair[1].clips]
    for clip in lacking:
        del clip.metrics["f_mask"]
    told = refusal(pair[0], replace(pair[1], clips=tuple(lacking)), metric="f_mask")
    assert told.endswith(", got 'f_mask', which B lacks; choose one of these.") and "f_mask (F of masks)" not in told


def test_a_metric_that_no_clip_has_is_refused(world):
    clips = [world.FakeClip("a", 0.3, annotated=2), world.FakeClip("b", 0.2, annotated=2)]
    result = evaluate(world.Listener(), clips)
    assert refusal(result, result, metric="false_positive_area") == (
        "false_positive_area exists in none of the 2 clips; compare another metric."
    )
