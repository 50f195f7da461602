import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from moca.core.files import alone_in, write_text_whole, written_whole


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


def test_threads_that_write_the_same_file_do_not_meet(tmp_path):
    target, both_write = tmp_path / "a.txt", threading.Barrier(2, timeout=10)
    failures = []

    def write(text: str) -> None:
        try:
            with written_whole(target) as temporary:
                temporary.write_text(text)
                both_write.wait()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(letter * 9,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and target.read_text() in ("a" * 9, "b" * 9)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_one_thread_at_a_time_is_alone_in_a_folder(tmp_path):
    inside, most, told = [], [], []

    def visit() -> None:
        with alone_in(tmp_path / "new", lambda what, done, total=None: told.append(what)):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1] and set(told) == {f"waiting for another process to leave {tmp_path / 'new'}"}
    assert list((tmp_path / "new").iterdir()) == []


_HOLDS = """
import sys, time
from pathlib import Path
from moca.core.files import alone_in

with alone_in(Path(sys.argv[1])):
    print("inside", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_holds_nobody_up(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "inside\n"
    waited = []

    def kill_it(what: str, done: float, total: float | None = None) -> None:
        waited.append(what)
        child.send_signal(signal.SIGKILL)

    with alone_in(tmp_path, kill_it):
        assert len(waited) == 1 and child.wait(timeout=10) == -signal.SIGKILL
    child.stdout.close()
    assert list(tmp_path.iterdir()) == []
