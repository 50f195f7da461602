import csv
import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from moca.errors import InputError
from moca.evaluation import CONTROLS, evaluate, muted, swap_all, swapped, write_results
from moca.media.video import Step
from moca.metrics import AVSBenchScores
from moca.results import StepResult

SIZE = (4, 6)
RATE_HZ = 100


@dataclass(frozen=True)
class FakeClip:
    """Its sound is a constant, `level`; the left `level * 10` columns sound, none in the last step."""

    name: str
    level: float
    category: str = ""
    annotated: int = 3

    def steps(self):
        for index in range(3):
            audio = np.full(RATE_HZ, self.level, np.float32)
            yield Step(
                index=index,
                start_s=float(index),
                end_s=index + 1.0,
                frame_s=index + 0.5,
                frame=np.zeros((*SIZE, 3), np.uint8),
                audio=audio,
                sample_rate_hz=RATE_HZ,
            )

    def truths(self):
        for index in range(3):
            truth = np.zeros(SIZE, bool)
            if index < 2:
                truth[:, : round(self.level * 10)] = True
            yield truth if index < self.annotated else None

    def fingerprint(self):
        return f"{self.name} {self.level}"


@dataclass
class Listener:
    """Masks the left columns as the level of the sound says; nothing in the last step or in silence."""

    name: str = "listener"
    settings: dict = field(default_factory=lambda: {"strength": 1})
    scale: float = 10
    heat_when_closed: float = 0.0
    runs: int = 0
    fail_at: int | None = None

    def segment_steps(self, steps):
        self.runs += 1
        if self.runs == self.fail_at:
            raise KeyboardInterrupt
        for step in steps:
            mask = np.zeros(SIZE, bool)
            level = 0 if step.audio is None or step.index == 2 else step.audio[0]
            mask[:, : round(float(level) * self.scale)] = True
            open_ = mask.any()
            yield StepResult(
                index=step.index,
                start_s=step.start_s,
                end_s=step.end_s,
                frame_s=step.frame_s,
                mask=mask,
                heat=mask.astype(np.float32) if open_ else np.full(SIZE, self.heat_when_closed, np.float32),
                score=1.0,
                level_dbfs=0.0,
                reason=None if open_ else "nothing sounds",
            )


def clips(count=6):
    return [FakeClip(f"clip{i}", 0.1 + 0.1 * (i % 4), category=str(i % 3)) for i in range(count)]


def same(one, two):
    """Equal metrics, NaN included."""
    return json.dumps(one.to_json()) == json.dumps(two.to_json())


def test_a_perfect_method_scores_one_and_its_clips_too():
    result = evaluate(Listener(), clips())
    for name in (
        "miou_batch1",
        "miou_batch4",
        "f_batch1",
        "f_batch4",
        "f_batch_free",
        "f_mask",
        "miou_plain",
    ):
        assert result.metrics[name] == pytest.approx(1, abs=1e-6), name
    assert result.metrics["false_positive_area"] == 0
    assert (result.metrics["videos"], result.metrics["frames"], result.metrics["sounding_frames"]) == (
        6,
        18,
        12,
    )
    assert [clip.name for clip in result.clips] == [f"clip{i}" for i in range(6)]
    assert (result.method, result.settings, result.controls) == ("listener", {"strength": 1}, {})


def test_the_numbers_are_those_of_the_accumulator():
    method, scores = Listener(scale=15), AVSBenchScores()
    for clip in clips():
        results = list(method.segment_steps(clip.steps()))
        scores.update(
            np.stack([r.mask for r in results]),
            np.stack([r.heat for r in results]),
            np.stack(list(clip.truths())),
        )
    result = evaluate(method, clips())
    assert result.metrics == scores.compute() and 0 < result.metrics["miou_batch1"] < 1


def test_heat_is_zero_where_the_method_says_nothing_sounds():
    quiet, loud = Listener(scale=0), Listener(scale=0, heat_when_closed=1.0)
    assert same(evaluate(quiet, clips()), evaluate(loud, clips()))
    open_gate = Listener(scale=10, heat_when_closed=1.0)
    assert same(evaluate(Listener(), clips()), evaluate(open_gate, clips()))


def test_frames_without_annotation_do_not_count():
    result = evaluate(Listener(), [FakeClip("a", 0.3, annotated=1)])
    assert result.metrics["frames"] == 1 and math.isnan(result.metrics["false_positive_area"])


def test_muted_keeps_everything_but_the_sound():
    clip = clips()[1]
    for plain, silent in zip(clip.steps(), muted(clip).steps(), strict=True):
        assert plain.audio.any() and not silent.audio.any() and silent.audio.shape == plain.audio.shape
        assert np.array_equal(plain.frame, silent.frame) and plain.frame_s == silent.frame_s
    assert muted(clip).name == clip.name and muted(clip).fingerprint() != clip.fingerprint()


def test_swapped_hears_the_other_clip():
    one, two = clips()[:2]
    assert [step.audio[0] for step in swapped(one, two).steps()] == [step.audio[0] for step in two.steps()]
    assert len({swapped(one, two).fingerprint(), one.fingerprint(), two.fingerprint()}) == 3


@pytest.mark.parametrize("categories", ["aabbcc", "abcabcabc", "aaab", "abbb", "", "aaaaa", "ab", "abccccc"])
def test_swapping_never_gives_a_clip_its_own_sound_and_leaves_the_category_where_it_can(categories):
    own = [FakeClip(f"c{i}", 0.1, category=c) for i, c in enumerate(categories or "    ")]
    pairs = swap_all(own)
    assert [pair.clip for pair in pairs] == own and swap_all(own) == pairs
    assert {pair.donor.name for pair in pairs} == {clip.name for clip in own}
    assert all(pair.clip.name != pair.donor.name for pair in pairs)
    kept = sum(pair.category == pair.donor.category for pair in pairs)
    largest = max(categories.count(c) for c in categories) if categories else 4
    assert kept == max(0, 2 * largest - len(own))  # no pairing can keep fewer


def test_controls_and_variants_run_on_the_same_clips():
    calls = []
    result = evaluate(
        Listener(),
        clips(),
        controls=("muted", "swapped"),
        variants={"frozen": Listener(scale=5)},
        progress=lambda done, total: calls.append((done, total)),
    )
    assert list(result.controls) == ["muted", "swapped", "frozen"]
    assert result.controls["muted"].metrics["f_mask"] == result.controls["muted"].metrics["mask_area"] == 0
    assert result.metrics["mask_area"] > 0
    assert 0 < result.controls["swapped"].metrics["miou_plain"] < 1
    assert result.controls["frozen"].metrics["miou_batch1"] < result.metrics["miou_batch1"]
    assert calls == [(i, 24) for i in range(1, 25)]


def test_a_stopped_run_continues_where_it_was(tmp_path):
    stopped = Listener(fail_at=4)
    with pytest.raises(KeyboardInterrupt):
        evaluate(stopped, clips(), cache=tmp_path)
    assert len(list(tmp_path.glob("*/*.json"))) == 3
    resumed, again = Listener(), Listener()
    result = evaluate(resumed, clips(), cache=tmp_path)
    assert resumed.runs == 3 and same(result, evaluate(Listener(), clips()))
    assert same(evaluate(again, clips(), cache=tmp_path), result) and again.runs == 0


def test_the_cache_belongs_to_method_settings_control_and_clip(tmp_path):
    evaluate(Listener(), clips(2), cache=tmp_path)
    for method, wanted in (
        (Listener(settings={"strength": 2}), 2),
        (Listener(name="other"), 2),
        (Listener(), 0),
    ):
        evaluate(method, clips(2), cache=tmp_path)
        assert method.runs == wanted
    control, changed = Listener(), Listener()
    evaluate(control, clips(2), controls=["muted"], cache=tmp_path)
    assert control.runs == 2
    evaluate(changed, [FakeClip("clip0", 0.4)], cache=tmp_path)
    assert changed.runs == 1


def test_a_damaged_entry_is_scored_again(tmp_path):
    wanted = evaluate(Listener(), clips(2), cache=tmp_path)
    paths = sorted(tmp_path.glob("*/*.json"))
    paths[0].write_text("{")
    paths[1].write_text('{"scores": {"frames": 1}}')
    method = Listener()
    assert same(evaluate(method, clips(2), cache=tmp_path), wanted) and method.runs == 2


def test_results_are_written_as_json_markdown_and_csv(tmp_path):
    results = {
        "ours": evaluate(Listener(), clips(), controls=("muted",)),
        "a|b": evaluate(Listener(scale=3), [FakeClip("a", 0.3, annotated=1)]),
    }
    paths = write_results(tmp_path / "out", results)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "results.csv",
        "results.json",
        "results.md",
    ]
    stored = json.loads(paths[0].read_text())
    assert stored["format"] == 1 and list(stored["results"]) == ["ours", "a|b"]
    assert stored["results"]["ours"]["controls"]["muted"]["metrics"]["f_mask"] == 0
    assert stored["results"]["a|b"]["metrics"]["false_positive_area"] is None
    assert len(stored["results"]["ours"]["clips"]) == 6
    table = paths[1].read_text().splitlines()
    assert table[2].startswith(
        "| method | control | mIoU, batch 1 | F, batch 1 | mIoU, batch 4 | F, batch 4 | F, batch-free |"
    )
    assert table[4].startswith("| ours | none | 1.0000 | 1.0000 |") and table[5].startswith("| ours | muted | ")
    assert table[6].startswith("| a\\|b | none | ") and "| n/a |" in table[6]
    assert table[-1] == "No control was run for: a|b."
    rows = list(csv.DictReader(paths[2].open()))
    assert [(row["method"], row["control"]) for row in rows] == [
        ("ours", "none"),
        ("ours", "muted"),
        ("a|b", "none"),
    ]
    assert float(rows[1]["miou_batch1"]) == results["ours"].controls["muted"].metrics["miou_batch1"]
    assert rows[2]["false_positive_area"] == ""


class Short(Listener):
    def segment_steps(self, steps):
        yield next(super().segment_steps(steps))


class WrongSize(Listener):
    def segment_steps(self, steps):
        for result in super().segment_steps(steps):
            yield StepResult(**{**result.__dict__, "mask": result.mask[:1]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda path: evaluate(Listener(), []),
            "evaluation needs at least 1 clip, got 0; choose another split or folder.",
        ),
        (
            lambda path: evaluate(Listener(), clips(), controls=["mute"]),
            "control must be one of muted, swapped, got 'mute'; drop or rename it.",
        ),
        (
            lambda path: evaluate(Listener(), clips(), controls=["muted"], variants={"muted": Listener()}),
            "controls and variants need distinct names, none of them 'none', got ['muted', 'muted']; rename.",
        ),
        (
            lambda path: evaluate(Listener(), clips(1), controls=["swapped"]),
            "the swapped control needs at least 2 clips, got 1; evaluate more clips.",
        ),
        (
            lambda path: evaluate(Listener(settings=None), clips(), cache=path),
            "resuming needs to know what results depend on, method listener has no settings; "
            "give it a `settings` dict or evaluate without a cache.",
        ),
        (
            lambda path: evaluate(Listener(), clips(), batch_videos=0),
            "batch_videos must be at least 1, got 0; AVSBench uses 1 and 4.",
        ),
        (
            lambda path: evaluate(Short(), clips()),
            "a method must return one result per step, listener returned 1 for the 3 of clip clip0; mend the method.",
        ),
        (
            lambda path: evaluate(WrongSize(), clips()),
            "masks and heat maps must have the ground truth's size, clip clip0 step 0 has (4, 6) and got "
            "(1, 6) and (4, 6); give frames and masks of one size.",
        ),
        (
            lambda path: evaluate(Listener(), [FakeClip("a", 0.3, annotated=0)]),
            "a clip needs at least 1 annotated frame, a has 0; leave it out.",
        ),
        (
            lambda path: write_results(path / "out", {}),
            "a table needs at least 1 result, got 0; evaluate a method first.",
        ),
    ],
)
def test_refusals(tmp_path, call, message):
    with pytest.raises(InputError) as refusal:
        call(tmp_path)
    assert str(refusal.value) == message
    assert not list(tmp_path.iterdir())


def test_the_controls_offered():
    assert list(CONTROLS) == ["muted", "swapped"]
