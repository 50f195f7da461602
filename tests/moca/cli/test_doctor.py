"""What the doctor says of models, pipelines and licences."""

import io
import json
import shutil
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from moca.cli import doctor, states
from moca.cli.wording import bytes_text
from moca.foundation.catalogue import CATALOGUE, ROLES, row_of
from moca.foundation.manifest import RECORD_FILE, bundled_weights, find_entry, read_manifest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A mini zoo of ImageBind alone."""
    shutil.copytree(bundled_weights() / "mini" / "imagebind", tmp_path / "bundled" / "mini" / "imagebind")
    monkeypatch.setattr(states, "bundled_weights", lambda: tmp_path / "bundled")
    return tmp_path / "bundled" / "mini"


def examine():
    stream = io.StringIO()
    ready = doctor.report(Console(file=stream, width=120, highlight=False, soft_wrap=True))
    return ready, stream.getvalue()


def row(text, name):
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith(f"{name} "))


def test_every_model_has_a_row_in_120_columns(bundled, home):
    ready, text = examine()
    assert ready and "ready: moca segment runs with --model mini" in text
    assert row(text, "mini/imagebind").startswith("mini/imagebind image and audio towers here ")
    assert row(text, "mini/sam") == "mini/sam masks not here ? Apache-2.0"
    assert row(text, "imagebind-huge") == "imagebind-huge image and audio towers not here 4.8 GB CC BY-NC-SA 4.0"
    for name in read_manifest():
        assert row(text, name)
    table = text.partition("Models")[2].partition("fetched weights live in")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 120
    assert not home.exists()


def test_pipelines_say_what_they_lack_and_what_their_results_are_for(bundled):
    _, text = examine()
    mini, huge = (text.partition(f"\n{name}: ")[2] for name in ("mini", "huge"))
    assert "not here: mini/dino, mini/sam, mini/objects, mini/grounding, mini/tagger\n" in mini
    assert "its results: Apache-2.0; knows only Soundstage's classes\n" in mini
    assert huge.startswith("imagebind-huge, ")
    assert "its results: CC BY-NC-SA 4.0: research only, no commercial use, share alike (imagebind-huge)\n" in huge
    entries = [read_manifest()[CATALOGUE["huge"].entry(role)] for role in ROLES]
    known = bytes_text(sum(4 * entry.parameters for entry in entries if entry.parameters))
    assert f"at least {known} in float32" in huge


def test_every_model_of_a_pipeline_exists():
    known = {state.name for state in doctor.models()}
    assert {name for row in CATALOGUE.values() for name in doctor.model_names(row).values()} <= known


def test_without_the_strict_part_the_rest_is_free():
    assert doctor.strictest_licence(replace(row_of("huge"), encoder="mini")) == "Apache-2.0, BSD-3-Clause"


def test_a_model_that_arrives_is_seen(bundled, home):
    (bundled / "sam").mkdir()
    save_file({"weight": torch.zeros(3, 500, dtype=torch.float16)}, bundled / "sam" / "model.safetensors")
    folder = home / "hub" / "grounding-dino-base"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    record = {"format": 1, "hub": "IDEA-Research/grounding-dino-base", "revision": "x"}
    record["files"] = {"config.json": {"bytes": 2, "sha256": None}}
    (folder / RECORD_FILE).write_text(json.dumps(record))
    states = {state.name: state for state in doctor.models()}
    assert states["mini/sam"].here and states["mini/sam"].needs == 6000  # float32, however it is stored
    assert states["grounding-dino-base"].here and states["grounding-dino-base"].size == "2 B"
    assert not states["grounding-dino-tiny"].here and states["grounding-dino-tiny"].needs is None


def test_a_slim_copy_is_here_without_its_original(bundled, home):
    home.mkdir()
    find_entry("imagebind-huge").slim_place.write_bytes(b"x" * 1_440)
    _, text = examine()
    assert row(text, "imagebind-huge") == "imagebind-huge image and audio towers here 1.4 kB slim CC BY-NC-SA 4.0"
    missing = next(line for line in text.partition("\nhuge: ")[2].splitlines() if "not here" in line)
    assert "imagebind-huge" not in missing and "sam-vit-huge" in missing


def test_a_damaged_bundled_model_does_not_stop_the_doctor(bundled):
    (bundled / "sam").mkdir()
    (bundled / "sam" / "model.safetensors").write_bytes(b"damaged")
    assert {state.name: state.needs for state in doctor.models()}["mini/sam"] is None


def test_without_mini_it_is_not_ready(bundled):
    shutil.rmtree(bundled)
    ready, text = examine()
    assert not ready and "not ready: missing mini weights" in text
