"""A method on clips: what is run, what is kept, and who does which share."""

import json
import math

import numpy as np
import pytest

from moca.core.step import StepResult
from moca.errors import InputError
from moca.evaluation import Segmentation, evaluate
from moca.metrics import AVSBenchScores


def same(one, two):
    """Equal in everything that is stored, NaN included."""
    return json.dumps(one.to_json()) == json.dumps(two.to_json())


def test_a_perfect_method_scores_one_and_its_clips_too(world):
    result = evaluate(world.Listener(), world.clips())
    ones = ("miou_batch1", "miou_batch4", "f_batch1", "f_batch4", "f_batch_free", "f_mask", "miou_plain")
    for name in ones:
        assert result.metrics[name] == pytest.approx(1, abs=1e-6), name
        assert result.intervals[name] == pytest.approx((1, 1), abs=1e-6), name
    assert result.metrics["false_positive_area"] == 0
    counts = ("videos", "frames", "sounding_frames")
    assert tuple(result.metrics[name] for name in counts) == (6, 18, 12) and not set(counts) & set(result.intervals)
    assert [clip.name for clip in result.clips] == [f"clip{i}" for i in range(6)]
    assert (result.method, result.settings, result.licence) == ("listener", {"strength": 1}, "free")
    assert (result.controls, result.protocol) == ({}, {"name": "segmentation", "batch_videos": [1, 4]})


def test_the_numbers_are_those_of_the_accumulator(world):
    method, scores = world.Listener(scale=15), AVSBenchScores()
    for clip in world.clips():
        results = list(method.segment_steps(clip.steps()))
        scores.update(
            np.stack([r.mask for r in results]),
            np.stack([r.heat for r in results]),
            np.stack(list(clip.truths())),
        )
    result = evaluate(method, world.clips())
    assert result.metrics == scores.compute() and 0 < result.metrics["miou_batch1"] < 1
    low, high = result.intervals["miou_batch1"]
    assert low < result.metrics["miou_batch1"] < high


def test_heat_is_zero_where_the_method_says_nothing_sounds(world):
    quiet, loud = world.Listener(scale=0), world.Listener(scale=0, heat_when_closed=1.0)
    assert same(evaluate(quiet, world.clips()), evaluate(loud, world.clips()))
    assert not same(evaluate(quiet, world.clips()), evaluate(world.Listener(), world.clips()))


def test_frames_without_annotation_do_not_count(world):
    result = evaluate(world.Listener(), [world.FakeClip("a", 0.3, annotated=1)])
    assert result.metrics["frames"] == 1 and math.isnan(result.metrics["false_positive_area"])


def test_batches_may_be_given_with_the_protocol_or_beside_it(world):
    one = evaluate(world.Listener(scale=7), world.clips(), batch_videos=2)
    two = evaluate(world.Listener(scale=7), world.clips(), protocol=Segmentation(2))
    assert same(one, two) and "miou_batch2" in one.metrics and "miou_batch1" not in one.metrics


def test_controls_and_variants_run_on_the_same_clips(world):
    calls = []
    result = evaluate(
        world.Listener(),
        world.clips(),
        controls=("muted", "swapped"),
        variants={"frozen": world.Listener(scale=5)},
        progress=lambda what, done, total: calls.append((done, total)),
    )
    assert list(result.controls) == ["muted", "swapped", "frozen"]
    assert result.controls["muted"].metrics["f_mask"] == result.controls["muted"].metrics["mask_area"] == 0
    assert result.metrics["mask_area"] > 0
    assert 0 < result.controls["swapped"].metrics["miou_plain"] < 1
    assert result.controls["frozen"].metrics["miou_batch1"] < result.metrics["miou_batch1"]
    assert calls == [(i, 24) for i in range(1, 25)]


def test_extras_are_measured_apart(world):
    silent = [world.FakeClip("silent", 0.0)]
    loud = world.Listener(heat_when_closed=1.0)
    result = evaluate(loud, world.clips(), extras={"noise": world.clips(2), "silence": silent})
    assert list(result.false_positives) == ["noise", "silence"] and result.controls == {}
    assert (
        result.false_positives["silence"].metrics["mask_area"]
        == 0
        < result.false_positives["noise"].metrics["mask_area"]
    )
    assert result.metrics == evaluate(world.Listener(), world.clips()).metrics


def test_a_stopped_run_continues_where_it_was(world, tmp_path):
    stopped = world.Listener(fail_at=4)
    with pytest.raises(KeyboardInterrupt):
        evaluate(stopped, world.clips(), cache=tmp_path)
    assert len(list(tmp_path.glob("*/*.json"))) == 3
    resumed, again = world.Listener(), world.Listener()
    result = evaluate(resumed, world.clips(), cache=tmp_path)
    assert resumed.runs == 3 and same(result, evaluate(world.Listener(), world.clips()))
    assert same(evaluate(again, world.clips(), cache=tmp_path), result) and again.runs == 0


def test_the_cache_belongs_to_method_settings_control_and_clip(world, tmp_path):
    evaluate(world.Listener(), world.clips(2), cache=tmp_path)
    others = ((world.Listener(settings={"strength": 2}), 2), (world.Listener(name="other"), 2), (world.Listener(), 0))
    for method, wanted in others:
        evaluate(method, world.clips(2), cache=tmp_path)
        assert method.runs == wanted
    control, changed = world.Listener(), world.Listener()
    evaluate(control, world.clips(2), controls=["muted"], cache=tmp_path)
    assert control.runs == 2
    evaluate(changed, [world.FakeClip("clip0", 0.4)], cache=tmp_path)
    assert changed.runs == 1
    batches = world.Listener()
    evaluate(batches, world.clips(2), batch_videos=2, cache=tmp_path)  # cut from the same sums
    assert batches.runs == 0


def test_a_damaged_entry_is_scored_again(world, tmp_path):
    wanted = evaluate(world.Listener(), world.clips(3), cache=tmp_path)
    paths = sorted(tmp_path.glob("*/*.json"))
    paths[0].write_text("{")
    paths[1].write_text('{"sums": {"frames": 1}, "truth": ""}')
    method = world.Listener()
    assert same(evaluate(method, world.clips(3), cache=tmp_path), wanted) and method.runs == 2


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_do_their_share_and_the_last_has_the_serial_result(world, tmp_path, order):
    controls = {"controls": ("muted", "swapped"), "variants": {"frozen": world.Listener(name="frozen", scale=5)}}
    wanted = evaluate(world.Listener(), world.clips(5), **controls)
    runs, found = [], []
    for shard in order:
        method, seen = world.Listener(), []
        found.append(
            evaluate(
                method,
                world.clips(5),
                cache=tmp_path,
                shard=(shard, 3),
                progress=lambda what, done, total, seen=seen: seen.append(total),
                **controls,
            )
        )
        runs.append(method.runs)
        assert seen and set(seen) == {len(seen)}
    assert sorted(runs) == [3, 6, 6]  # three runs of the method over 1, 2 and 2 of the clips
    assert found[0] is None and found[1] is None and same(found[2], wanted)
    late = world.Listener()
    assert same(evaluate(late, world.clips(5), cache=tmp_path, **controls), wanted) and late.runs == 0


def test_the_data_are_kept_with_their_fingerprint(world):
    def data(clips, **about):
        return evaluate(world.Listener(), clips, data=about).data

    clips = world.clips(3)
    assert data(clips, name="fake")["name"] == "fake" and data(clips)["clips"] == 3
    moved = [world.FakeClip(clip.name, clip.level, clip.category, clip.annotated) for clip in clips]
    changed = [world.FakeClip(clip.name, 0.5, clip.category) for clip in clips]
    assert data(clips)["fingerprint"] == data(moved)["fingerprint"]
    assert len({data(found)["fingerprint"] for found in (clips, clips[:2], clips[::-1], changed)}) == 4


def test_intervals_follow_the_seed_and_can_be_left_out(world):
    def bounds(**options):
        return evaluate(world.Listener(scale=15), world.clips(), **options).intervals

    assert bounds() == bounds() != bounds(seed=1)
    assert bounds(samples=0) == {}


class Short:
    name, settings, licence = "listener", {}, None

    def __init__(self, world):
        self.inner = world.Listener()

    def segment_steps(self, steps):
        yield next(self.inner.segment_steps(steps))


class WrongSize(Short):
    def segment_steps(self, steps):
        for result in self.inner.segment_steps(steps):
            yield StepResult(**{**result.__dict__, "mask": result.mask[:1]})


REFUSALS = {
    "no clips": (
        lambda w, path: evaluate(w.Listener(), []),
        "evaluation needs at least 1 clip, got 0; choose another split or folder.",
    ),
    "unknown control": (
        lambda w, path: evaluate(w.Listener(), w.clips(), controls=["mute"]),
        "control must be one of muted, swapped, got 'mute'; drop or rename it.",
    ),
    "a name twice": (
        lambda w, path: evaluate(w.Listener(), w.clips(), controls=["muted"], variants={"muted": w.Listener()}),
        "controls and variants need distinct names, none of them 'none', got ['muted', 'muted']; rename.",
    ),
    "extras without clips": (
        lambda w, path: evaluate(w.Listener(), w.clips(), extras={"noise": []}),
        "extras need at least 1 clip each, got 0 for noise; leave them out.",
    ),
    "nothing to swap with": (
        lambda w, path: evaluate(w.Listener(), w.clips(1), controls=["swapped"]),
        "the swapped control needs at least 2 clips, got 1; evaluate more clips.",
    ),
    "no settings": (
        lambda w, path: evaluate(w.Listener(settings=None), w.clips(), cache=path),
        "resuming needs to know what results depend on, method listener has no settings; "
        "give it a `settings` dict or evaluate without a cache.",
    ),
    "batches of 0": (
        lambda w, path: evaluate(w.Listener(), w.clips(), batch_videos=0),
        "batch_videos must be at least 1, got 0; AVSBench uses 1 and 4.",
    ),
    "too few results": (
        lambda w, path: evaluate(Short(w), w.clips()),
        "a method must return one result per step, listener returned 1 for the 3 of clip clip0; mend the method.",
    ),
    "another size": (
        lambda w, path: evaluate(WrongSize(w), w.clips()),
        "masks and heat maps must have the ground truth's size, clip clip0 step 0 has (4, 6) and got "
        "(1, 6) and (4, 6); give frames and masks of one size.",
    ),
    "nothing annotated": (
        lambda w, path: evaluate(w.Listener(), [w.FakeClip("a", 0.3, annotated=0)]),
        "a clip needs at least 1 annotated frame, a has 0; leave it out.",
    ),
    "unknown protocol": (
        lambda w, path: evaluate(w.Listener(), w.clips(), protocol="pointing"),
        "protocol must be one of segmentation, semantic, localisation, got 'pointing'; choose one of them.",
    ),
    "classes are not known": (
        lambda w, path: evaluate(w.Listener(), w.clips(), protocol="semantic"),
        'protocol "semantic" needs class names; pass moca.evaluation.Semantic(names).',
    ),
    "shard out of range": (
        lambda w, path: evaluate(w.Listener(), w.clips(), cache=path, shard=(0, 2)),
        "shard must be (i, n) with i from 1 to n, got (0, 2); e.g. (1, 4) to (4, 4).",
    ),
    "shard without a cache": (
        lambda w, path: evaluate(w.Listener(), w.clips(), shard=(1, 2)),
        "shards meet in a cache, got none; give all of them the same folder.",
    ),
    "samples": (
        lambda w, path: evaluate(w.Listener(), w.clips(), samples=-1),
        "samples must be a whole number between 0 and 100000, got -1; 1,000 suit most uses.",
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals(world, tmp_path, kind):
    call, message = REFUSALS[kind]
    with pytest.raises(InputError) as refusal:
        call(world, tmp_path)
    assert str(refusal.value) == message
    assert not list(tmp_path.iterdir())
