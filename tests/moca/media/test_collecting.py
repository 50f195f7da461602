"""A folder becomes the list of its videos: every one of the user's, none of ours, whatever state our runs are in."""

from pathlib import Path

import pytest

from moca.errors import InputError
from moca.media.collecting import VIDEO_SUFFIXES, collect_videos


@pytest.fixture
def folder(tmp_path):
    """folder("a.mp4", "b/c.mkv") makes these files below a new folder; names that end in / are made as folders."""

    def build(*names):
        for name in names:
            path = tmp_path / "videos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True) if name.endswith("/") else path.write_bytes(b"video")
        return tmp_path / "videos"

    return build


def names(root):
    return [path.relative_to(root).as_posix() for path in collect_videos([root])]


def test_videos_at_any_depth_in_the_order_of_their_paths(folder):
    root = folder("b/c/x.MKV", "a.mp4", "b/a.webm", "b/notes.txt", "movie.mp4/z.mov")
    assert names(root) == ["a.mp4", "b/a.webm", "b/c/x.MKV", "movie.mp4/z.mov"]
    assert ".mp4" in VIDEO_SUFFIXES and ".txt" not in VIDEO_SUFFIXES


def test_each_video_once_and_files_as_given(folder):
    root = folder("a.mp4", "deep/b.mp4", "odd.name")
    given = [root / "odd.name", root / "deep", root, root / "a.mp4"]
    assert collect_videos(given) == [root / "odd.name", root / "deep" / "b.mp4", root / "a.mp4"]


@pytest.mark.parametrize("folder_first", [True, False])
def test_a_file_comes_once_however_its_path_is_written(folder, monkeypatch, folder_first):
    root = folder("a.mp4", "deep/b.mp4")
    (root.parent / "link").symlink_to(root)
    monkeypatch.chdir(root.parent)
    ways = [Path("videos/deep/../a.mp4"), root / "a.mp4", Path("link/a.mp4"), Path("./videos/a.mp4")]
    found = collect_videos([Path("videos"), *ways] if folder_first else [*ways, Path("videos")])
    assert found == [Path("videos/a.mp4") if folder_first else ways[0], Path("videos/deep/b.mp4")]


def test_what_is_hidden_is_passed_over_unless_it_is_given_itself(folder):
    root = folder("a.mp4", ".hidden.mp4", ".cache/b.mp4", "deep/.partial/c.mp4")
    assert names(root) == ["a.mp4"]
    assert names(root / ".cache") == ["b.mp4"]


@pytest.mark.parametrize(
    "run",
    [
        ("out/overlay.mp4", "out/segments.json", "out/report.html", "out/masks/"),  # finished
        ("out/overlay.mp4", "out/segments.json", "out/.moca-partial/overlay.mp4"),  # being done again
        ("out/.moca-partial/overlay.mp4",),  # stopped
        ("out/.moca-partial/.overlay.77.partial.mp4",),  # stopped while it wrote its overlay
        ("out/overlay.mp4", "out/.moca-partial/"),  # stopped while it moved its products into place
    ],
)
def test_overlays_of_our_runs_are_no_videos_of_the_user(folder, run):
    root = folder("a.mp4", *run)
    assert names(root) == ["a.mp4"]
    assert collect_videos([root / name for name in run if name.endswith(".mp4")])  # as given


def test_a_run_beside_a_video_hides_its_own_overlay_alone(folder):
    root = folder("a.mp4", "overlay.mp4", "segments.json", "deep/overlay.mp4", "deep/overlay2.mp4")
    assert names(root) == ["a.mp4", "deep/overlay.mp4", "deep/overlay2.mp4"]


def test_refuses_what_is_not_there_and_folders_without_videos(folder, tmp_path):
    with pytest.raises(InputError) as refusal:
        collect_videos([tmp_path / "absent.mp4"])
    assert str(refusal.value) == f"{tmp_path / 'absent.mp4'} does not exist; give a video file or a folder of videos."
    root = folder("out/overlay.mp4", "out/segments.json", "notes.txt")
    with pytest.raises(InputError) as refusal:
        collect_videos([root])
    suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
    assert str(refusal.value) == (
        f"folder {root} must hold at least one video file ({suffixes}), has none but overlays that moca wrote."
    )
    with pytest.raises(InputError) as refusal:
        collect_videos([folder("empty/") / "empty"])
    assert str(refusal.value) == f"folder {root / 'empty'} must hold at least one video file ({suffixes}), has none."
