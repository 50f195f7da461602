"""The loop: Adam on the adapters, one device or many; stopped at any moment, it goes on with the same bits.

Whatever a step depends on is a function of the settings and the step's number: its batch (the objective's task)
and its learning rate. So a run that goes on after checkpoint N repeats exactly what the stopped one did next.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from moca.core.device import resolve_device
from moca.errors import InputError
from moca.training.checkpoints import Checkpoint, Origin, checkpoint_files, read_newest, remove_strays, write_checkpoint
from moca.training.config import TrainConfig
from moca.training.history import History

CHECKPOINTS = "checkpoints"
LONGEST_WAIT = timedelta(days=7)
"""Processes wait this long for the first one, which may be decoding a large set of videos."""
StepReport = Callable[[History, int], None]


class Loss(Protocol):
    """What is minimised, such as `moca.training.losses.objective.Objective`."""

    def loss(self, step: int, *, part: int = 0, parts: int = 1) -> tuple[Tensor, dict[str, float]]:
        """Loss of a step and what to log of it, a function of the step (from 0) and the trained values alone.

        part, parts: the slice of the step's batch that this process computes.
        """


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the running step was finished and saved; its text says how to go on."""


def make_accelerator(device: str = "auto") -> Accelerator:
    """Device, precision and processes of a run.

    device: auto, cpu, cuda or cuda:N. bf16 is used where the device has it; started by torchrun or `accelerate
    launch`, the run is spread over all processes. Raises InputError for a device that is not there.
    """
    place = torch.device(resolve_device(device))
    if place.type == "cuda" and place.index is not None:
        torch.cuda.set_device(place)
    halved = place.type == "cpu" or (place.type == "cuda" and torch.cuda.is_bf16_supported())
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run here may have had another device
    return Accelerator(
        cpu=place.type == "cpu",
        mixed_precision="bf16" if halved else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )


def check_processes(config: TrainConfig, accelerator: Accelerator) -> None:
    """Refuse a batch that cannot be shared out evenly: every process' share counts alike in the mean."""
    if config.batch % accelerator.num_processes:
        raise InputError(
            f"batch must be a multiple of the number of processes ({accelerator.num_processes}), got {config.batch}; "
            "change --batch."
        )


def rate(step: int, config: TrainConfig) -> float:
    """The factor in (0, 1] on every learning rate in a step (from 0): linear warm-up, then cosine or constant."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - config.warmup) / max(1, config.steps - config.warmup)))


def make_optimiser(towers: nn.Module, config: TrainConfig) -> torch.optim.Adam:
    """Adam on what is trained, in two groups: the adapters, and the read-out where there is one."""
    groups: dict[str, list[nn.Parameter]] = {"adapters": [], "readout": []}
    for name, parameter in towers.named_parameters():
        if parameter.requires_grad:
            groups["readout" if name == "readout" else "adapters"].append(parameter)
    rates = {"adapters": config.lr, "readout": config.readout_lr}
    return torch.optim.Adam([{"params": groups[name], "lr": lr} for name, lr in rates.items() if groups[name]])


def train(
    objective: Loss,
    towers: nn.Module,
    config: TrainConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    accelerator: Accelerator | None = None,
    fingerprints: Mapping[str, str] | None = None,
    progress: StepReport | None = None,
) -> History:
    """Change `towers` in place to minimise the objective; returns what happened, which also lies in folder.

    resume: go on after the newest checkpoint in folder; without one, start; with the last one, do nothing. The
    result has the same bits as that of a run that was never stopped. fingerprints: of what the objective reads
    (encoder, corpus), which must not change between the two. progress(history, steps) is called after every step.

    A checkpoint is written every `config.checkpoint_every` steps and at the end. Raises InputError for a folder
    that has checkpoints (without resume) or those of another run, and for a loss that is not finite; Interrupted
    on Ctrl-C.
    """
    accelerator = accelerator or make_accelerator()
    folder, origin = Path(folder), Origin(config=config, fingerprints=dict(fingerprints or {}))
    check_processes(config, accelerator)
    if not resume and checkpoint_files(folder / CHECKPOINTS):
        raise InputError(f"{folder} already has checkpoints; go on with --resume, or start anew with --overwrite.")
    start = read_newest(folder / CHECKPOINTS, origin)
    first = accelerator.is_main_process
    if first:
        remove_strays(folder / CHECKPOINTS)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))  # the caller's generators are not touched
        history = stack.enter_context(History(folder if first else None, start.history if start else None))
        loop = _Loop(objective, towers.to(accelerator.device), config, accelerator, history)
        loop.restore(start)
        stopped = stack.enter_context(_stop_signal())
        while loop.done < config.steps:
            loop.step()
            stopping = loop.anywhere(stopped.is_set())
            if loop.done % config.checkpoint_every == 0 or loop.done == config.steps or stopping:
                loop.save(folder / CHECKPOINTS, origin)
            if progress is not None:
                progress(history, config.steps)
            if stopping:
                raise Interrupted(f"{loop.done} of {config.steps} steps are done and saved; go on with --resume")
    return history


class _Loop:
    """The state that a step changes."""

    def __init__(
        self, objective: Loss, towers: nn.Module, config: TrainConfig, accelerator: Accelerator, history: History
    ) -> None:
        self.objective, self.towers, self.config = objective, towers, config
        self.accelerator, self.history = accelerator, history
        self.optimiser = make_optimiser(towers, config)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.done, self.behind_s, self.began = 0, 0.0, time.monotonic()

    def restore(self, start: Checkpoint | None) -> None:
        torch.manual_seed(self.config.seed)
        if start is None:
            return
        self.towers.load_state_dict(start.towers)
        self.optimiser.load_state_dict(start.optimiser)
        torch.set_rng_state(start.random["cpu"])
        if self.accelerator.device.type in start.random.keys() - {"cpu"}:
            torch.cuda.set_rng_state(start.random["cuda"], self.accelerator.device)
        self.done, self.behind_s = start.step, self.history.columns["seconds"][-1]

    def save(self, folder: Path, origin: Origin) -> None:
        if not self.accelerator.is_main_process:
            return
        random = {"cpu": torch.get_rng_state()}
        if self.accelerator.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.accelerator.device)
        checkpoint = Checkpoint(
            step=self.done,
            towers=self.towers.state_dict(),
            optimiser=self.optimiser.state_dict(),
            random=random,
            history=self.history.columns,
        )
        self.history.flush()  # first, so that no log has a gap before the step that a run goes on from
        write_checkpoint(folder, checkpoint, origin)

    def step(self) -> None:
        """One optimiser step over all processes, and its row in the history."""
        factor = rate(self.done, self.config)
        for group, lr in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = lr * factor
        self.optimiser.zero_grad(set_to_none=True)
        processes = self.accelerator.num_processes
        with self.accelerator.autocast():
            loss, parts = self.objective.loss(self.done, part=self.accelerator.process_index, parts=processes)
        self.accelerator.backward(loss)
        values = {"loss": loss.item(), **parts}
        if processes > 1:
            values = self._averaged(values)
        limit = self.config.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.parameters, limit).item()
        self._check_finite(values["loss"], norm)
        self.optimiser.step()
        self.done += 1
        seconds = round(self.behind_s + time.monotonic() - self.began, 3)
        self.history.add(
            {"step": self.done, "lr": self.rates[0] * factor, **values, "gradient_norm": norm, "seconds": seconds}
        )

    def anywhere(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all must stop after the same step."""
        if self.accelerator.num_processes == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.accelerator.device)
        return self.accelerator.reduce(flags, reduction="sum").item() > 0

    def _averaged(self, values: dict[str, float]) -> dict[str, float]:
        """Mean over all processes of the gradients, in place, and of what is logged: one message for both."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        logged = torch.tensor(list(values.values()), device=self.accelerator.device)
        flat = torch.cat([*(parameter.grad.flatten() for parameter in self.parameters), logged])
        mean = self.accelerator.reduce(flat, reduction="mean")
        sizes = [parameter.numel() for parameter in self.parameters]
        *gradients, logged = mean.split([*sizes, len(logged)])
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad.copy_(gradient.view_as(parameter))
        return dict(zip(values, logged.tolist(), strict=True))

    def _check_finite(self, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                raise InputError(
                    f"the {name} must be finite, got {value} in step {self.done + 1}; start anew with a lower --lr "
                    f"(now {self.config.lr:g}) and --overwrite. The last checkpoint is kept."
                )


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one does what it always does."""
    stopped, before = threading.Event(), {}

    def stop(number: int, frame: object) -> None:
        stopped.set()
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():  # only there may signals be handled
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
