"""The table of memory and time says what was measured, and every model it names can be built at its published size."""

import contextlib
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import models

# Millions of parameters, as published; OWLv2, Grounding DINO and SAM with all their parts.
PUBLISHED = {
    "dino-vits16": 21.7,
    "dino-vits8": 21.7,
    "dino-vitb16": 85.8,
    "dino-vitb8": 85.8,
    "sam-vit-base": 93.7,
    "sam-vit-large": 312.3,
    "sam-vit-huge": 641.1,
    "owlv2-base": 155,
    "owlv2-large": 437,
    "grounding-dino-tiny": 172,
    "grounding-dino-base": 233,
    "ast": 86.6,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_its_published_size(name):
    with torch.device("meta"):  # no memory, no numbers
        model, run, what = models.MODELS[name]()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(PUBLISHED[name], rel=0.006)
    assert callable(run) and what


def test_no_model_is_forgotten():
    assert set(PUBLISHED) == set(models.MODELS) - {"imagebind-huge"} and models.REFERENCE in models.MODELS


def test_every_run_sees_the_same_frame_and_hears_the_same_sound():
    frame, sound = models.frame(), models.sound(1.5)
    assert frame.shape == (360, 640, 3) and frame.dtype == np.uint8 and frame.std() > 50
    assert sound.shape == (24_000,) and sound.dtype == np.float32 and 0.2 < np.abs(sound).max() <= 0.3
    assert np.array_equal(frame, models.frame()) and np.array_equal(sound, models.sound(1.5))


# Measuring


def fake(size, calls):
    """A model of (size + 1) * 3 parameters, whose runs are counted."""
    return lambda: (torch.nn.Linear(size, 3), lambda: calls.append(size), f"{size} frames")


@pytest.fixture
def calls(monkeypatch):
    """Runs of three small models in place of the large ones, in this process instead of one each."""
    seen = []
    monkeypatch.setattr(models, "MODELS", {name: fake(size, seen) for name, size in (("a", 1), ("b", 2), ("c", 3))})
    monkeypatch.setattr(models, "REFERENCE", "b")

    def run(command, *, check, stdout, text):
        assert command[:3] == [sys.executable, "-m", "benchmarks.models"] and check and text
        assert stdout is subprocess.PIPE
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as told:
            print("a warning of some library")
            patch.setattr(sys, "argv", ["x", *command[3:]])
            models.main()
        return SimpleNamespace(stdout=told.getvalue())

    monkeypatch.setattr(models.subprocess, "run", run)
    return seen


def test_a_model_is_measured_in_a_process_of_its_own(calls, monkeypatch):
    ticks = iter([0.0, 5.0, 10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr(models.time, "perf_counter", lambda: next(ticks))
    found = models.measure("c", 3)
    assert found["model"] == "c" and found["run"] == "3 frames" and calls == [3, 3, 3]
    assert found["parameters"] == 12 and found["weights_gib"] == 12 * 4 / 2**30
    assert found["seconds"] == 2.0  # the shortest
    assert found["threads"] == torch.get_num_threads()
    assert 0.01 < found["peak_gib"] < 1_000


def rows():
    return [
        {
            "model": name,
            "run": "a frame",
            "parameters": count,
            "weights_gib": 4.5,
            "peak_gib": 6.789,
            "seconds": seconds,
        }
        for name, count, seconds in (("dino-vits8", 1_234_567, 30.0), ("dino-vits16", 7, 2.0), ("ast", 8, 3_000.0))
    ]


def test_times_are_told_as_multiples_of_the_references():
    head, rule, *lines = models.markdown(rows()).splitlines()
    assert head.endswith("| time, x dino-vits16 |") and rule == "|---|---:|---:|---:|---|---:|"
    assert lines == [
        "| dino-vits8 | 1,234,567 | 4.50 GiB | 6.79 GiB | a frame | 15.0 |",
        "| dino-vits16 | 7 | 4.50 GiB | 6.79 GiB | a frame | 1.0 |",
        "| ast | 8 | 4.50 GiB | 6.79 GiB | a frame | 1,500.0 |",
    ]


def test_without_the_reference_no_time_is_told():
    without = [row for row in rows() if row["model"] != "dino-vits16"]
    assert [line.split(" | ")[-1] for line in models.markdown(without).splitlines()[2:]] == ["n/a |", "n/a |"]
    assert len(models.markdown([]).splitlines()) == 2


def test_both_files_are_written(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(tmp_path / "results"), "--only", "c", "b", "--repeats", "2"])
    models.main()
    found = json.loads((tmp_path / "results" / "bench_models.json").read_text())["models"]
    assert [row["model"] for row in found] == ["c", "b"] and calls == [3, 3, 2, 2]
    assert (tmp_path / "results" / "bench_models.md").read_text() == models.markdown(found)
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(tmp_path / "all"), "--repeats", "1"])
    models.main()
    assert len(json.loads((tmp_path / "all" / "bench_models.json").read_text())["models"]) == 3
