"""The page about an evaluation: complete in itself, true to the result, and the clips that were asked for."""

import math
import re
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest

from moca.core.step import StepResult
from moca.errors import InputError
from moca.evaluation import Segmentation, evaluate
from moca.reports.clips import CELL_MAX_WIDTH_PX, CELL_PX, chosen_clips, clip_pictures, draw_clip
from moca.reports.evaluation import render_evaluation, write_evaluation_report
from moca.reports.histogram import bin_counts, draw_histogram


@dataclass(frozen=True)
class Clip:
    """Steps of a random picture whose left half sounds."""

    step: object
    name: str = "clip"
    category: str = "dog"
    size: tuple[int, int] = (24, 40)
    annotated: int = 3

    def steps(self):
        for index in range(3):
            yield self.step(index, size=self.size)

    def truths(self):
        for index in range(3):
            truth = np.zeros(self.size, bool)
            truth[:, : self.size[1] // 2] = True
            yield truth if index < self.annotated else None

    def fingerprint(self):
        return self.name


@dataclass
class Half:
    """Masks the left `share` of every frame."""

    name: str = "half"
    settings: dict = field(default_factory=lambda: {"model": "none", "deep": {"k": 4}})
    share: float = 0.5
    licence: str = "free <of charge>"
    runs: int = 0

    def segment_steps(self, steps):
        self.runs += 1
        for step in steps:
            mask = np.zeros(step.frame.shape[:2], bool)
            mask[:, : round(mask.shape[1] * self.share)] = True
            yield StepResult(
                index=step.index, start_s=step.start_s, end_s=step.end_s, frame_s=step.frame_s, mask=mask,
                heat=mask.astype(np.float32), score=1.0, level_dbfs=-20.0,
            )  # fmt: skip


@pytest.fixture
def clips(make_step):
    return [Clip(make_step, name=f"clip{index}") for index in range(4)]


def scored(result, values):
    """The result with other scores of its clips."""
    first = result.clips[0]
    return replace(
        result,
        clips=tuple(
            replace(first, name=f"clip{index}", metrics={**first.metrics, "miou_batch1": value})
            for index, value in enumerate(values)
        ),
    )


def test_clips_are_chosen_by_their_score(clips):
    result = scored(evaluate(Half(), clips), [0.2, math.nan, 0.9, 0.5, 0.2])
    assert chosen_clips(result, 10) == [2, 3, 0, 4, 1]  # best first, equal ones in their order, without a score last
    assert chosen_clips(result, 10, worst_first=True) == [0, 4, 3, 2, 1]
    assert chosen_clips(result, 2, worst_first=True) == [0, 4]
    assert chosen_clips(result, 3) == [2, 0, 1] and chosen_clips(result, 1) == [2] and chosen_clips(result, 0) == []
    with pytest.raises(InputError) as refusal:
        chosen_clips(result, -1)
    assert str(refusal.value) == "the gallery must show at least 0 clips, got -1; 0 leaves it out."


def drawn(clip, method):
    """The clip's picture as pixels."""
    jpeg = draw_clip(clip, list(method.segment_steps(clip.steps())))
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_a_clip_is_drawn_with_truth_mask_and_heat(clips):
    picture = drawn(clips[0], Half())
    width = round(40 * CELL_PX / 24)
    assert picture.shape == (3 * CELL_PX, 3 * width, 3)
    heat = picture[2 * CELL_PX :, :width].astype(int)
    assert heat[:, : width // 2 - 8].mean() > heat[:, width // 2 + 8 :].mean() + 60
    other = drawn(clips[0], Half(share=0.25))
    changes = [np.abs(rows).max() for rows in np.vsplit(picture.astype(int) - other, 3)]
    assert changes[0] < 40 < min(changes[1:])  # the truth is the same
    assert drawn(replace(clips[0], annotated=1), Half()).shape == (3 * CELL_PX, width, 3)


@pytest.mark.parametrize("size", [(16, 16000), (16000, 16), (1, 5000), (5000, 1), (1, 1), (16, 70000)])
def test_a_frame_of_any_shape_is_drawn(make_step, size):
    picture = drawn(Clip(make_step, size=size), Half())
    height, width = picture.shape[:2]
    assert 3 * 16 <= height <= 3 * CELL_PX and 3 * 16 <= width <= 3 * CELL_MAX_WIDTH_PX


def test_pictures_are_kept_in_the_cache_of_the_evaluation(clips, tmp_path):
    method = Half()
    evaluate(method, clips, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    told = []
    first = clip_pictures(
        method, clips, [2, 0], protocol=Segmentation(), cache=tmp_path, progress=lambda *done: told.append(done)
    )
    assert list(first) == [2, 0] and method.runs == 6 and told == [("drawing clips", 1, 2), ("drawing clips", 2, 2)]
    assert len(list(folder.glob("*.jpg"))) == 2 and len(list(folder.glob("*.json"))) == 4
    again = clip_pictures(method, clips, [0, 2, 1], protocol=Segmentation(), cache=tmp_path)
    assert again[0] == first[0] and method.runs == 7
    assert clip_pictures(Half(), clips, [0], protocol=Segmentation()) == {0: first[0]}
    evaluate(method, clips, cache=tmp_path)
    assert method.runs == 7  # pictures are no scores


def test_the_page_says_what_was_found(clips, tmp_path):
    extras = {"silence": clips[:1]}
    result = evaluate(Half(), clips, controls=("muted",), extras=extras, data={"name": "fake", "split": "test"})
    pictures = clip_pictures(Half(), clips, [3, 1], protocol=Segmentation())
    path = tmp_path / "out" / "report.html"
    write_evaluation_report(path, "half, fake", result, pictures=pictures, notes=["mind the gap"])
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n") and "<h1>half, fake</h1>" in page
    for words in ("mind the gap", "own sound", "muted", "False positives", "silence", "1.0000", "deep.k", "numpy"):
        assert words in page
    assert page.count("<small>") >= 2 * len(result.intervals)
    assert "2 of 4, from the best to the worst" in page and page.count("data:image/jpeg;base64,") == 2
    assert page.index("clip3") < page.index("clip1")
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page)
    assert [path.name for path in path.parent.iterdir()] == ["report.html"]


def test_what_was_not_run_is_said_and_not_shown(clips):
    page = render_evaluation("half", evaluate(Half(), clips, samples=0), {})
    assert "No control was run." in page
    assert "False positives" not in page and "<figure>" not in page and "bootstrap" not in page
    shown = render_evaluation("half", evaluate(Half(), clips), {0: b"jpeg"}, True)
    assert "1 of 4, the worst first" in shown and "resampled 1,000 times" in shown


def test_texts_from_outside_stay_texts(clips):
    hostile = '<img src=x onerror="alert(1)">'
    named = [replace(clip, name=f"{hostile}{index}", category=hostile) for index, clip in enumerate(clips)]
    method = Half(name=hostile, settings={hostile: hostile})
    result = evaluate(method, named, data={hostile: hostile})
    page = render_evaluation(hostile, result, {0: b"jpeg"}, notes=[hostile])
    assert "<img src=x" not in page and "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in page
    assert "free &lt;of charge&gt;" in page


def test_histogram_counts_every_clip_once():
    values = [0, 0.049, 0.05, 0.5, 0.999, 1, 1.2, -0.1, math.nan]
    counts = bin_counts(values)
    assert sum(counts) == 8 and (counts[0], counts[1], counts[10], counts[19]) == (3, 1, 1, 3)
    svg = draw_histogram([0.25, 0.25, 0.75], "mIoU")
    assert svg.count('class="bin"') == 20 and "0.25 to 0.30: 2 clips" in svg and "0.75 to 0.80: 1 clip<" in svg
    assert "mIoU of 3 clips, mean 0.417" in svg
    tall = [float(height) for height in re.findall(r'class="bin"[^>]* height="([\d.]+)"', svg)]
    assert tall[5] == 2 * tall[15] > 0 and sum(tall) == tall[5] + tall[15]


def test_histogram_of_nothing_is_a_sentence():
    assert draw_histogram([math.nan], "<F>") == '<p class="note">&lt;F&gt; exists for none of the clips.</p>'
