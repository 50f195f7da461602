import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from moca.core.rle import decode
from moca.errors import InputError
from moca.foundation.roles import Masks
from moca.media import probe, read_steps, write_video
from moca.media.collecting import collect_videos
from moca.output.batch import output_folders, segment_many
from moca.output.config import OutputConfig
from moca.output.segment_file import segment_file
from moca.output.segments_json import SEGMENTS_FORMAT, StoredSteps, step_record
from moca.output.unfinished import HEAT_PX, PARTIAL, UnfinishedRun
from moca.segmentation.config import ProposalConfig
from moca.segmentation.proposals import Proposer
from moca.segmenter import Segmenter

RATE_HZ = 8


def write_clip(path, *, seconds=3, loud=(True, False, True), size=(36, 52), sound=True):
    """A clip of moving noise whose seconds are loud or silent."""
    generator = np.random.default_rng(5)
    picture = cv2.GaussianBlur(generator.integers(0, 256, (*size, 3), dtype=np.uint8), (5, 5), 0)
    frames = [np.roll(picture, shift, axis=1) for shift in range(seconds * RATE_HZ)]
    audio = None
    if sound:
        second = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
        audio = np.concatenate([second if loud[i % len(loud)] else np.zeros(16_000) for i in range(seconds)])
        audio = audio.astype(np.float32)
    write_video(path, iter(frames), rate_hz=RATE_HZ, audio=audio, sample_rate_hz=16_000)
    return path


@pytest.fixture
def segmenter(pipeline):
    return Segmenter(pipeline, batch_steps=2)


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4")


def test_writes_everything_and_it_agrees(segmenter, clip, tmp_path):
    out = tmp_path / "out"
    summary = segment_file(segmenter, clip, out, OutputConfig())
    assert sorted(path.name for path in out.iterdir()) == [
        "masks",
        "overlay.mp4",
        "report.html",
        "segments.json",
    ]
    document = json.loads((out / "segments.json").read_text())
    assert (summary.steps, summary.sounding, summary.reused) == (3, 2, False)
    for step in document["steps"]:
        mask = cv2.imread(str(out / step["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (36, 52) and set(np.unique(mask)) <= {0, 255}
        union = np.zeros((36, 52), bool)
        for segment in step["segments"]:
            union |= decode(segment["rle"])
        np.testing.assert_array_equal(union, mask > 0)
    assert [step["reason"] is None for step in document["steps"]] == [True, False, True]
    assert document["steps"][1]["reason"].startswith("silent: ")
    html = (out / "report.html").read_text()
    assert "clip.mp4" in html and "silent" in html and "http://" not in html.replace("http://www.w3.org", "")


def test_overlay_keeps_size_length_and_sound_and_shows_the_mask(segmenter, clip, tmp_path):
    segment_file(segmenter, clip, tmp_path / "out", OutputConfig())
    before, after = probe(clip), probe(tmp_path / "out" / "overlay.mp4")
    assert (after.width, after.height, after.audio_stream is None) == (52, 36, False)
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.1)
    pairs = list(zip(read_steps(clip), read_steps(tmp_path / "out" / "overlay.mp4"), strict=True))
    changes = [np.abs(a.frame.astype(int) - b.frame).mean() for a, b in pairs]
    assert min(changes) > 1
    heard = [np.sqrt(np.mean(step.audio**2)) for _, step in pairs]
    assert heard[0] > 0.1 and heard[1] < 0.02 and heard[2] > 0.1


def test_a_finished_run_is_not_done_again(segmenter, clip, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = segment_file(segmenter, clip, out, OutputConfig())
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(segmenter, "segment_steps", lambda steps: pytest.fail("done twice"))
    again = segment_file(segmenter, clip, out, OutputConfig())
    assert again.reused and (again.steps, again.sounding) == (first.steps, first.sounding)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == written


def test_other_settings_are_refused_unless_overwritten(segmenter, clip, tmp_path):
    out = tmp_path / "out"
    segment_file(segmenter, clip, out, OutputConfig())
    with pytest.raises(InputError) as caught:
        segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2))
    assert str(caught.value) == (
        f"{out} holds a run of another video or with other settings; choose another folder or pass --overwrite."
    )
    assert segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2, overlay=False), overwrite=True).steps == 6
    assert not (out / "overlay.mp4").exists()  # none that belongs to the earlier run is left


def test_what_a_user_keeps_in_the_folder_is_never_replaced(segmenter, clip, tmp_path):
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    (out / "masks" / "mine.png").write_bytes(b"precious")
    with pytest.raises(InputError) as caught:
        segment_file(segmenter, clip, out, OutputConfig())
    assert str(caught.value) == (f"{out} already has masks from elsewhere; choose another folder or pass --overwrite.")
    assert (out / "masks" / "mine.png").read_bytes() == b"precious" and len(list(out.iterdir())) == 1
    (out / "masks").rename(out / "other")
    segment_file(segmenter, clip, out, OutputConfig())
    assert (out / "other" / "mine.png").read_bytes() == b"precious"


def test_a_stopped_run_leaves_nothing_half_written_and_goes_on_where_it_was(segmenter, clip, tmp_path, monkeypatch):
    out, whole = tmp_path / "out", tmp_path / "whole"
    segment_file(segmenter, clip, whole, OutputConfig(steps_per_s=2))
    seen = []

    def stop(stage, share):
        seen.append(stage)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(segmenter, clip, out, OutputConfig(steps_per_s=2), progress=stop)
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


def test_no_audio_stream_gives_empty_masks_and_says_so(segmenter, tmp_path):
    clip = write_clip(tmp_path / "mute.mp4", sound=False)
    summary = segment_file(segmenter, clip, tmp_path / "out", OutputConfig())
    assert summary.sounding == 0 and "The video has no audio stream: every mask is empty." in summary.notes
    assert "no audio stream" in (tmp_path / "out" / "report.html").read_text()
    assert probe(tmp_path / "out" / "overlay.mp4").audio_stream is None


def test_folder_goes_on_past_failures_and_resumes(segmenter, tmp_path):
    videos = tmp_path / "videos"
    (videos / "deep").mkdir(parents=True)
    write_clip(videos / "a.mp4", seconds=1)
    write_clip(videos / "deep" / "b.mp4", seconds=1)
    (videos / "broken.mp4").write_text("not a video")
    (videos / "notes.txt").write_text("ignored")
    outcome = segment_many(segmenter, [videos], tmp_path / "out", OutputConfig())
    assert [path.name for path in outcome.done] == ["a.mp4", "b.mp4"]
    with (tmp_path / "out" / "failures.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["video", "error"] and len(rows) == 2 and rows[1][0].endswith("broken.mp4")
    assert (tmp_path / "out" / "deep" / "b" / "segments.json").is_file()
    write_clip(videos / "broken.mp4", seconds=1)
    outcome = segment_many(segmenter, [videos], tmp_path / "out", OutputConfig())
    assert [summary.reused for summary in outcome.done.values()] == [True, False, True]
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_videos_of_one_name_do_not_share_a_folder(tmp_path):
    for name in ("x/a.mp4", "x/a.mkv", "y/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    inputs = [tmp_path / "x", tmp_path / "y"]
    folders = output_folders(collect_videos(inputs), inputs, tmp_path / "out")
    assert len(set(folders.values())) == 3


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(InputError) as caught:
        collect_videos([tmp_path / "absent.mp4"])
    assert str(caught.value) == f"{tmp_path / 'absent.mp4'} does not exist; give a video file or a folder of videos."
    with pytest.raises(InputError, match="must hold at least one video file"):
        collect_videos([tmp_path])


@pytest.mark.parametrize("rate", [0, -1, 101, float("nan")])
def test_refuses_an_impossible_rate(rate):
    with pytest.raises(InputError) as caught:
        OutputConfig(steps_per_s=rate)
    assert str(caught.value) == (
        f"steps_per_second must be a number above 0 and at most 100, got {rate}; the paper uses 1."
    )


class Halves:
    """A mask predictor whose masks are the left part of the frame, the right part and a corner."""

    def encode(self, frames):
        return [frame.shape[:2] for frame in frames]

    def from_points(self, size, points, **settings):
        masks = np.zeros((3, *size), bool)
        masks[0, :, : size[1] // 3] = masks[1, :, size[1] // 3 :] = masks[2, :4, :4] = True
        figures = np.array([0.9, 0.95, 0.99], np.float32)
        return Masks(masks=masks, scores=figures, stability=np.ones(3, np.float32))


@pytest.fixture
def proposing(pipeline):
    """A segmenter with three proposals a frame, any of which matches where it touches the coarse mask."""
    config = ProposalConfig(kind="grid", points_per_side=1, rule="cover", match=0.0)
    return Segmenter(replace(pipeline, proposer=Proposer(config, Halves())), batch_steps=2)


def test_the_record_tells_the_coarse_mask_and_which_proposals_match(proposing, clip, tmp_path):
    segment_file(proposing, clip, tmp_path / "out", OutputConfig())
    document = json.loads((tmp_path / "out" / "segments.json").read_text())
    assert document["format"] == SEGMENTS_FORMAT == 1
    assert document["settings"]["proposals"]["kind"] == "grid"
    loud, silent, _ = document["steps"]
    assert silent["coarse"] is None and silent["proposals"] is None
    (result, *_) = proposing.segment(clip)
    np.testing.assert_array_equal(decode(loud["coarse"]), result.coarse)
    assert loud["proposals"] == {
        "count": 3,
        "matched": [
            {"index": at, "score": pytest.approx([0.99, 0.95, 0.9][at], abs=1e-5), "overlap": pytest.approx(overlap)}
            for at, overlap in enumerate(result.proposals.overlaps)
            if overlap > 0
        ],
    }
    assert len(loud["segments"]) == len(loud["proposals"]["matched"]) > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "masks", "overlay.mp4", "report.html", "segments.json",
    ]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Proposals: " in page and "from grid, match where covered share is above 0" in page


def test_proposals_come_back_when_a_stopped_run_goes_on(proposing, clip, tmp_path):
    results = list(proposing.segment(clip))
    run = UnfinishedRun(tmp_path / "out", {"a": 1})
    for result in results[:2]:
        run.add(result)
    again = UnfinishedRun(tmp_path / "out", {"a": 1})
    first, second = again.finished_steps()
    np.testing.assert_array_equal(first.coarse, results[0].coarse)
    for name in ("masks", "scores", "overlaps", "matched"):  # small enough a frame to be kept as it is
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
    read = StoredSteps(run.folder, [old]).at(0.0)
    np.testing.assert_array_equal(read.mask, result.mask)
    assert read.coarse is None and read.proposals is None


def test_a_run_with_other_proposals_is_another_run(segmenter, proposing, clip, tmp_path):
    segment_file(segmenter, clip, tmp_path / "out", OutputConfig())
    with pytest.raises(InputError, match="holds a run of another video or with other settings"):
        segment_file(proposing, clip, tmp_path / "out", OutputConfig())
