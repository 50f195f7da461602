"""Downloads against a server on this machine that breaks, stalls, lies and goes away."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from moca.errors import InputError
from moca.foundation import downloads
from moca.foundation.downloads import faults, fetch, part_of, remove
from moca.foundation.manifest import RECORD_FILE, Entry, local_source
from moca.foundation.resuming import BLOCK

CONTENT = np.random.default_rng(0).bytes(1_000_000)
QUICK = {"wait_s": 0.01, "timeout_s": 0.3, "retries": 2}


class Server(ThreadingHTTPServer):
    """Serves CONTENT; what it does wrong is set on it, what it was asked for is in `asked`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.length = CONTENT, True, True
        self.cuts: list[int] = []  # bytes sent before the connection breaks, answer by answer
        self.stalls: list[int] = []  # bytes sent before silence, answer by answer
        self.statuses: list[int] = []  # answered instead of the file
        self.delay_s = 0.0  # between blocks
        self.asked: list[str | None] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/tiny.pth"

    def handle_error(self, request, client_address):
        pass  # a client that goes away is part of the tests


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, wanted_range = self.server, self.headers.get("Range")
        server.asked.append(wanted_range)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted_range)[1]) if wanted_range and server.ranges else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        body = server.content[start:]
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        stall = server.stalls.pop(0) if server.stalls else None
        body = body[: cut if stall is None else stall]
        for offset in range(0, len(body), BLOCK):
            self.wfile.write(body[offset : offset + BLOCK])
            server.over.wait(server.delay_s)
        if stall is not None:
            server.over.wait(5)


@pytest.fixture
def server():
    served = Server()
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.over.set()
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def entry(server):
    return make_entry(server.url)


def make_entry(url, content=CONTENT):
    return Entry(
        name="tiny", role="masks", kind="file", licence="MIT", citation="Nobody", file="tiny.pth", url=url,
        bytes=len(content), sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def files_in(home):
    return sorted(path.name for path in home.iterdir() if not path.name.endswith(".lock"))


# Files that come


def test_a_file_is_fetched_once(server, entry, home):
    told = []
    assert fetch(entry, progress=lambda *step: told.append(step)) is True
    assert (home / "tiny.pth").read_bytes() == CONTENT and files_in(home) == ["tiny.pth"]
    assert server.asked == [None]
    assert ("fetching", BLOCK, 1_000_000) in told and told[-1] == ("checking", 1_000_000, 1_000_000)
    assert fetch(entry) is False
    assert server.asked == [None]  # not asked again


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_finished(server, entry, home, ranges):
    server.cuts, server.ranges = [300_000, 400_000 if ranges else 700_000], ranges
    fetch(entry, **QUICK)
    assert (home / "tiny.pth").read_bytes() == CONTENT
    first = 300_000 // BLOCK * BLOCK
    if ranges:  # only the rest was asked for, and the last block before a break is all that comes twice
        second = first + 400_000 // BLOCK * BLOCK
        assert server.asked == [None, f"bytes={first}-", f"bytes={second}-"]
    else:
        assert server.asked == [None, f"bytes={first}-", f"bytes={700_000 // BLOCK * BLOCK}-"]


def test_a_part_is_gone_on_with_in_another_run(server, entry, home):
    home.mkdir()
    part_of(entry).write_bytes(CONTENT[:123_457])
    fetch(entry)
    assert server.asked == ["bytes=123457-"] and (home / "tiny.pth").read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(entry, home):
    home.mkdir()
    part_of(entry).write_bytes(CONTENT)
    assert fetch(replace(entry, url="http://127.0.0.1:9/x")) is True
    assert (home / "tiny.pth").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_begun_anew(server, entry, home):
    home.mkdir()
    part_of(entry).write_bytes(CONTENT + b"more")
    fetch(entry)
    assert server.asked == [None] and (home / "tiny.pth").read_bytes() == CONTENT


def test_a_part_that_the_server_knows_nothing_of_is_begun_anew(server, entry, home):
    home.mkdir()
    part_of(entry).write_bytes(CONTENT[:2000])
    server.content = CONTENT[:1000]
    assert "must have 1,000,000 bytes, got 1,000" in refusal(fetch, entry, **QUICK)
    assert server.asked == ["bytes=2000-", None] and files_in(home) == []


def test_a_busy_server_is_asked_again(server, entry):
    server.statuses = [503, 429]
    fetch(entry, **QUICK)
    assert server.asked == [None] * 3


def test_a_stalling_server_is_asked_again(server, entry, home):
    server.stalls = [200_000]
    fetch(entry, **QUICK)
    assert (home / "tiny.pth").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={200_000 // BLOCK * BLOCK}-"]


def test_a_server_that_tells_no_length_is_understood(server, entry, home):
    server.length = False
    fetch(entry)
    assert (home / "tiny.pth").read_bytes() == CONTENT


def test_a_damaged_file_is_replaced_only_by_the_right_one(server, entry, home):
    home.mkdir()
    damaged = b"x" + CONTENT[1:]
    (home / "tiny.pth").write_bytes(damaged)
    server.statuses = [404]
    refusal(fetch, entry, **QUICK)
    assert (home / "tiny.pth").read_bytes() == damaged
    fetch(entry)
    assert (home / "tiny.pth").read_bytes() == CONTENT


# Files that do not come


def test_a_wrong_hash_is_refused_and_deletes_nothing_else(server, entry, home):
    home.mkdir()
    (home / "other.pth").write_bytes(b"other")
    server.content = b"x" + CONTENT[1:]
    digest = hashlib.sha256(server.content).hexdigest()
    assert refusal(fetch, entry) == (
        f"tiny.pth must have SHA-256 {entry.sha256}, got {digest} from {server.url}; the download was deleted, fetch "
        "it again or place the right file by hand."
    )
    assert files_in(home) == ["other.pth"]


def test_a_file_of_another_length_is_refused_before_it_comes(server, entry, home):
    server.content = CONTENT[:-5]
    assert refusal(fetch, entry) == (
        f"{server.url} must have 1,000,000 bytes, got 999,995; look for a newer version of this package."
    )
    assert files_in(home) == []


def test_a_file_that_is_gone_is_refused_at_once(server, entry, home):
    server.statuses = [404]
    assert refusal(fetch, entry) == (
        f"{server.url} must be a file, got the answer 404 Not Found; look for a newer version of this package, or "
        "place the file by hand."
    )
    assert server.asked == [None] and files_in(home) == []


def test_a_server_that_stays_silent_is_given_up(server, entry, home):
    server.stalls = [0] * 9
    began = time.monotonic()
    assert refusal(fetch, entry, **QUICK) == (
        f"{server.url} cannot be fetched: it is silent for 0.3 s; check the connection and run the same command again."
    )
    assert len(server.asked) == 3 and time.monotonic() - began < 4  # one try and two retries


def test_what_came_before_a_server_was_given_up_is_kept(server, entry):
    server.cuts = [BLOCK] + [0] * 9
    line = refusal(fetch, entry, **QUICK)
    assert line == (
        f"{server.url} cannot be fetched: the connection broke (65,536 of 1,000,000 bytes are kept); check the "
        "connection and run the same command again."
    )
    assert part_of(entry).read_bytes() == CONTENT[:BLOCK] and len(server.asked) == 4
    server.cuts = []
    fetch(entry)
    assert server.asked[-1] == f"bytes={BLOCK}-"


def test_a_server_without_ranges_that_always_breaks_is_given_up(server, entry):
    server.ranges, server.cuts = False, [300_000] * 9
    assert "cannot be fetched: the connection broke" in refusal(fetch, entry, **QUICK)
    assert len(server.asked) == 4


def test_a_busy_server_is_given_up(server, entry):
    server.statuses = [503] * 9
    assert "cannot be fetched: it answers 503 Service Unavailable;" in refusal(fetch, entry, **QUICK)
    assert len(server.asked) == 3


def test_a_server_out_of_reach_is_one_line_at_once(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/tiny.pth"
    began = time.monotonic()
    assert refusal(fetch, make_entry(url)) == (
        f"{url} cannot be fetched: it cannot be reached; check the connection and run the same command again."
    )
    assert time.monotonic() - began < 5 and files_in(home) == []


# This machine


def test_a_full_disk_is_refused_before_anything_comes(server, entry, home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=600_000))
    large = replace(entry, bytes=2_000_000_000)
    assert refusal(fetch, large) == (
        f"tiny needs 2.00 GB in {home}, which has 0.00 GB free; free some, or choose another folder with MOCA_WEIGHTS."
    )
    assert server.asked == []
    part_of(entry).write_bytes(CONTENT[:500_000])  # the rest fits
    assert fetch(entry) is True


@pytest.mark.parametrize("trouble", ["a file in its place", "read-only"])
def test_a_folder_that_cannot_be_written_is_one_line(server, entry, home, monkeypatch, trouble):
    if trouble == "read-only":
        if os.geteuid() == 0:
            monkeypatch.setattr(Path, "mkdir", _deny)
        else:
            home.mkdir()
            home.chmod(0o500)
        wanted = "Permission denied"
    else:
        home.write_text("not a folder")
        wanted = "File exists"
    assert refusal(fetch, entry) == (
        f"{home} must be a folder that can be written, got {wanted}; free it, or choose another with MOCA_WEIGHTS."
    )
    assert server.asked == []


def _deny(path, *_, **__):
    raise PermissionError(13, "Permission denied", str(path))


CHILD = """
import sys
from tests_entry import make
from moca.foundation.downloads import fetch
fetch(make(), progress=lambda stage, done, total: print(stage, done, flush=True))
"""


@contextmanager
def child(entry, tmp_path):
    """Another process that fetches the entry."""
    (tmp_path / "tests_entry.py").write_text(
        f"from moca.foundation.manifest import Entry\ndef make():\n    return {entry!r}\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(downloads.__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_download_is_gone_on_with(server, entry, home, tmp_path):
    server.delay_s = 0.1
    with child(entry, tmp_path) as process:
        for line in process.stdout:
            if line.split() == ["fetching", str(3 * BLOCK)]:
                break
        process.kill()
        process.wait()
    have = part_of(entry).stat().st_size
    assert 2 * BLOCK <= have < 1_000_000 and not (home / "tiny.pth").exists()
    server.delay_s = 0
    fetch(entry)
    assert server.asked == [None, f"bytes={have}-"] and (home / "tiny.pth").read_bytes() == CONTENT


def test_a_second_process_waits_for_the_first(server, entry, home, tmp_path):
    server.delay_s = 0.05
    with child(entry, tmp_path) as process:
        process.stdout.readline()
        assert refusal(remove, entry) == "tiny must not be in use, another process fetches it; wait for it."
        told = []
        assert fetch(entry, progress=lambda *step: told.append(step[0])) is False
        assert process.wait(10) == 0
    assert told[0] == "waiting for another process" and server.asked == [None]
    assert (home / "tiny.pth").read_bytes() == CONTENT


def test_an_interrupt_keeps_the_part(server, entry):
    def stop(stage, done, total):
        if done > 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry, progress=stop)
    have = part_of(entry).stat().st_size
    assert 0 < have < 1_000_000
    fetch(entry)
    assert server.asked[-1] == f"bytes={have}-"


# What is here


def test_faults_are_named(entry, home):
    assert faults(entry) == [f"{home / 'tiny.pth'} is not there"]
    fetch(entry)
    assert faults(entry) == []
    changed = b"x" + CONTENT[1:]
    (home / "tiny.pth").write_bytes(changed)
    digest = hashlib.sha256(changed).hexdigest()
    assert faults(entry) == [f"{home / 'tiny.pth'} must have SHA-256 {entry.sha256}, got {digest}"]
    (home / "tiny.pth").write_bytes(b"short")
    assert faults(entry) == [f"{home / 'tiny.pth'} must have 1,000,000 bytes, got 5"]


def test_removing_deletes_only_what_is_named(entry, home):
    assert remove(entry) == 0 and not home.exists()
    fetch(entry)
    part_of(entry).write_bytes(b"12345")
    (home / "other.pth").write_bytes(b"other")
    assert remove(entry) == 1_000_005
    assert files_in(home) == ["other.pth"]
    assert remove(entry) == 0


def test_removing_a_link_leaves_what_it_points_to(entry, home, tmp_path):
    home.mkdir()
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (home / "tiny.pth").symlink_to(tmp_path / "elsewhere")
    assert fetch(entry) is False  # a link to the right file is the file
    remove(entry)
    assert not (home / "tiny.pth").is_symlink() and (tmp_path / "elsewhere").exists()


# The hub


HUB_FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "vocab.txt": b"words",
    "pytorch_model.bin": b"a program",
    "README.md": b"text",
    "onnx/config.json": b"{}",
}
HUB_ENTRY = Entry(name="dino-vits8", role="images", kind="hub", licence="MIT", citation="x", hub="facebook/dino-vits8")


@pytest.fixture
def hub(monkeypatch):
    """A hub with one repository; calls of its client are recorded, and may fail or fall short."""
    fake = SimpleNamespace(files=dict(HUB_FILES), calls=[], error=None, partial=False)

    def info(self, repo, *, revision, files_metadata, timeout):
        assert files_metadata and timeout
        fake.calls.append(("info", repo, revision))
        if fake.error:
            raise fake.error
        return SimpleNamespace(sha="c0ffee", siblings=[sibling(name, data) for name, data in fake.files.items()])

    def sibling(name, data):
        large = name.endswith((".safetensors", ".bin"))
        lfs = SimpleNamespace(sha256=hashlib.sha256(HUB_FILES[name]).hexdigest()) if large else None
        return SimpleNamespace(rfilename=name, size=len(HUB_FILES[name]), lfs=lfs)

    def download(repo, *, revision, local_dir, allow_patterns):
        fake.calls.append(("download", repo, revision, tuple(allow_patterns)))
        for name in list(allow_patterns)[: 1 if fake.partial else None]:
            path = Path(local_dir) / name
            if not path.exists():  # as the client does with what it fetched before
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(fake.files[name])

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return fake


def test_only_json_text_and_safetensors_come_from_the_hub(hub, home):
    assert fetch(HUB_ENTRY) is True
    folder = home / "hub" / "dino-vits8"
    assert sorted(path.name for path in folder.iterdir()) == [
        RECORD_FILE, "config.json", "model.safetensors", "vocab.txt",
    ]  # fmt: skip
    wanted = ("config.json", "model.safetensors", "vocab.txt")
    assert hub.calls == [("info", "facebook/dino-vits8", None), ("download", "facebook/dino-vits8", "c0ffee", wanted)]
    assert local_source("dino-vits8") == folder and faults(HUB_ENTRY) == []
    assert fetch(HUB_ENTRY) is False and len(hub.calls) == 2


def test_a_revision_of_the_manifest_is_asked_for(hub):
    fetch(replace(HUB_ENTRY, revision="refs/pr/1"))
    assert hub.calls[0] == ("info", "facebook/dino-vits8", "refs/pr/1")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("We have no connection.\nCheck it."), "We have no connection"),
        (OfflineModeIsEnabled("offline mode is enabled"), "offline mode is enabled"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_hub_out_of_reach_is_one_line_for_a_download(hub, home, error, reason):
    hub.error = error
    assert refusal(fetch, HUB_ENTRY) == (
        f"facebook/dino-vits8 cannot be fetched from the Hugging Face hub: {reason}; check the connection and run the "
        "same command again."
    )
    assert files_in(home) == []


def test_a_full_disk_is_not_blamed_on_the_hub(hub, home, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    assert refusal(fetch, HUB_ENTRY).startswith(f"{home} must be a folder that can be written, got No space left on")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    assert "which has 0.00 GB free" in refusal(fetch, HUB_ENTRY)


def test_a_repository_without_safetensors_is_refused(hub, home):
    del hub.files["model.safetensors"]
    assert refusal(fetch, HUB_ENTRY) == (
        "facebook/dino-vits8 must hold config.json and safetensors, got config.json, vocab.txt; set a revision that "
        "has them in the manifest (no other format is fetched)."
    )
    assert not (home / "hub").exists()


def test_a_snapshot_that_falls_short_is_not_taken_for_one(hub, home):
    hub.partial = True
    path = home / "hub" / "dino-vits8" / "model.safetensors"
    assert refusal(fetch, HUB_ENTRY) == f"{path} must have 7 bytes, got 0; run the same command again."
    assert faults(HUB_ENTRY) == [f"{path.parent} must be complete, its download was not finished"]
    with pytest.raises(InputError, match="which is not complete"):
        local_source("dino-vits8")
    hub.partial = False
    assert fetch(HUB_ENTRY) is True and faults(HUB_ENTRY) == []


def test_a_lying_hub_is_refused(hub):
    hub.files["model.safetensors"] = b"WEIGHTS"
    assert "model.safetensors must have SHA-256" in refusal(fetch, HUB_ENTRY)
    assert faults(HUB_ENTRY)


def test_a_damaged_file_of_a_snapshot_is_fetched_again(hub, home):
    fetch(HUB_ENTRY)
    path = home / "hub" / "dino-vits8" / "model.safetensors"
    path.write_bytes(b"WEIGHTS")
    assert len(faults(HUB_ENTRY)) == 1
    assert fetch(HUB_ENTRY) is True and path.read_bytes() == b"weights"


def test_a_snapshot_is_removed_whole(hub, home):
    fetch(HUB_ENTRY)
    (home / "hub" / "other").mkdir()
    assert remove(HUB_ENTRY) > 14
    assert files_in(home / "hub") == ["other"]
