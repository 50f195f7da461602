"""VGGSound's csv and the clips that are there."""

import pytest

from moca.data.vggsound import clip_name, read_vggsound
from moca.errors import InputError

TABLE = """\
---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,waterfall burbling,train
b_2,0,"cat purring, close",train
-c-3,123456,dog barking,train
b_2,0,"cat purring, close",train
b_2,10,dog barking,train
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "vggsound.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def clips(tmp_path):
    """The first train clip in the folder itself, another one further down, one with another start."""
    folder = tmp_path / "clips"
    (folder / "more").mkdir(parents=True)
    for name in ("--0PQM4-hqg_000030.mp4", "more/b_2_000000.mp4", "b_2_000011.mp4", "-c-3_123456.txt"):
        (folder / name).write_bytes(b"video")
    return folder


def refusal(*arguments) -> str:
    with pytest.raises(InputError) as caught:
        read_vggsound(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_clips_that_are_there_and_the_names_of_those_that_are_not(table, clips):
    found = read_vggsound(table, clips)
    assert [(clip.youtube_id, clip.start_s, clip.label) for clip in found.clips] == [
        ("--0PQM4-hqg", 30, "waterfall burbling"),
        ("b_2", 0, "cat purring, close"),  # listed twice, there once
    ]
    assert [clip.path for clip in found.clips] == [clips / "--0PQM4-hqg_000030.mp4", clips / "more/b_2_000000.mp4"]
    assert found.missing == ("-c-3_123456", "b_2_000010")
    assert [clip.name for clip in found.clips] == [clip.path.stem for clip in found.clips]


def test_the_other_split_and_text_paths(table, clips):
    (clips / "---g-f_I2yQ_000001.mp4").write_bytes(b"video")
    (clip,) = read_vggsound(str(table), str(clips), "test").clips
    assert (clip.name, clip.label) == ("---g-f_I2yQ_000001", "people marching")


def test_a_start_has_six_digits():
    assert clip_name("a", 7) == "a_000007" and clip_name("a", 1234567) == "a_1234567"


def test_empty_lines_a_byte_order_mark_and_windows_line_ends_do_not_matter(table, clips):
    wanted = read_vggsound(table, clips)
    table.write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n\r\n").encode())
    assert read_vggsound(table, clips) == wanted


def test_of_two_files_with_one_name_the_first_path_counts(table, clips):
    (clips / "before").mkdir()
    (clips / "before" / "b_2_000000.mp4").write_bytes(b"video")
    assert read_vggsound(table, clips).clips[1].path == clips / "before" / "b_2_000000.mp4"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("id,start,label,split", "'id,start,label,split'"),
        ("a_1,30,waterfall burbling", "'a_1,30,waterfall burbling'"),
        ("a_1,30.5,cat,train", "'a_1,30.5,cat,train'"),
        ("a_1,-3,cat,train", "'a_1,-3,cat,train'"),
        ("a_1,²,cat,train", "'a_1,²,cat,train'"),
        ("a_1,3,cat, purring,train", "'a_1,3,cat,purring,train'"),
    ],
)
def test_a_line_that_is_not_vggsounds_is_named(table, clips, line, shown):
    table.write_text(f"{TABLE}{line}\n")
    assert refusal(table, clips) == (
        f"{table} must have the columns id, start, label, split and no header, with the start in whole seconds; "
        f"line 7 is {shown}; mend or remove it."
    )


@pytest.mark.parametrize("key", ["", "../../etc/a"])
def test_an_id_is_a_name_and_no_path(table, clips, key):
    table.write_text(f"{key},3,cat,train\n")
    assert refusal(table, clips) == (f"{table} must name a YouTube id first, line 1 has {key!r}; mend or remove it.")


def test_refusals(table, clips, tmp_path):
    assert refusal(table, tmp_path / "no") == (
        f"the folder of VGGSound's clips must exist, {tmp_path / 'no'} does not; name it with --clips."
    )
    assert refusal(tmp_path / "no.csv", clips) == (
        f"{tmp_path / 'no.csv'} must be VGGSound's csv, it cannot be read (No such file or directory); "
        "give another file."
    )
    assert refusal(table, clips, "val") == (
        f"{table} must list clips of the split 'val', its splits are: test, train; choose one."
    )
    assert refusal(table, clips, "test") == (
        f"{clips} must hold at least one of the 1 test clips that vggsound.csv lists, has none "
        "(looked for ---g-f_I2yQ_000001.mp4 and the like); name the right folder with --clips."
    )
    table.write_bytes(b"")
    assert refusal(table, clips) == (f"{table} must list clips of the split 'train', its splits are: none; choose one.")
    table.write_bytes(b"\xff\xfe\x00")
    assert refusal(table, clips).startswith(f"{table} must be VGGSound's csv, it cannot be read ('utf-8' codec")
