"""A stopped run goes on after its last step that is whole, whatever became of its files meanwhile."""

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from moca.core.step import Proposals, StepResult
from moca.errors import InputError
from moca.output.config import OutputConfig
from moca.output.records import StoredSteps, step_record
from moca.output.segment_file import segment_file
from moca.output.unfinished import HEAT_PX, PARTIAL, UnfinishedRun
from moca.segmenter import Segmenter


def test_a_stopped_run_leaves_nothing_half_written_and_goes_on_where_it_was(segmenter, clip, tmp_path, monkeypatch):
    out, whole = tmp_path / "out", tmp_path / "whole"
    segment_file(segmenter, clip, whole, OutputConfig(steps_per_s=2))
    calls = []

    def stop(what, done, total):
        calls.append((what, done, total))
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2), progress=stop)
    assert calls == [("segmenting", step / 2, 3.0) for step in range(1, 5)]
    assert [path.name for path in out.iterdir()] == [PARTIAL]
    with (out / PARTIAL / "steps.jsonl").open("a") as stream:
        stream.write('{"index": 4, "sta')  # what a kill in the middle of a line leaves
    segmented = []
    monkeypatch.setattr(
        segmenter, "_segment_batch", lambda steps: segmented.extend(steps) or Segmenter._segment_batch(segmenter, steps)
    )
    assert segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2)).steps == 6
    assert [step.index for step in segmented] == [4, 5]
    assert sorted(path.name for path in out.iterdir()) == ["masks", "overlay.mp4", "report.html", "segments.json"]
    assert (out / "segments.json").read_text() == (whole / "segments.json").read_text()
    for mask in (whole / "masks").iterdir():
        assert (out / "masks" / mask.name).read_bytes() == mask.read_bytes()
    assert (out / "overlay.mp4").stat().st_size > 0


def test_what_a_run_with_other_settings_left_is_not_used(segmenter, clip, tmp_path):
    out = tmp_path / "out"
    (out / PARTIAL / "masks").mkdir(parents=True)
    (out / PARTIAL / "masks" / "000009.png").write_bytes(b"junk")
    (out / PARTIAL / "settings.json").write_text('{"other": 1}')
    (out / PARTIAL / "steps.jsonl").write_text('{"index": 0}\n')
    assert segment_file(segmenter, clip, out, OutputConfig()).steps == 3
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["000000.png", "000001.png", "000002.png"]


def test_proposals_come_back_when_a_stopped_run_goes_on(proposing, clip, tmp_path):
    results = list(proposing.segment(clip))
    run = UnfinishedRun(tmp_path / "out", {"a": 1})
    for result in results[:2]:
        run.add(result)
    again = UnfinishedRun(tmp_path / "out", {"a": 1})
    first, second = again.finished_steps()
    np.testing.assert_array_equal(first.coarse, results[0].coarse)
    for name in ("masks", "scores", "measured", "matched"):  # small enough a frame to be kept as it is
        np.testing.assert_array_equal(getattr(first.proposals, name), getattr(results[0].proposals, name))
    assert second.coarse is None and second.proposals is None
    assert step_record(first) == step_record(results[0]) == again.records[0]


def test_large_proposals_are_kept_small_and_none_are_kept_as_none(proposing, make_step, tmp_path):
    (result,) = proposing.segment_steps([make_step(size=(300, 1000))])
    none = replace(result, index=1, proposals=replace(result.proposals, masks=result.proposals.masks[:0], matched=()))
    run = UnfinishedRun(tmp_path / "out", {})
    run.add(result)
    run.add(none)
    kept, empty = run.finished_steps()
    assert kept.proposals.masks.shape == (3, 300, 1000) and empty.proposals.masks.shape == (0, 300, 1000)
    assert np.load(run.folder / "proposals" / "000000.npz")["masks"].nbytes == 3 * 144 * HEAT_PX / 8
    assert (kept.proposals.masks != result.proposals.masks).mean() < 0.01


def test_records_written_before_there_were_proposals_can_be_read(segmenter, clip, tmp_path):
    run = UnfinishedRun(tmp_path / "out", {})
    (result, *_) = segmenter.segment(clip)
    run.add(result)
    old = {name: value for name, value in run.records[0].items() if name not in ("coarse", "proposals")}
    read = StoredSteps(run.folder, [old]).on_show(0.0)
    np.testing.assert_array_equal(read.mask, result.mask)
    assert read.coarse is None and read.proposals is None


def stopped(segmenter, clip, out, *, steps_per_s=2, after=5):
    """Leave a run of six steps that was stopped after its fifth step; returns its hidden folder."""
    calls = []

    def stop(what, *progress, **values):
        calls.append(what)
        if len(calls) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(segmenter, clip, out, OutputConfig(steps_per_s=steps_per_s), progress=stop)
    return out / PARTIAL


def without(folder, number, key):
    lines = (folder / "steps.jsonl").read_text().splitlines()
    record = json.loads(lines[number])
    del record[key]
    lines[number] = json.dumps(record)
    (folder / "steps.jsonl").write_text("".join(f"{line}\n" for line in lines))


def other_line(folder, number, line):
    lines = (folder / "steps.jsonl").read_bytes().splitlines()
    lines[number] = line
    (folder / "steps.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def inverted(path):
    cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


DAMAGES = {
    "no mask": lambda folder: (folder / "masks" / "000002.png").unlink(),
    "half a mask": lambda folder: half(folder / "masks" / "000002.png"),
    "an empty mask file": lambda folder: (folder / "masks" / "000002.png").write_bytes(b""),
    "a mask of other pixels": lambda folder: inverted(folder / "masks" / "000002.png"),
    "no heat": lambda folder: (folder / "heat" / "000002.png").unlink(),
    "a damaged heat": lambda folder: (folder / "heat" / "000002.png").write_bytes(b"no picture"),
    "no proposals": lambda folder: (folder / "proposals" / "000002.npz").unlink(),
    "half of the proposals": lambda folder: half(folder / "proposals" / "000002.npz"),
    "an empty file of proposals": lambda folder: (folder / "proposals" / "000002.npz").write_bytes(b""),
    "a record without its reason": lambda folder: without(folder, 2, "reason"),
    "a record without its segments": lambda folder: without(folder, 2, "segments"),
    "a record without its share": lambda folder: without(folder, 2, "area_share"),
    "a line that is no record": lambda folder: other_line(folder, 2, b"null"),
    "a line that is no JSON": lambda folder: other_line(folder, 2, b'{"index": 2, '),
    "a line of other bytes": lambda folder: other_line(folder, 2, b'{"index": "\xff\xfe"}'),
    "a line twice": lambda folder: other_line(folder, 2, (folder / "steps.jsonl").read_bytes().splitlines()[1]),
}
FROM_THE_START = {
    "settings of other bytes": lambda folder: (folder / "settings.json").write_bytes(b"\xff\xfe"),
    "no settings": lambda folder: (folder / "settings.json").unlink(),
    "no folder of masks": lambda folder: (folder / "masks").rename(folder / "elsewhere"),
    "a folder for the lines": lambda folder: [(folder / "steps.jsonl").unlink(), (folder / "steps.jsonl").mkdir()],
}


@pytest.mark.parametrize("damage", [*DAMAGES, *FROM_THE_START])
def test_a_damaged_step_is_done_again_and_all_after_it(proposing, write_clip, tmp_path, monkeypatch, damage):
    loud = write_clip(tmp_path / "loud.mp4", loud=(True,))
    out, whole = tmp_path / "out", tmp_path / "whole"
    segment_file(proposing, loud, whole, OutputConfig(steps_per_s=2))
    folder = stopped(proposing, loud, out)
    assert len((folder / "steps.jsonl").read_bytes().splitlines()) == 5
    {**DAMAGES, **FROM_THE_START}[damage](folder)
    segmented = []
    monkeypatch.setattr(
        proposing, "_segment_batch", lambda steps: segmented.extend(steps) or Segmenter._segment_batch(proposing, steps)
    )
    assert segment_file(proposing, loud, out, OutputConfig(steps_per_s=2)).steps == 6
    assert [step.index for step in segmented] == list(range(2 if damage in DAMAGES else 0, 6))
    assert (out / "segments.json").read_text() == (whole / "segments.json").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["masks", "overlay.mp4", "report.html", "segments.json"]
    for mask in (whole / "masks").iterdir():
        assert (out / "masks" / mask.name).read_bytes() == mask.read_bytes()


def stopped_moving(segmenter, clip, out, monkeypatch):
    """A run that was killed when the first of its products was in its place."""
    moved = []

    def replace(old, new, real=os.replace):
        if moved and Path(new).parent == out:
            raise KeyboardInterrupt
        moved.extend([new] * (Path(new).parent == out))
        real(old, new)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("moca.output.products.os.replace", replace)
        segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2))


def test_a_run_stopped_while_it_moved_its_products_is_finished(segmenter, clip, tmp_path, monkeypatch):
    out, whole = tmp_path / "out", tmp_path / "whole"
    segment_file(segmenter, clip, whole, OutputConfig(steps_per_s=2))
    stopped_moving(segmenter, clip, out, monkeypatch)
    assert sorted(path.name for path in out.iterdir()) == [PARTIAL, "masks"]
    assert segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2)).steps == 6
    assert (out / "segments.json").read_text() == (whole / "segments.json").read_text()
    assert len(list((out / "masks").iterdir())) == 6


def test_the_heat_map_and_the_proposals_of_a_thread_of_a_frame_are_kept(proposing, make_step, tmp_path):
    (result,) = proposing.segment_steps([make_step(size=(16, 16_000))])
    run = UnfinishedRun(tmp_path / "out", {})
    run.add(result)
    (again,) = UnfinishedRun(tmp_path / "out", {}).finished_steps()
    assert np.array_equal(again.mask, result.mask) and again.heat.shape == (16, 16_000)
    assert again.proposals.masks.shape == (3, 16, 16_000)


def test_what_a_stopped_run_left_is_finished_with_other_settings(segmenter, clip, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stopped_moving(segmenter, clip, out, monkeypatch)
    assert segment_file(segmenter, clip, out, OutputConfig(steps_per_s=1)).steps == 3


@pytest.mark.parametrize("when", ["between", "during"])
def test_what_a_user_puts_beside_an_unfinished_run_is_never_replaced(segmenter, clip, tmp_path, when):
    out, config = tmp_path / "out", OutputConfig(steps_per_s=2)
    if when == "between":
        stopped(segmenter, clip, out)
        (out / "overlay.mp4").write_bytes(b"precious")

    def put(what, done, total):
        if when == "during":
            (out / "overlay.mp4").write_bytes(b"precious")

    with pytest.raises(InputError) as caught:
        segment_file(segmenter, clip, out, config, progress=put)
    assert str(caught.value) == (
        f"{out} already has overlay.mp4 from elsewhere; choose another folder or pass --overwrite."
    )
    assert sorted(path.name for path in out.iterdir()) == [PARTIAL, "overlay.mp4"]
    assert (out / "overlay.mp4").read_bytes() == b"precious"
    (out / "overlay.mp4").rename(out / "mine.mp4")
    assert segment_file(segmenter, clip, out, config).steps == 6
    assert (out / "mine.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("size", [(16, 16000), (16000, 16), (1, 5000), (5000, 1), (1, 1), (24, 40)])
def test_a_step_of_any_shape_is_kept_and_read_back(tmp_path, size):
    mask = np.ones(size, bool)
    proposals = Proposals(masks=mask[None], scores=np.ones(1), measured=np.ones(1), matched=(0,))
    result = StepResult(
        index=0, start_s=0.0, end_s=1.0, frame_s=0.5, mask=mask, heat=mask.astype(np.float32), score=0.5,
        level_dbfs=-20.0, coarse=mask, proposals=proposals,
    )  # fmt: skip
    UnfinishedRun(tmp_path / "out", {}).add(result)
    (back,) = UnfinishedRun(tmp_path / "out", {}).finished_steps()
    assert np.array_equal(back.mask, mask) and np.array_equal(back.heat, result.heat)
    assert np.array_equal(back.proposals.masks, proposals.masks) and back.proposals.matched == (0,)
