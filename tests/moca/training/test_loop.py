"""The loop on a loss whose every number can be followed by hand."""

import contextlib
import csv
import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.training.config import LoopConfig
from moca.training.loop import Interrupted, ParameterGroup, rate, train
from moca.training.processes import make_accelerator

CONFIG = LoopConfig(steps=12, warmup=3, clip_norm=1.0, checkpoint_every=5)
BATCH, LR, READOUT_LR = 4, 0.05, 0.2


class Towers(torch.nn.Module):
    """Five trained numbers and a read-out of two, beside a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        self.readout = torch.nn.Parameter(torch.tensor([3.0, -3.0]))
        self.frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)


class Quadratic:
    """Mean squared distance to noise that is drawn from the seed and the step; calls on_step before each."""

    def __init__(self, towers: Towers, seed: int = 0, on_step=lambda step: None, batch: int = BATCH) -> None:
        self.towers, self.seed, self.on_step, self.batch, self.steps = towers, seed, on_step, batch, []
        self.state_dict, self.load_state_dict, self.to = towers.state_dict, towers.load_state_dict, towers.to

    def parameter_groups(self):
        return [
            ParameterGroup(name="weight", parameters=[self.towers.weight], lr=LR),
            ParameterGroup(name="readout", parameters=[self.towers.readout], lr=READOUT_LR),
        ]

    def loss(self, step, *, part=0, parts=1):
        self.on_step(step)
        self.steps.append(step)
        noise = np.random.default_rng([self.seed, step]).normal(size=(BATCH, 7))[part::parts]
        target = torch.from_numpy(noise.astype(np.float32))
        now = torch.cat([self.towers.weight, self.towers.readout])
        loss = ((now - target) ** 2).sum(1).mean()
        return loss, {"matching": float(loss.detach()) / 2}


def values(towers: Towers) -> np.ndarray:
    return torch.cat([towers.weight, towers.readout]).detach().numpy().copy()


def naive(config: LoopConfig, steps: int) -> np.ndarray:
    """Adam (Kingma and Ba, 2015, algorithm 1) written out in float64."""
    now = values(Towers()).astype(np.float64)
    lr = np.array([LR] * 5 + [READOUT_LR] * 2)
    first, second = np.zeros(7), np.zeros(7)
    for step in range(steps):
        noise = np.random.default_rng([0, step]).normal(size=(BATCH, 7)).astype(np.float32)
        gradient = 2 * (now - noise).mean(0)
        norm = np.linalg.norm(gradient)
        if config.clip_norm is not None and norm > config.clip_norm:
            gradient *= config.clip_norm / norm
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        factor = rate(step, config)
        now -= lr * factor * (first / (1 - 0.9 ** (step + 1))) / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
    return now


def run(folder, config=CONFIG, **keywords):
    towers = Towers()
    on_step = keywords.pop("on_step", lambda step: None)
    objective = Quadratic(towers, on_step=on_step, batch=keywords.pop("batch", BATCH))
    history = train(objective, config, folder, accelerator=make_accelerator("cpu"), **keywords)
    return towers, history, objective


def logged(folder) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("clip_norm", [1.0, None])
def test_equals_adam_written_out(tmp_path, clip_norm):
    config = replace(CONFIG, clip_norm=clip_norm)
    towers, _, _ = run(tmp_path, config)
    np.testing.assert_allclose(values(towers), naive(config, CONFIG.steps), atol=1e-5)
    assert not np.allclose(naive(config, CONFIG.steps), naive(replace(config, warmup=0), CONFIG.steps), atol=1e-3)
    assert towers.frozen.item() == 1.0


def test_the_rate_rises_then_falls_and_depends_on_the_step_alone():
    config = LoopConfig(steps=110, warmup=10)
    factors = [rate(step, config) for step in range(110)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1.0 and factors[60] == pytest.approx(0.5) and 0 < factors[-1] < 0.001
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[10:]))
    assert {rate(step, replace(config, schedule="constant")) for step in range(10, 110)} == {1.0}
    assert rate(0, LoopConfig(steps=1, warmup=0)) == 1.0


def test_every_step_is_logged_once(tmp_path):
    _, history, objective = run(tmp_path)
    rows = logged(tmp_path)
    assert list(rows[0]) == ["step", "lr", "loss", "matching", "gradient_norm", "seconds"]
    assert [int(row["step"]) for row in rows] == history.columns["step"] == list(range(1, 13))
    assert [float(row["loss"]) for row in rows] == history.columns["loss"]
    assert [float(row["lr"]) for row in rows] == [0.05 * rate(step, CONFIG) for step in range(12)]
    assert objective.steps == list(range(12)) and list((tmp_path / "tensorboard").iterdir())


def test_checkpoints_every_so_often_and_at_the_end(tmp_path):
    run(tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000010.pt", "step-000012.pt"]


class Line:
    """An objective that is no adapter at all: a linear layer fits y = 3 x - 1."""

    batch = 2

    def __init__(self) -> None:
        self.layer = torch.nn.utils.skip_init(torch.nn.Linear, 1, 1)
        torch.nn.init.zeros_(self.layer.weight), torch.nn.init.zeros_(self.layer.bias)
        self.state_dict, self.load_state_dict, self.to = (
            self.layer.state_dict,
            self.layer.load_state_dict,
            self.layer.to,
        )

    def parameter_groups(self):
        return [ParameterGroup(name="line", parameters=list(self.layer.parameters()), lr=0.3)]

    def loss(self, step, *, part=0, parts=1):
        x = torch.tensor([[step % 5 - 2.0], [step % 3 - 1.0]])[part::parts]
        return ((self.layer(x).float() - (3 * x - 1)) ** 2).mean(), {}


def test_anything_can_be_trained_and_goes_on_with_the_same_bits(tmp_path):
    config, accelerator = LoopConfig(steps=200, checkpoint_every=70), make_accelerator("cpu")
    whole, stopped, resumed = Line(), Line(), Line()
    train(whole, config, tmp_path / "whole", accelerator=accelerator)
    np.testing.assert_allclose([whole.layer.weight.item(), whole.layer.bias.item()], [3, -1], atol=0.05)

    def stop(what, done, total, **values):
        if done == 100:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(stopped, config, tmp_path / "run", accelerator=accelerator, progress=stop)
    told = []
    train(
        resumed,
        config,
        tmp_path / "run",
        accelerator=accelerator,
        resume=True,
        progress=lambda what, done, total, **values: told.append((what, done, total, *values)),
    )
    assert told == [("training", done, 200, "loss") for done in range(71, 201)]
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())
    with pytest.raises(InputError, match="was made with warmup 20, which must stay to go on, got 3"):
        train(Line(), replace(config, warmup=3), tmp_path / "run", accelerator=accelerator, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_the_rest_gives_the_same_bits(tmp_path, number):
    whole, whole_history, _ = run(tmp_path / "whole")
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted) as caught:
        run(tmp_path / "run", on_step=lambda step: os.kill(os.getpid(), number) if step == 6 else None)
    assert str(caught.value) == "7 of 12 steps are done and saved; go on with --resume"
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == before
    assert (tmp_path / "run" / "checkpoints" / "step-000007.pt").is_file()
    towers, history, objective = run(tmp_path / "run", resume=True)
    assert objective.steps == [7, 8, 9, 10, 11]
    assert np.array_equal(values(towers), values(whole))
    assert history.columns["loss"] == whole_history.columns["loss"]
    assert [row["loss"] for row in logged(tmp_path / "run")] == [row["loss"] for row in logged(tmp_path / "whole")]
    seconds = history.columns["seconds"]
    assert all(later >= earlier for earlier, later in itertools.pairwise(seconds))


def test_steps_after_the_last_checkpoint_are_made_again_and_logged_once(tmp_path):
    def fail(step):
        if step == 8:
            raise RuntimeError("the machine")

    with pytest.raises(RuntimeError, match="the machine"):
        run(tmp_path, on_step=fail)
    assert len(logged(tmp_path)) == 8
    _, history, objective = run(tmp_path, resume=True)
    assert objective.steps == list(range(5, 12))
    assert [int(row["step"]) for row in logged(tmp_path)] == history.columns["step"] == list(range(1, 13))


def test_a_finished_run_resumed_does_nothing(tmp_path):
    first, _, _ = run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    towers, history, objective = run(tmp_path, resume=True)
    assert objective.steps == [] and len(history) == 12 and np.array_equal(values(towers), values(first))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_resume_without_a_checkpoint_starts(tmp_path):
    assert run(tmp_path, resume=True)[2].steps == list(range(12))


def test_a_folder_with_checkpoints_is_refused_without_resume(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError) as caught:
        run(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} already has checkpoints; go on with --resume, or start anew with --overwrite."
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_in_one_line_and_changes_nothing_more(tmp_path, bad):
    towers = Towers()
    objective = Quadratic(towers)
    loss = objective.loss
    objective.loss = lambda step, **keywords: (loss(step)[0] * (bad if step == 7 else 1), {})
    with pytest.raises(InputError) as caught:
        train(objective, CONFIG, tmp_path, accelerator=make_accelerator("cpu"))
    assert str(caught.value) == (
        f"the loss must be finite, got {bad} in step 8; start anew with a lower --lr (now 0.05) and --overwrite. The "
        "last checkpoint is kept."
    )
    assert (tmp_path / "checkpoints" / "step-000005.pt").is_file()
    assert np.isfinite(values(towers)).all() and len(logged(tmp_path)) == 7


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    towers = Towers()
    objective = Quadratic(towers)
    objective.loss = lambda step, **keywords: (torch.sqrt((towers.weight - towers.weight.detach()).abs().sum()), {})
    with pytest.raises(InputError, match="the gradient's norm must be finite, got nan in step 1; "):
        train(objective, CONFIG, tmp_path, accelerator=make_accelerator("cpu"))


def test_the_callers_random_numbers_are_not_touched(tmp_path):
    before = torch.get_rng_state()
    run(tmp_path, on_step=lambda step: torch.rand(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_even_an_objective_that_draws_from_torch_goes_on_with_the_same_numbers(tmp_path):
    def collect(drawn, stop=None):
        def draw(step):
            if step == stop:
                raise RuntimeError
            drawn.append(torch.rand(1).item())

        return draw

    whole, parts = [], []
    run(tmp_path / "whole", on_step=collect(whole))
    with pytest.raises(RuntimeError):
        run(tmp_path / "run", on_step=collect(parts, stop=5))
    run(tmp_path / "run", resume=True, on_step=collect(parts))
    assert parts == whole and len(set(whole)) == 12


def test_outside_the_main_thread_it_trains_without_signals(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(values(run(tmp_path / "thread")[0])))
    thread.start()
    thread.join()
    assert np.array_equal(results[0], values(run(tmp_path / "main")[0]))


def test_losses_on_a_cpu_are_computed_in_bfloat16():
    accelerator = make_accelerator("cpu")
    matrix = torch.ones(2, 2)
    with accelerator.autocast():
        assert (matrix @ matrix).dtype == torch.bfloat16
    assert (matrix @ matrix).dtype == torch.float32


def test_an_absent_device_is_refused():
    with pytest.raises(InputError, match="device must be auto, cpu, cuda or cuda:N and present, got tpu9"):
        make_accelerator("tpu9")


def free_port() -> int:
    """A port that nobody listens on, below those that systems give to connections: none is taken before it is used."""
    for port in np.random.default_rng().integers(20_000, 32_000, 100).tolist():
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port was found")


def start_two(folder, batch: int) -> list[subprocess.Popen]:
    """This file's `main` in two processes that share every step."""
    port = str(free_port())
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(batch)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def test_two_processes_make_the_steps_of_one(tmp_path):
    children = start_two(tmp_path, batch=4)
    errors = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], errors
    trained = [np.load(tmp_path / f"rank-{rank}.npy") for rank in range(2)]
    assert np.array_equal(trained[0], trained[1])
    alone, history, _ = run(tmp_path / "alone")
    np.testing.assert_allclose(trained[0], values(alone), atol=1e-6)
    losses = [float(row["loss"]) for row in logged(tmp_path)]
    np.testing.assert_allclose(losses, history.columns["loss"], rtol=1e-5)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000010.pt", "step-000012.pt"]


def main(folder: str, batch: str) -> None:
    from pathlib import Path

    towers, _, _ = run(Path(folder), batch=int(batch))
    np.save(Path(folder) / f"rank-{os.environ['RANK']}.npy", values(towers))


if __name__ == "__main__":
    main(*sys.argv[1:])
