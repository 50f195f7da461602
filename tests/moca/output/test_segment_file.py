"""One video into a folder: everything is written and agrees, nothing is done twice, nothing foreign is replaced."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from moca.core.rle import decode
from moca.errors import InputError
from moca.media import probe, read_steps
from moca.output.config import OutputConfig
from moca.output.segment_file import segment_file
from moca.output.segments_json import SEGMENTS_FORMAT
from moca.segmenter import Segmenter


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


@pytest.mark.parametrize("name", ["overlay.mp4", "masks/clip.mp4", "report.html", ".moca-partial/clip.mp4"])
@pytest.mark.parametrize("linked", [False, True])
def test_the_video_itself_is_never_replaced(segmenter, clip, tmp_path, name, linked):
    out, content = tmp_path / "out", clip.read_bytes()
    (out / name).parent.mkdir(parents=True)
    given = clip.rename(out / name)
    if linked:
        (tmp_path / "link").symlink_to(out)
        given = tmp_path / "link" / name
    for overwrite in (False, True):
        with pytest.raises(InputError) as caught:
            segment_file(segmenter, given, out, OutputConfig(), overwrite=overwrite)
        assert str(caught.value) == (
            f"{given} is read, and {out / name.split('/')[0]}, which is written, would take its place; choose another "
            "folder with -o."
        )
    assert (out / name).read_bytes() == content and [path.name for path in out.iterdir()] == [name.split("/")[0]]


def test_no_audio_stream_gives_empty_masks_and_says_so(segmenter, tmp_path, write_clip):
    clip = write_clip(tmp_path / "mute.mp4", sound=False)
    summary = segment_file(segmenter, clip, tmp_path / "out", OutputConfig())
    assert summary.sounding == 0 and "The video has no audio stream: every mask is empty." in summary.notes
    assert "no audio stream" in (tmp_path / "out" / "report.html").read_text()
    assert probe(tmp_path / "out" / "overlay.mp4").audio_stream is None


def test_a_video_in_which_nothing_reaches_a_threshold_says_so_in_one_line(pipeline, clip, tmp_path):
    strict = Segmenter(pipeline, config=replace(pipeline.segment, gate=0.99))
    summary = segment_file(strict, clip, tmp_path / "out", OutputConfig(overlay=False))
    document = json.loads((tmp_path / "out" / "segments.json").read_text())
    best = max(step["score"] for step in document["steps"] if step["score"] is not None)
    (note,) = [note for note in summary.notes if note.startswith("Nothing in the whole video")]
    assert note == (
        f"Nothing in the whole video reaches 0.99: the best cosine seen is {best:.2f}. Cosines of one model mean "
        "nothing for another; scores relative to other sounds need no threshold (--scores relative, or --set "
        "scores=relative of another method)."
    )
    assert (
        note in document["notes"]
        and "Nothing in the whole video reaches 0.99" in (tmp_path / "out" / "report.html").read_text()
    )
    again = segment_file(strict, clip, tmp_path / "out", OutputConfig(overlay=False))
    assert note in again.notes


def test_relative_scores_and_masks_that_are_there_have_no_such_line(pipeline, clip, tmp_path):
    for name, config in {
        "relative": replace(pipeline.segment, scores="relative", gate=90.0),
        "open": pipeline.segment,
    }.items():
        summary = segment_file(Segmenter(pipeline, config=config), clip, tmp_path / name, OutputConfig(overlay=False))
        assert (summary.sounding == 0) == (name == "relative")
        assert not any(note.startswith("Nothing in the whole video") for note in summary.notes)


@pytest.mark.parametrize("rate", [0, -1, 101, float("nan")])
def test_refuses_an_impossible_rate(rate):
    with pytest.raises(InputError) as caught:
        OutputConfig(steps_per_s=rate)
    assert str(caught.value) == (
        f"steps_per_second must be a number above 0 and at most 100, got {rate}; the paper uses 1."
    )


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
            for at, overlap in enumerate(result.proposals.measured)
            if overlap > 0
        ],
    }
    assert len(loud["segments"]) == len(loud["proposals"]["matched"]) > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "masks", "overlay.mp4", "report.html", "segments.json",
    ]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Proposals: " in page and "from grid, match where covered share is above 0" in page


def test_a_run_with_other_proposals_is_another_run(segmenter, proposing, clip, tmp_path):
    segment_file(segmenter, clip, tmp_path / "out", OutputConfig())
    with pytest.raises(InputError, match="holds a run of another video or with other settings"):
        segment_file(proposing, clip, tmp_path / "out", OutputConfig())


def test_a_cut_off_video_is_refused_or_read_with_a_note(segmenter, tmp_path, write_clip, recwarn):
    whole = write_clip(tmp_path / "whole.mp4", seconds=6).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "whole.mp4").unlink()
    with pytest.raises(InputError) as refusal:
        segment_file(segmenter, tmp_path / "cut.mp4", tmp_path / "out", OutputConfig())
    sentence = str(refusal.value).removesuffix(": mend it, or pass --allow-truncated to use what is there.")
    assert sentence.startswith(f"{tmp_path / 'cut.mp4'} ends at ") and sentence.endswith("; it is cut off or damaged")
    assert not (tmp_path / "out").exists()
    summary = segment_file(segmenter, tmp_path / "cut.mp4", tmp_path / "out", OutputConfig(allow_truncated=True))
    assert summary.notes[-1] == f"{sentence}."
    document = json.loads((tmp_path / "out" / "segments.json").read_text())
    assert document["notes"] == list(summary.notes) and 1 <= len(document["steps"]) == summary.steps < 6
    assert "it is cut off or damaged" in (tmp_path / "out" / "report.html").read_text()
    assert not recwarn.list


def test_two_videos_at_once_leave_the_warnings_of_the_process_alone(segmenter, tmp_path, write_clip):
    whole = write_clip(tmp_path / "whole.mp4", seconds=6)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    before, config = list(warnings.filters), OutputConfig(allow_truncated=True, overlay=False, report=False)

    def segment(name):
        states = []
        segment_file(
            segmenter,
            tmp_path / f"{name}.mp4",
            tmp_path / name,
            config,
            progress=lambda *call, **values: states.append(list(warnings.filters) == before),
        )
        notes = json.loads((tmp_path / name / "segments.json").read_text())["notes"]
        return all(states), sum("cut off" in note for note in notes)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(segment, ["whole", "cut"])) == [(True, 0), (True, 1)]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"settings": {}}', b"null"])
def test_a_finished_run_whose_record_is_damaged_is_refused(segmenter, clip, tmp_path, content):
    out = tmp_path / "out"
    segment_file(segmenter, clip, out, OutputConfig())
    (out / "segments.json").write_bytes(content)
    with pytest.raises(InputError, match="holds a run of another video or with other settings"):
        segment_file(segmenter, clip, out, OutputConfig())
    assert (out / "segments.json").read_bytes() == content
