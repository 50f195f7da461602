"""`moca weights` as a user meets it."""

import hashlib
import sys
import warnings

import pytest

from moca.cli import app as cli
from moca.errors import InputError
from moca.foundation import downloads, manifest
from moca.foundation.manifest import find_entry

CONTENT = b"twelve bytes"
MANIFEST = f"""
[imagebind-huge]
role = "encoder"
kind = "file"
file = "huge.pth"
url = "http://127.0.0.1:9/huge.pth"
bytes = 12
sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"
licence = "CC BY-NC-SA 4.0: research only"
commercial = false
citation = "Nobody, 2020"

[dino-vits8]
role = "images"
kind = "hub"
hub = "facebook/dino-vits8"
parameters = 21000000
licence = "Apache-2.0"
citation = "Nobody, 2021"

[mystery]
role = "masks"
kind = "hub"
hub = "no/body"
licence = "MIT"
citation = "Nobody, 2022"
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A manifest of three small models, and an empty weights folder that is not there yet."""
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / "manifest.toml").write_text(MANIFEST)
    monkeypatch.setattr(manifest, "bundled_weights", lambda: tmp_path / "bundled")
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "weights"


@pytest.fixture
def weights(monkeypatch, capsys):
    """Run `moca weights ...` in this process; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["moca", "weights", *arguments])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def fetched(monkeypatch, home):
    """Downloads that come from memory; the list of what was asked for."""
    asked = []

    def fetch(entry, *, progress):
        asked.append(entry.name)
        progress("fetching", 6, 12)
        if not downloads.faults(entry):
            return False
        home.mkdir(exist_ok=True)
        (home / entry.file).write_bytes(CONTENT)
        return True

    monkeypatch.setattr(downloads, "fetch", fetch)
    return asked


def rows(text):
    return {line.split()[0]: line for line in text.splitlines()}


def test_list_shows_what_there_is_and_what_is_here(weights, home):
    code, out, err = weights("list")
    assert (code, err) == (0, "")
    table = rows(out)
    assert " ".join(table["imagebind-huge"].split()) == "imagebind-huge image and audio towers 12 B CC BY-NC-SA 4.0 no"
    assert " ".join(table["dino-vits8"].split()) == "dino-vits8 picture features ~84 MB Apache-2.0 no"
    assert " ".join(table["mystery"].split()) == "mystery masks ? MIT no"
    assert f"folder: {home}" in out and not home.exists()
    home.mkdir()
    (home / "huge.pth").write_bytes(CONTENT)
    assert rows(weights("list")[1])["imagebind-huge"].rstrip().endswith("yes")


def test_fetch_says_where_and_under_which_licence(weights, fetched, home):
    line = f"{home / 'huge.pth'} (licence CC BY-NC-SA 4.0: research only)\n"
    assert weights("fetch", "imagebind-huge") == (0, f"imagebind-huge: fetched, {line}", "")
    assert weights("fetch", "imagebind-huge") == (0, f"imagebind-huge: here already, {line}", "")
    assert fetched == ["imagebind-huge"] * 2


def test_names_are_checked_before_anything_is_fetched(weights, fetched):
    code, out, err = weights("fetch", "imagebind-huge", "nonsense")
    assert (code, out, fetched) == (2, "", [])
    assert err == (
        "error: name must be one of imagebind-huge, dino-vits8, mystery, got nonsense; see moca weights list.\n"
    )


def test_a_download_that_fails_is_one_line(weights, home):
    code, out, err = weights("fetch", "imagebind-huge")
    assert (code, out) == (2, "") and err == (
        "error: http://127.0.0.1:9/huge.pth cannot be fetched: it cannot be reached; check the connection and run the "
        "same command again.\n"
    )


def test_an_interrupt_is_one_line(weights, monkeypatch):
    def interrupted(entry, *, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "fetch", interrupted)
    code, out, err = weights("fetch", "imagebind-huge")
    assert (code, out) == (130, "") and err.count("\n") == 1 and "run the same command to go on" in err


def test_verify_tells_right_wrong_and_missing_apart(weights, home):
    assert weights("verify") == (0, f"nothing has been fetched into {home}\n", "")
    code, out, _ = weights("verify", "dino-vits8")
    assert code == 1
    assert out == f"dino-vits8: {home / 'hub' / 'dino-vits8'} is not there; run moca weights fetch dino-vits8\n"
    home.mkdir()
    (home / "huge.pth").write_bytes(CONTENT)
    assert weights("verify") == (0, "imagebind-huge: right\n", "")
    assert weights("verify", "imagebind-huge", "mystery")[0] == 1
    (home / "huge.pth").write_bytes(CONTENT.upper())
    code, out, _ = weights("verify")
    assert code == 1 and f"must have SHA-256 {hashlib.sha256(CONTENT).hexdigest()}, got " in out
    assert out.endswith("; run moca weights fetch imagebind-huge\n") and out.count("\n") == 1


def test_path_is_of_the_folder_or_of_one_model(weights, home):
    assert weights("path") == (0, f"{home}\n", "")
    assert weights("path", "mystery") == (0, f"{home / 'hub' / 'mystery'}\n", "")
    assert weights("path", "nonsense")[0] == 2


def test_remove_says_what_was_freed(weights, home):
    home.mkdir()
    (home / "huge.pth").write_bytes(CONTENT)
    (home / "mine.pth").write_bytes(CONTENT)
    assert weights("remove", "imagebind-huge") == (0, "imagebind-huge: removed, 12 B freed\n", "")
    assert [path.name for path in home.glob("*.pth")] == ["mine.pth"]
    assert weights("remove", "imagebind-huge") == (0, "imagebind-huge: not here, nothing freed\n", "")
    assert weights("remove", "mine.pth")[0] == 2 and (home / "mine.pth").exists()


def test_the_loader_names_the_command_that_exists(weights):
    with pytest.raises(InputError, match="run moca weights fetch dino-vits8"):
        manifest.local_source("dino-vits8")
    assert "fetch" in weights("--help")[1]
    assert find_entry("dino-vits8").name == "dino-vits8"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (375_042_383, "375 MB"), (84_000_000, "84 MB"), (4.803e9, "4.8 GB")],
)
def test_sizes_are_short(count, text):
    from moca.cli.wording import bytes_text

    assert bytes_text(count) == text
