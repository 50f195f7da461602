"""Killed at any moment and resumed, a run ends with the very bits of one that was never stopped."""

import csv
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SCRIPT = Path(__file__).with_name("resumed_run.py")
MODULE = runpy.run_path(str(SCRIPT))
STEPS = MODULE["STEPS"]


def start(folder: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(SCRIPT), str(folder), *options])


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def kill_at_some_moment(folder: Path) -> None:
    """Start a run and kill it between two steps or within one, at a random moment after its first steps."""
    child = start(folder, "--pause", "0.02")
    deadline = time.monotonic() + 60
    while not (folder / "log.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(time.time_ns()).uniform(0, 0.5))
    child.kill()
    assert child.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    MODULE["run"](folder)
    return folder


def test_killed_twice_and_resumed_the_adapters_are_the_same_bytes(uninterrupted, tmp_path):
    folder = tmp_path / "killed"
    kill_at_some_moment(folder)
    assert not (folder / "adapters").exists()
    child = start(folder, "--die-writing", "28")
    assert child.wait() == -signal.SIGKILL
    assert list((folder / "checkpoints").glob(".step-*.partial.pt")) and not (folder / "adapters").exists()
    MODULE["run"](folder)
    weights = [(place / "adapters" / "adapters.safetensors").read_bytes() for place in (folder, uninterrupted)]
    assert weights[0] == weights[1]
    rows, expected = logged(folder), logged(uninterrupted)
    for row in (*rows, *expected):
        del row["seconds"]
    assert rows == expected and [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    files = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert files == ["step-000028.pt", "step-000030.pt"]


def test_tensorboard_shows_every_step_once(uninterrupted):
    events = EventAccumulator(str(uninterrupted / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, STEPS + 1))
    assert {"lr", "matching", "active", "distillation", "gradient_norm"} <= set(events.Tags()["scalars"])


def test_another_seed_would_give_other_bytes(uninterrupted, tmp_path):
    from dataclasses import replace

    other = runpy.run_path(str(SCRIPT))
    other["run"].__globals__["CONFIG"] = replace(other["CONFIG"], seed=1)
    other["run"](tmp_path)
    weights = [(place / "adapters" / "adapters.safetensors").read_bytes() for place in (tmp_path, uninterrupted)]
    assert len(weights[0]) == len(weights[1]) and weights[0] != weights[1]
