"""Errors of the operating system: one line, with advice only where it fits."""

import errno
import subprocess
import sys

import pytest

from moca.cli import app as cli


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free some space, or choose another place with -o."),
        (errno.EACCES, "Permission denied; choose a place you may read and write."),
        (errno.EROFS, "Read-only file system; choose a place you may read and write."),
        (errno.ENOENT, "No such file or directory; check the path."),
        (errno.ENOTDIR, "Not a directory; a file is in the way of a folder; check the path."),
        (errno.EMFILE, "Too many open files; raise the limit of open files (ulimit -n)."),
        (errno.EIO, "Input/output error."),
        (errno.ECONNREFUSED, "Connection refused."),
    ],
)
def test_advice_fits_the_error(number, advice):
    import os

    assert cli.os_trouble(OSError(number, os.strerror(number), "some/file")) == f"some/file: {advice}"


def test_an_error_without_a_file_or_a_number_is_told_in_its_own_words():
    assert cli.os_trouble(OSError("the cable is out")) == "a file: the cable is out."
    assert cli.os_trouble(TimeoutError()) == "a file: TimeoutError."


def test_a_command_that_meets_one_ends_with_one_line(here, monkeypatch, tmp_path):
    import moca.stage

    def fails(*given, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(moca.stage, "write_stage", fails)
    code, stdout, stderr = here("stage", "-o", tmp_path / "out")
    line = f"error: {tmp_path}: Permission denied; choose a place you may read and write.\n"
    assert (code, stdout, stderr) == (2, "", line)


def test_a_reader_that_has_had_enough_is_no_error():
    command = [sys.executable, "-c", "from moca.cli.app import main; main()", "weights", "list"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.wait() in (0, 1) and process.stderr.read() == ""
