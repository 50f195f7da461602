"""Semantic and localisation: from a method's results to the numbers of the metrics' own tests."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from moca.core.step import Segment
from moca.errors import InputError
from moca.evaluation import Localisation, Semantic, evaluate, muted
from moca.evaluation.datasets import UNCLIPPED
from moca.metrics.accumulators import MEANS, FrameMean
from moca.metrics.column import Column
from moca.metrics.localisation import box_map, resize_heat, score_map
from moca.metrics.semantic import pad_frames, score_labels
from moca.segmentation.coarse import heat_map
from moca.segmentation.config import SegmentConfig

NAMES = ("background", "bell", "drum")


@dataclass(frozen=True)
class Labelled:
    """A clip whose columns `0 .. 1` are bell and `2 .. 3` drum; built on a FakeClip."""

    inner: object
    name: str = "clip"
    category: str = "bell_drum"

    def steps(self):
        return self.inner.steps()

    def truths(self):
        for at in range(3):
            truth = np.zeros((4, 6), np.int64)
            truth[:, :2], truth[:, 2:4] = 1, 2
            yield truth if at else None

    def fingerprint(self):
        return f"labelled {self.inner.fingerprint()}"


class Naming:
    """The listener, whose mask is one segment with a label."""

    name, settings, licence = "naming", {}, "free"

    def __init__(self, world, label):
        self.inner, self.label = world.Listener(scale=10), label

    def segment_steps(self, steps):
        for result in self.inner.segment_steps(steps):
            segment = Segment(mask=result.mask, score=1.0, label=self.label)
            yield replace(result, segments=(segment,) if result.mask.any() else ())


class LoudIsDrum:
    """Labels what has none: drum if the step is loud, else bell."""

    how = "by loudness"

    def label(self, step, result):
        name = "drum" if step.audio[0] > 0.25 else "bell"
        return replace(result, segments=tuple(replace(s, label=s.label or name) for s in result.segments))


def test_labels_are_scored_as_padded_class_maps(world):
    clip = Labelled(world.FakeClip("clip", 0.2))
    result = evaluate(Naming(world, "bell"), [clip], protocol=Semantic(NAMES))
    truth, found = np.stack([t for t in clip.truths() if t is not None]), np.zeros((2, 4, 6), np.int64)
    found[0, :, :2] = 1  # the listener hears nothing in the last step
    wanted = score_labels(pad_frames(found), pad_frames(truth), classes=3)
    assert result.clips[0].sums == wanted.to_json() and result.metrics["frames"] == 10
    assert result.protocol == {"name": "semantic", "classes": list(NAMES), "labels": "the method's own labels"}


def test_a_labeller_names_what_the_method_does_not(world):
    def classes_iou(label, level, labeller):
        clip = Labelled(world.FakeClip("clip", level))
        protocol = Semantic(NAMES, labeller=labeller)
        return evaluate(Naming(world, label), [clip], protocol=protocol).clips[0].sums["iou"]

    assert classes_iou(None, 0.2, None)[1:] == [0, 0]  # without a label it is no class
    assert classes_iou(None, 0.2, LoudIsDrum()) == classes_iou("bell", 0.2, None)
    assert classes_iou(None, 0.4, LoudIsDrum()) == classes_iou("drum", 0.4, None) != classes_iou("bell", 0.4, None)
    assert classes_iou("bell", 0.4, LoudIsDrum()) == classes_iou("bell", 0.4, None)  # its own label stays


def test_labellers_do_not_share_a_cache(world, tmp_path):
    clip = Labelled(world.FakeClip("clip", 0.4))
    for protocol in (Semantic(NAMES), Semantic(NAMES, labeller=LoudIsDrum())):
        method = Naming(world, None)
        evaluate(method, [clip], protocol=protocol, cache=tmp_path)
        assert method.inner.runs == 1
    method = Naming(world, None)
    evaluate(method, [clip], protocol=Semantic(NAMES), cache=tmp_path)
    assert method.inner.runs == 0


def test_controls_hear_their_own_sound_when_labelled(world):
    heard = []

    class Remembering(LoudIsDrum):
        def label(self, step, result):
            heard.append(float(step.audio[0]))
            return super().label(step, result)

    clip = Labelled(world.FakeClip("clip", 0.4))
    results = list(Naming(world, None).segment_steps(clip.steps()))
    Semantic(NAMES, labeller=Remembering()).score(muted(clip), results)
    assert heard == [0, 0, 0]


@dataclass(frozen=True)
class Boxed:
    """One step of a FakeClip with boxes."""

    inner: object
    boxes: tuple
    name: str = "boxed"
    category: str = "dog barking"
    count: int = 1

    def steps(self):
        yield from list(self.inner.steps())[: self.count]

    def truths(self):
        for _ in range(self.count):
            yield box_map(self.boxes, 6)[:4]

    def fingerprint(self):
        return f"boxed {self.inner.fingerprint()}"


def test_heat_is_scored_against_boxes_at_224(world):
    clip = Boxed(world.FakeClip("clip", 0.3), boxes=((0.0, 0.0, 0.5, 1.0),))
    method = world.Listener()
    result = evaluate(method, [clip], protocol="localisation")
    (step,) = method.segment_steps(clip.steps())
    wanted = score_map(resize_heat(step.heat), box_map(clip.boxes).astype(np.float32))
    assert result.clips[0].sums == wanted.to_json() and result.clips[0].metrics["ap_pixel"] > 0.9
    off = evaluate(world.Listener(), [muted(clip)], protocol="localisation")
    assert off.clips[0].metrics["ap_pixel"] < result.clips[0].metrics["ap_pixel"]


def test_degenerate_boxes_count_as_a_source_that_nobody_finds(world):
    clip = Boxed(world.FakeClip("clip", 0.3), boxes=((0.5, 0.5, 0.5, 0.5),))
    metrics = evaluate(world.Listener(), [clip], protocol=Localisation()).metrics
    assert (metrics["sounding"], metrics["mean_ciou"], metrics["ap_pixel"]) == (1, 0, 0)
    nothing = Boxed(world.FakeClip("clip", 0.3), boxes=())
    assert evaluate(world.Listener(), [nothing], protocol=Localisation()).metrics["sounding"] == 0


def test_localisation_wants_one_step(world):
    clip = Boxed(world.FakeClip("clip", 0.3), boxes=((0, 0, 1, 1),), count=2)
    with pytest.raises(InputError) as refusal:
        evaluate(world.Listener(), [clip], protocol="localisation")
    assert str(refusal.value) == (
        "localisation is scored on one annotated step per clip, boxed has 2; "
        "choose the protocol of the clip's data set."
    )


def test_unclipped_heat_ranks_every_pixel_where_clipped_heat_takes_the_whole_frame():
    cosines = np.full((8, 8), -0.5, np.float32) + np.linspace(0, 0.1, 64, dtype=np.float32).reshape(8, 8)
    cosines[2:4, 2:4] = 0.6
    truth = np.zeros((224, 224), bool)
    truth[40:130, 40:130] = True
    clipped, open_heat = (
        heat_map(cosines, (224, 224), SegmentConfig(**settings)) for settings in ({"heat_low": 0.0}, UNCLIPPED)
    )
    everything = truth.mean()
    assert score_map(clipped, truth).ciou == pytest.approx(everything, abs=1e-6)
    assert np.unique(open_heat).size > 1000
    assert score_map(open_heat, truth).ciou > everything + 0.01


def test_a_new_metric_is_its_function_and_a_row(world, monkeypatch):
    def corner(masks, truth):
        return masks[:, 0, 0].astype(float)

    column = Column("corner", "share of sounding frames whose first pixel is masked")
    monkeypatch.setitem(MEANS, "corner", FrameMean(of=corner, over="sounding", stored="corner", column=column))
    result = evaluate(world.Listener(), world.clips(4), samples=20)
    assert result.metrics["corner"] == 1 and result.intervals["corner"] == (1, 1)
    assert result.measured_by.column("corner").title == "corner"
    assert {clip.sums["corner"] for clip in result.clips} == {2.0}
