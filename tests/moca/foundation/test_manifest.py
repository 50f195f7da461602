"""The shipped manifest, what is refused in one, and where models lie."""

import json

import pytest

from moca.errors import InputError
from moca.foundation.manifest import RECORD_FILE, bundled_weights, find_entry, local_source, read_manifest, weights_home

SHA = "0" * 64
FILE = f"""
[tiny]
role = "masks"
kind = "file"
file = "tiny.pth"
url = "http://127.0.0.1/tiny.pth"
bytes = 5
sha256 = "{SHA}"
licence = "MIT"
citation = "Nobody, 2020"
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def refusal(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(tmp_path, text):
    path = tmp_path / "manifest.toml"
    path.write_text(text)
    return path


def record(home, files):
    folder = home / "hub" / "dino-vits8"
    folder.mkdir(parents=True)
    for name, size in files.items():
        (folder / name).write_bytes(b"x" * size)
    known = {name: {"bytes": size, "sha256": None} for name, size in files.items()}
    document = {"format": 1, "hub": "facebook/dino-vits8", "revision": "abc", "files": known}
    (folder / RECORD_FILE).write_text(json.dumps(document))
    return folder


# The shipped manifest


def test_the_shipped_manifest_is_valid_and_complete():
    entries = read_manifest()
    assert set(entries) == {
        "imagebind-huge", "sam-vit-base", "sam-vit-large", "sam-vit-huge", "dino-vits8", "dino-vits16", "dino-vitb8",
        "dino-vitb16", "dinov2-small", "dinov2-base", "dinov2-with-registers-base", "dinov3-vitb16",
        "dinov3-convnext-tiny", "grounding-dino-tiny", "grounding-dino-base", "owlv2-base", "owlv2-base-ensemble",
        "owlv2-large-ensemble", "ast",
    }  # fmt: skip
    assert [entry.name for entry in entries.values() if not entry.commercial] == [
        "imagebind-huge",
        "dinov3-vitb16",
        "dinov3-convnext-tiny",
    ]
    assert all(entry.licence and entry.citation and entry.role for entry in entries.values())
    assert entries["dino-vits8"].hub == "facebook/dino-vits8" and entries["dino-vits8"].bytes is None


def test_the_files_have_what_a_download_needs():
    files = {entry.name: entry for entry in read_manifest().values() if entry.kind == "file"}
    assert {name: (entry.file, entry.bytes, entry.sha256[:8]) for name, entry in files.items()} == {
        "imagebind-huge": ("imagebind_huge.pth", 4_803_584_173, "d6f6c22b"),
        "sam-vit-base": ("sam_vit_b_01ec64.pth", 375_042_383, "ec2df627"),
        "sam-vit-large": ("sam_vit_l_0b3195.pth", 1_249_524_607, "3adcc431"),
        "sam-vit-huge": ("sam_vit_h_4b8939.pth", 2_564_550_879, "a7bf3b02"),
    }
    assert all(entry.url.startswith("https://") and entry.url.endswith(entry.file) for entry in files.values())
    assert len({entry.file for entry in files.values()}) == len(files)


# What a manifest may hold


def test_a_manifest_is_read_as_written(tmp_path):
    (entry,) = read_manifest(written(tmp_path, FILE)).values()
    assert (entry.name, entry.kind, entry.bytes, entry.size, entry.hub) == ("tiny", "file", 5, 5, None)
    hub = '[h]\nrole = "tags"\nkind = "hub"\nhub = "a/b"\nlicence = "MIT"\ncitation = "x"\nparameters = 3\n'
    (entry,) = read_manifest(written(tmp_path, hub)).values()
    assert (entry.size, entry.size_is_exact, entry.revision) == (12, False, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('role = "masks"', 'task = "masks"', "tiny must have only role, kind, "),
        ('licence = "MIT"', "", "tiny must have licence, which it does not; correct the manifest."),
        (f'sha256 = "{SHA}"', "", "tiny must have sha256, which it does not; correct the manifest."),
        ('kind = "file"', 'kind = "zip"', "kind of tiny must be file or hub, got 'zip'; correct the manifest."),
        (SHA, SHA[1:], "sha256 of tiny must be 64 lower-case hexadecimal digits, got "),
        ("bytes = 5", "bytes = 0", "bytes of tiny must be a whole number above 0, got 0; correct the manifest."),
        ("bytes = 5", "bytes = true", "bytes of tiny must be a whole number above 0, got True; correct"),
        ('"tiny.pth"', '"../tiny.pth"', "file of tiny must be a file name without a folder, got '../tiny.pth'"),
        ("http:", "ftp:", "url of tiny must be an http or https address, got 'ftp://127.0.0.1/tiny.pth'"),
        ("[tiny]", '["../x"]', "name of ../x must be lower-case letters, digits, dots and hyphens, got '../x'"),
        ('licence = "MIT"', 'licence = " "', "licence of tiny must be text, got ' '; correct the manifest."),
        ('licence = "MIT"', 'licence = "MIT"\ncommercial = 1', "commercial of tiny must be true or false, got 1"),
        (FILE, 'name = "x"', "name must be a table, got 'x'; correct the manifest."),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path, old, new, message):
    read_manifest(written(tmp_path, FILE))
    assert refusal(read_manifest, written(tmp_path, FILE.replace(old, new))).startswith(message)


def test_unknown_keys_are_named(tmp_path):
    line = refusal(read_manifest, written(tmp_path, FILE + "md5 = 1\nsha1 = 2\n"))
    assert line.endswith("got md5, sha1; correct the manifest.")


def test_what_is_not_toml_is_refused(tmp_path):
    assert "must be TOML, got something else" in refusal(read_manifest, written(tmp_path, "[tiny"))


# Where models lie


def test_weights_home_can_be_moved(home, monkeypatch):
    assert weights_home() == home
    assert find_entry("sam-vit-base").place == home / "sam_vit_b_01ec64.pth"
    assert find_entry("dino-vits8").place == home / "hub" / "dino-vits8"
    monkeypatch.delenv("MOCA_WEIGHTS")
    assert weights_home().name == "moca-avs"
    assert (bundled_weights() / "mini" / "pipeline.json").is_file()


def test_unknown_names_are_refused():
    line = refusal(local_source, "dino")
    assert line.startswith("name must be one of imagebind-huge, sam-vit-base, ")
    assert line.endswith(", got dino; see moca weights list.")


def test_what_is_not_here_is_refused_with_the_command_that_fetches_it(home):
    for name in ("dino-vits8", "sam-vit-base"):
        path = find_entry(name).place
        assert refusal(local_source, name) == (
            f"{name} must be in {path}, which is not there; run moca weights fetch {name}."
        )
    assert not home.exists()


def test_a_file_of_another_size_is_refused(home):
    home.mkdir()
    (home / "sam_vit_b_01ec64.pth").write_bytes(b"12345")
    assert refusal(local_source, "sam-vit-base") == (
        f"sam-vit-base must be in {home / 'sam_vit_b_01ec64.pth'}, which has 5 bytes instead of 375,042,383; run moca "
        "weights fetch sam-vit-base."
    )


def test_a_complete_snapshot_is_found(home):
    folder = record(home, {"config.json": 3, "model.safetensors": 7})
    assert local_source("dino-vits8") == folder
    entry = find_entry("dino-vits8")
    assert entry.is_here and entry.size == 10 and entry.size_is_exact
    (folder / "model.safetensors").write_bytes(b"short")
    assert refusal(local_source, "dino-vits8") == (
        f"dino-vits8 must be in {folder}, which is not complete (model.safetensors); run moca weights fetch dino-vits8."
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "hub": "a/b", "files": {}}'])
def test_a_snapshot_without_a_valid_record_is_not_complete(home, text):
    folder = record(home, {"config.json": 3})
    assert find_entry("dino-vits8").is_here
    (folder / RECORD_FILE).write_text(text)
    assert not find_entry("dino-vits8").is_here
    assert f"which is not complete ({RECORD_FILE})" in refusal(local_source, "dino-vits8")
