"""`moca weights` as a user meets it."""

import hashlib
import sys
import warnings
from dataclasses import replace

import pytest

from moca.cli import app as cli
from moca.cli.wording import bytes_text
from moca.errors import InputError
from moca.foundation import downloads, manifest
from moca.foundation.catalogue import CATALOGUE, ROLES, SEGMENTING
from moca.foundation.manifest import find_entry
from moca.foundation.needed import needed_entries

CONTENT = b"twelve bytes"
bundled_weights = manifest.bundled_weights  # the package's own, which the tests replace
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
        f"error: name must be a model that is run ({', '.join(CATALOGUE)}) or a part of one (imagebind-huge, "
        "dino-vits8, mystery), got nonsense; see moca weights list.\n"
    )


@pytest.fixture
def small_row(monkeypatch):
    """A model that is run, made of the three of the manifest and bundled ones."""
    entries = dict.fromkeys(ROLES, "mini") | {"encoder": "imagebind-huge", "masks": "mystery", "tags": "dino-vits8"}
    monkeypatch.setitem(CATALOGUE, "small", replace(CATALOGUE["huge"], name="small", **entries))


def test_fetch_of_a_model_that_is_run_says_first_what_it_takes(weights, monkeypatch, home, small_row):
    def stopped(entry, *, progress):
        raise InputError("no network; connect.")

    monkeypatch.setattr(downloads, "fetch", stopped)
    code, out, err = weights("fetch", "small")
    assert (code, err) == (2, "error: no network; connect.\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "name role size here licence",
        "imagebind-huge image and audio towers 12 B no CC BY-NC-SA 4.0: research only",
        "mystery masks ? no MIT",
        f"to fetch: 12 B, and mystery, whose size is not known, into {home}",
    ]
    assert "to fetch: ~84 MB, and mystery" not in out
    lines = weights("fetch", "small", "--all")[1].splitlines()
    assert lines[3].startswith("dino-vits8") and lines[4].startswith("to fetch: ~84 MB, and mystery, whose size")


def test_fetch_of_a_model_that_is_run_brings_each_part_once_and_skips_what_is_here(
    weights, monkeypatch, home, small_row
):
    asked = []
    monkeypatch.setattr(downloads, "fetch", lambda entry, *, progress: asked.append(entry.name) or True)
    home.mkdir()
    (home / "huge.pth").write_bytes(CONTENT)
    code, out, _ = weights("fetch", "small", "mystery")
    assert (code, asked) == (0, ["imagebind-huge", "mystery"])
    assert "to fetch: 0 B, and mystery, whose size is not known" in out
    assert " ".join(out.splitlines()[1].split()).startswith("imagebind-huge image and audio towers 12 B yes ")
    assert weights("fetch", "mini") == (0, "mini: nothing to fetch, all of it travels with the package\n", "")


@pytest.mark.parametrize("name", [name for name, row in CATALOGUE.items() if not row.bundled])
def test_what_a_row_segments_with_is_fetched_and_the_rest_on_request(name):
    row, entries = CATALOGUE[name], manifest.read_manifest(bundled_weights() / "manifest.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "read_manifest", lambda path=None: entries)
        patch.setattr("moca.foundation.needed.read_manifest", lambda path=None: entries)
        needed = [entry.name for entry in needed_entries(name)]
        everything = [entry.name for entry in needed_entries(name, compared=True)]
    assert needed == [row.entry(role) for role in SEGMENTING]
    assert everything == [row.entry(role) for role in ROLES] and set(needed) < set(everything)
    assert not {"words", "tags"} & set(SEGMENTING)


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
    assert bytes_text(count) == text


# Slim copies


@pytest.fixture
def checkpoint(home, monkeypatch):
    """A fetched encoder with the official names, and two tensors that are left out of its copy."""
    import torch

    from moca.foundation.imagebind import slim, weights
    from moca.foundation.imagebind.config import ImageBindConfig
    from moca.foundation.imagebind.model import random_imagebind

    tiny = ImageBindConfig(
        image_width=8, image_blocks=2, image_heads=2, audio_width=6, audio_blocks=2, audio_heads=2, embed_dim=4
    )
    for module in (slim, weights):
        monkeypatch.setattr(module.ImageBindConfig, "huge", classmethod(lambda kind: tiny))
    state = random_imagebind(tiny, seed=0).state_dict()
    home.mkdir()
    torch.save({**state, "modality_trunks.text.a": torch.zeros(3000), "x": torch.zeros(1)}, home / "huge.pth")
    size = (home / "huge.pth").stat().st_size
    text = MANIFEST.replace("bytes = 12", f"bytes = {size}", 1)
    (home.parent / "bundled" / "manifest.toml").write_text(text)
    return home / "huge.pth"


def test_slim_makes_a_copy_that_is_then_what_is_loaded(weights, checkpoint, home):
    code, out, err = weights("slim", "imagebind-huge")
    copy = home / "imagebind-huge.slim.safetensors"
    assert (code, err) == (0, "") and out.startswith(f"imagebind-huge: {bytes_text(copy.stat().st_size)} in {copy} ")
    assert checkpoint.exists() and copy.stat().st_size < checkpoint.stat().st_size
    assert manifest.local_source("imagebind-huge") == copy
    assert ", which was here already (fingerprint of the original: " in weights("slim", "imagebind-huge")[1]
    assert out.rstrip().endswith(weights("slim", "imagebind-huge")[1].rstrip()[-17:])


def test_the_original_goes_only_when_asked_and_stays_unneeded(weights, checkpoint, home, fetched):
    size = checkpoint.stat().st_size
    code, out, _ = weights("slim", "imagebind-huge", "--remove-original")
    assert code == 0 and out.splitlines()[1] == f"imagebind-huge: {checkpoint} removed, {bytes_text(size)} freed"
    assert not checkpoint.exists() and find_entry("imagebind-huge").is_here
    copy = home / "imagebind-huge.slim.safetensors"
    assert weights("fetch", "imagebind-huge")[1].startswith(f"imagebind-huge: here already, {copy} ") and not fetched
    assert weights("verify", "imagebind-huge") == (0, "imagebind-huge: right\n", "")
    assert weights("path", "imagebind-huge")[1] == f"{copy}\n"
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    code, out, _ = weights("verify", "imagebind-huge")
    assert code == 1 and "must have SHA-256 " in out
    assert weights("remove", "imagebind-huge")[1].startswith("imagebind-huge: removed, ") and not copy.exists()


def test_a_damaged_copy_keeps_the_original(weights, checkpoint, home):
    weights("slim", "imagebind-huge")
    copy = home / "imagebind-huge.slim.safetensors"
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    code, _, err = weights("slim", "imagebind-huge", "--remove-original")
    assert code == 2 and err.endswith("remove it and run moca weights slim imagebind-huge again.\n")
    assert checkpoint.exists()


def test_what_cannot_be_slimmed_is_refused(weights, home):
    code, _, err = weights("slim", "mystery")
    assert code == 2 and err == (
        "error: mystery must be an encoder that is one file, got masks; there is nothing to leave out of it.\n"
    )
    code, _, err = weights("slim", "imagebind-huge")
    assert code == 2 and "run moca weights fetch imagebind-huge" in err and not home.exists()
