import pytest

from moca.core.files import write_text_whole, written_whole


def test_text_arrives_as_it_is_and_the_folder_is_made(tmp_path):
    write_text_whole(tmp_path / "new" / "a.csv", "ä,b\r\nc,d\n")
    assert (tmp_path / "new" / "a.csv").read_bytes() == "ä,b\r\nc,d\n".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.csv"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path, failure):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(failure), written_whole(target) as temporary:
        temporary.write_text("half")
        raise failure
    assert target.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.txt"]
