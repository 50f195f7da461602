"""Many videos: each has a place of its own that no other video changes, and one that fails does not stop the rest."""

import csv
from pathlib import Path

import pytest

from moca.corpus.finding import find_clips
from moca.errors import InputError
from moca.output.batch import run_folders, segment_many
from moca.output.config import OutputConfig


def test_folder_goes_on_past_failures_and_resumes(segmenter, tmp_path, write_clip):
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
    assert (tmp_path / "out" / "deep" / "b_mp4" / "segments.json").is_file()
    write_clip(videos / "broken.mp4", seconds=1)
    outcome = segment_many(segmenter, [videos], tmp_path / "out", OutputConfig())
    assert [summary.reused for summary in outcome.done.values()] == [True, False, True]
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_a_list_of_that_name_that_a_user_keeps_is_never_replaced(segmenter, tmp_path, write_clip):
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    write_clip(videos / "a.mp4", seconds=1)
    files(out, "failures.csv")
    (out / "failures.csv").write_text("mine\n")
    with pytest.raises(InputError) as refusal:
        segment_many(segmenter, [videos], out, OutputConfig())
    assert (
        str(refusal.value) == f"{out / 'failures.csv'} is from elsewhere; rename it, or choose another folder with -o."
    )
    assert [path.name for path in out.iterdir()] == ["failures.csv"]
    assert (out / "failures.csv").read_text() == "mine\n"


def test_a_video_that_is_added_changes_nothing_for_the_others(segmenter, tmp_path, write_clip):
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    write_clip(videos / "clip.mp4", seconds=1)
    segment_many(segmenter, [videos], out, OutputConfig(overlay=False, report=False))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    write_clip(tmp_path / "other.mp4", seconds=1, loud=(False,)).rename(videos / "clip.avi")
    write_clip(videos / "clip.mkv.mp4", seconds=1)
    outcome = segment_many(segmenter, [videos], out, OutputConfig(overlay=False, report=False))
    assert not outcome.failed
    assert {path.name: summary.reused for path, summary in outcome.done.items()} == {
        "clip.avi": False, "clip.mkv.mp4": False, "clip.mp4": True,
    }  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in out.iterdir()) == ["clip.mkv_mp4", "clip_avi", "clip_mp4"]


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_of_outputs_among_the_videos_is_not_read(segmenter, tmp_path, write_clip, empty):
    videos = tmp_path / "videos"
    videos.mkdir()
    write_clip(videos / "clip.mp4", seconds=1)
    (first,) = segment_many(segmenter, [videos], videos / "out", OutputConfig(report=False)).done.values()
    run = videos / "out" / "clip_mp4"
    assert (run / "overlay.mp4").is_file() and not first.reused
    if empty:  # what a run that was stopped while it wrote its overlay leaves
        for path in (run / "overlay.mp4", run / "segments.json"):
            path.unlink()
        write_clip(tmp_path / "half.mp4", seconds=1)
        (run / ".moca-partial").mkdir()
        (tmp_path / "half.mp4").rename(run / ".moca-partial" / "overlay.mp4")
    outcome = segment_many(segmenter, [videos], videos / "out", OutputConfig(report=False), overwrite=empty)
    assert [path.name for path in outcome.done] == ["clip.mp4"] and not outcome.failed
    assert [source.path.name for source in find_clips(videos)] == ["clip.mp4"]


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


def test_the_place_of_a_run_is_made_of_the_path_below_the_folder_given(tmp_path):
    root = files(tmp_path / "v", "a.mp4", "a.mkv", "x/a.mp4", "x/y/b.c.MP4")
    out = tmp_path / "out"
    wanted = {"a.mp4": "a_mp4", "a.mkv": "a_mkv", "x/a.mp4": "x/a_mp4", "x/y/b.c.MP4": "x/y/b.c_MP4"}
    for inputs in ([root], [root, root / "x"], [root / "x", root], [root / "x" / "a.mp4", root]):
        places = run_folders(inputs, out)
        assert {str(path.relative_to(root)): str(place.relative_to(out)) for path, place in places.items()} == wanted
    assert run_folders([root / "x"], out)[root / "x" / "a.mp4"] == out / "a_mp4"
    assert run_folders([root / "a.mp4"], out) == {root / "a.mp4": out}  # one file goes straight there
    assert run_folders([root / "a.mp4", root / "a.mkv"], out)[root / "a.mkv"] == out / "a_mkv"


def test_every_place_is_inside_the_output_folder_however_inputs_are_written(tmp_path, monkeypatch):
    root, out = files(tmp_path / "v", "clip.mp4", "deep/b.mp4"), tmp_path / "p"
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    for way in (Path("v/../v/clip.mp4"), Path("v/deep/../clip.mp4"), root / "clip.mp4", Path("link/clip.mp4")):
        for inputs in ([Path("v"), way], [way, Path("v")], [root, way], [Path("link"), way], [Path("v/deep/.."), way]):
            places = run_folders(inputs, out)
            assert sorted(places.values()) == [out / "clip_mp4", out / "deep" / "b_mp4"]
    assert run_folders([Path("v/../v/clip.mp4"), Path("v/deep/b.mp4")], out).keys() == {
        Path("v/../v/clip.mp4"), Path("v/deep/b.mp4"),
    }  # fmt: skip


def test_a_video_that_is_a_link_has_the_place_of_its_own_name(tmp_path):
    root, out = files(tmp_path / "v", "a.mp4"), tmp_path / "out"
    elsewhere = files(tmp_path / "elsewhere", "b.mp4") / "b.mp4"
    (root / "linked.mp4").symlink_to(elsewhere)
    assert run_folders([root], out) == {root / "a.mp4": out / "a_mp4", root / "linked.mp4": out / "linked_mp4"}
    assert run_folders([root, elsewhere], out).keys() == {root / "a.mp4", root / "linked.mp4"}


@pytest.mark.parametrize(
    "inputs",
    [
        ("out/overlay.mp4",),
        ("out/a_mp4/overlay.mp4", "x/a.mp4"),
        ("out/a_mp4/masks/b.mp4", "x"),
        ("out/failures.csv", "x/a.mp4"),
        ("link.mp4", "x/a.mp4"),
    ],
)
def test_a_video_that_a_run_would_replace_is_refused_before_anything_runs(tmp_path, inputs):
    files(tmp_path, "x/a.mp4", "out/overlay.mp4", "out/a_mp4/overlay.mp4", "out/a_mp4/masks/b.mp4", "out/failures.csv")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "out" / "a_mp4" / "overlay.mp4")
    with pytest.raises(InputError, match=r"is read, and .*, which is written, would take its place") as refusal:
        run_folders([tmp_path / name for name in inputs], tmp_path / "out")
    assert "--overwrite" not in str(refusal.value)
    assert run_folders([tmp_path / name for name in inputs], tmp_path / "other")


def test_videos_that_would_share_a_place_are_refused_before_anything_runs(segmenter, tmp_path):
    root, out = files(tmp_path, "x/a.mp4", "y/a.mp4", "y/b.mp4"), tmp_path / "out"
    with pytest.raises(InputError) as refusal:
        segment_many(segmenter, [root / "x", root / "y"], out, OutputConfig())
    assert str(refusal.value) == (
        f"every video must have a place of its own in {out}, {root / 'x' / 'a.mp4'} and {root / 'y' / 'a.mp4'} would "
        f"both be written to {out / 'a_mp4'}; give a folder that holds both, or one of them with another -o."
    )
    assert not out.exists()
    with pytest.raises(InputError, match="every video must have a place of its own"):
        run_folders([root / "x" / "a.mp4", files(root, "z/a_mp4") / "z" / "a_mp4"], out)
