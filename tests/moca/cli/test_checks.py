"""`moca doctor --model` and `--crosscheck` as a user meets them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from moca.cli import checks, crosscheck
from moca.cli.checks import Check
from moca.foundation.catalogue import CATALOGUE, SEGMENTING
from moca.foundation.manifest import bundled_weights, find_entry
from moca.foundation.upstream.comparing import Difference


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def test_mini_is_checked_to_a_segmented_step(here):
    code, out, err = here("doctor", "--model", "mini", "--device", "cpu")
    lines = out.splitlines()
    assert (code, err) == (0, "") and len(lines) == len(SEGMENTING) + 3
    assert all(line.startswith("ok ") for line in lines)
    assert lines[-1].startswith("ok      step: loaded in ") and "of the frame masked" in lines[-1]


@pytest.mark.parametrize("name", [name for name, row in CATALOGUE.items() if not row.bundled])
def test_what_is_missing_is_said_with_what_to_do(here, name, home):
    code, out, _ = here("doctor", "--model", name, "--device", "cpu")
    lines = out.splitlines()
    assert code == 1 and len(lines) == len(SEGMENTING) + 3
    for line, role in zip(lines, SEGMENTING, strict=False):
        place = find_entry(CATALOGUE[name].entry(role)).place
        assert line.startswith("WRONG   files: ") and line.endswith(
            f": {place} is not there; run moca weights fetch {name}"
        )
    assert " of them weights in float32 (" in lines[-3] and "see moca weights slim)" in lines[-3]
    assert lines[-1] == "skipped step: files are missing" and not home.exists()


def test_a_file_that_is_not_complete_and_a_slim_copy_are_told_apart(home):
    home.mkdir()
    find_entry("sam-vit-huge").place.write_bytes(b"12")
    find_entry("imagebind-huge").slim_place.write_bytes(b"123")
    files = list(checks._files(CATALOGUE["huge"]))
    by_role = dict(zip(SEGMENTING, files, strict=True))
    assert by_role["encoder"].good and by_role["encoder"].said.endswith("3 B, slim copy")
    assert by_role["masks"].said.endswith("is not complete (sam_vit_h_4b8939.pth)") and not by_role["masks"].good
    weights, slim = checks._weight_bytes(CATALOGUE["huge"])
    assert weights - slim == 4 * find_entry("imagebind-huge").parameters - 3
    assert "weights, the slim copy in bfloat16" in checks._memory(CATALOGUE["huge"], "cpu").said


def test_too_little_memory_is_wrong(monkeypatch):
    monkeypatch.setattr(checks, "_free_bytes", lambda device: (10**9, "here"))
    found = checks._memory(CATALOGUE["huge"], "cpu")
    assert not found.good and str(found).endswith("; 1 GB free here; " + found.advice) and "huge-lite" in found.advice
    assert checks._memory(CATALOGUE["mini"], "cpu").good
    monkeypatch.setattr(checks, "_free_bytes", lambda device: (None, ""))
    assert checks._memory(CATALOGUE["huge"], "cpu").left_out


def test_a_damaged_bundled_model_is_wrong_and_nothing_runs(here, tmp_path, monkeypatch):
    shutil.copytree(bundled_weights() / "mini" / "imagebind", tmp_path / "bundled" / "mini" / "imagebind")
    monkeypatch.setattr(checks, "bundled_weights", lambda: tmp_path / "bundled")
    code, out, _ = here("doctor", "--model", "mini")
    assert code == 1 and out.count("WRONG") == len(SEGMENTING) - 1 and "install it again" in out


def test_a_step_that_cannot_be_made_says_why(here, tmp_path, model):
    (model / "encoder" / "config.json").unlink()
    code, out, _ = here("doctor", "--model", model)
    assert code == 1 and out.splitlines()[-1].startswith(
        "WRONG   step: a drawn frame and its sound cannot be segmented"
    )


def test_a_folder_is_checked_by_its_own_card(here, model):
    code, out, _ = here("doctor", "--model", model)
    assert code == 0 and [line.split(":")[0] for line in out.splitlines()] == ["ok      device", "ok      step"]
    code, _, err = here("doctor", "--model", "nonsense")
    assert code == 2 and err.startswith("error: model must be mini, huge, ")


# Crosschecks


def test_nothing_fetched_is_nothing_wrong(here, home):
    code, out, err = here("doctor", "--crosscheck")
    assert (code, err) == (0, "") and out.startswith(
        f"skipped imagebind-huge: {home / 'imagebind_huge.pth'} is not here; run moca weights fetch imagebind-huge\n"
    )
    assert all(line.startswith("skipped ") for line in out.splitlines())


def test_examples_are_checked_before_anything_and_need_crosscheck(here, tmp_path):
    code, _, err = here("doctor", "--examples", tmp_path)
    assert (code, err) == (2, "error: --examples is for --crosscheck, which was not given; add it.\n")
    code, out, err = here("doctor", "--crosscheck", "--examples", tmp_path)
    assert (code, out) == (2, "") and err.startswith("error: the examples must be ImageBind's six files in ")


@pytest.fixture
def fetched(home, monkeypatch):
    """A SAM that is here, whose comparison is made up."""
    monkeypatch.setattr(crosscheck.Entry, "missing", lambda self: [] if self.name == "sam-vit-base" else ["x"])
    found = [Difference(what="masks", largest=1e-6, allowed=1e-3)]
    monkeypatch.setattr(crosscheck.sam, "compare_sam", lambda path: list(found))
    return found


def test_a_difference_beyond_rounding_is_wrong(here, fetched, monkeypatch):
    monkeypatch.setattr(crosscheck, "is_installed", lambda package: package == "segment_anything")
    code, out, _ = here("doctor", "--crosscheck")
    line = "against segment_anything, masks: largest difference 1e-06 (at most 0.001 is rounding)"
    assert code == 0 and f"ok      sam-vit-base: {line}\n" in out
    fetched[0] = replace(fetched[0], largest=0.1)
    code, out, _ = here("doctor", "--crosscheck")
    assert code == 1 and "WRONG   sam-vit-base: against segment_anything, masks: largest difference 0.1 " in out


def test_a_package_that_is_not_installed_is_left_out(here, fetched, monkeypatch):
    monkeypatch.setattr(crosscheck, "is_installed", lambda package: False)
    code, out, _ = here("doctor", "--crosscheck")
    assert code == 0 and "skipped sam-vit-base: segment_anything is not installed; pip install " in out


def test_the_published_table_stands_beside_ours(monkeypatch, tmp_path):
    class Model:
        rounded_from = None

    near = np.array(crosscheck.published.PUBLISHED) + 4e-4
    monkeypatch.setattr(crosscheck.Entry, "is_here", True)
    monkeypatch.setattr(crosscheck, "load_imagebind", lambda name: Model())
    monkeypatch.setattr(crosscheck.published, "example_embeddings", lambda model, folder: (0, 0))
    monkeypatch.setattr(crosscheck.published, "agreement_table", lambda pictures, sounds: near)
    entry = find_entry("imagebind-huge")
    found = crosscheck._published(entry, tmp_path)
    assert found.good and "README [[0.8070, 0.1088, 0.0842]" in found.said and "ours [[0.8074, 0.1092" in found.said
    near[0, 0] += 1e-2
    found = crosscheck._published(entry, tmp_path)
    assert not found.good and str(found).startswith("WRONG   examples: ")


def test_a_check_is_a_line():
    assert str(Check(name="a", good=True, said="b", advice="c")) == "ok      a: b"
    assert str(Check(name="a", good=False, said="b", advice="c")) == "WRONG   a: b; c"
