"""The loop: Adam on what an objective names, one device or many; stopped at any moment, it goes on with the same bits.

Whatever a step depends on is a function of the settings and the step's number: its batch (the objective's task)
and its learning rate. So a run that goes on after checkpoint N repeats exactly what the stopped one did next.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.training.checkpoints import Checkpoint, Origin, checkpoint_files, read_newest, remove_strays, write_checkpoint
from moca.training.config import LoopConfig
from moca.training.history import History
from moca.training.processes import anywhere, averaged, check_batch, make_accelerator

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, eq=False, kw_only=True)
class ParameterGroup:
    """Parameters that share a learning rate."""

    name: str
    """What they are."""
    parameters: Sequence[nn.Parameter]
    """At least one."""
    lr: float
    """Their learning rate where the schedule's factor is 1."""


class Objective(Protocol):
    """What is learnt and what it is learnt from; the loop knows nothing else of it."""

    batch: int
    """Samples of a step, over all processes together; each process takes an equal part."""

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """What is trained, always in the same order."""

    def loss(self, step: int, *, part: int = 0, parts: int = 1) -> tuple[Tensor, dict[str, float]]:
        """Loss of a step and what to log of it, a function of the step (from 0) and the trained values alone.

        part, parts: the slice of the step's batch that this process computes.
        """

    def state_dict(self) -> Mapping[str, Tensor]:
        """All that a checkpoint must hold of the objective, by name."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> Any:
        """Take up what `state_dict` gave."""

    def to(self, device: torch.device) -> Any:
        """Compute on a device from now on; called before anything else."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the running step was finished and saved; its text says how to go on."""


def rate(step: int, config: LoopConfig) -> float:
    """The factor in (0, 1] on every learning rate in a step (from 0): linear warm-up, then cosine or constant."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - config.warmup) / max(1, config.steps - config.warmup)))


def train(
    objective: Objective,
    config: LoopConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    accelerator: Accelerator | None = None,
    fingerprints: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> History:
    """Change what the objective trains, in place, to minimise its loss; returns what happened, also kept in folder.

    config: of the loop, or more: a run goes on only with the same values. resume: go on after the newest checkpoint in
    folder; without one, start; with the last one, do nothing. The result has the same bits as that of a run that was
    never stopped. fingerprints: of what the objective reads (encoder, corpus), which must not change between the two.
    progress: told "training", the steps done and in all, with recent means of the loss and of what the objective logs.

    A checkpoint is written every `config.checkpoint_every` steps and at the end. Raises InputError for a folder
    that has checkpoints (without resume) or those of another run, and for a loss that is not finite; Interrupted
    on Ctrl-C.
    """
    accelerator = accelerator or make_accelerator()
    folder, origin = Path(folder), Origin(config=config, fingerprints=dict(fingerprints or {}))
    check_batch(objective.batch, accelerator)
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
        objective.to(accelerator.device)
        loop = _Loop(objective, config, accelerator, history)
        loop.restore(start)
        stopped = stack.enter_context(_stop_signal())
        while loop.done < config.steps:
            logged = loop.step()
            stopping = anywhere(stopped.is_set(), accelerator)  # all must stop after the same step
            if loop.done % config.checkpoint_every == 0 or loop.done == config.steps or stopping:
                loop.save(folder / CHECKPOINTS, origin)
            progress("training", loop.done, config.steps, **{name: history.recent(name) for name in logged})
            if stopping:
                raise Interrupted(f"{loop.done} of {config.steps} steps are done and saved; go on with --resume")
    return history


class _Loop:
    """The state that a step changes."""

    def __init__(self, objective: Objective, config: LoopConfig, accelerator: Accelerator, history: History) -> None:
        self.objective, self.config, self.accelerator, self.history = objective, config, accelerator, history
        groups = objective.parameter_groups()
        self.optimiser = torch.optim.Adam([{"params": list(group.parameters), "lr": group.lr} for group in groups])
        self.rates = [group.lr for group in groups]
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.done, self.behind_s, self.began = 0, 0.0, time.monotonic()

    def restore(self, start: Checkpoint | None) -> None:
        torch.manual_seed(self.config.seed)
        if start is None:
            return
        self.objective.load_state_dict(start.trained)
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
            trained=self.objective.state_dict(),
            optimiser=self.optimiser.state_dict(),
            random=random,
            history=self.history.columns,
        )
        self.history.flush()  # first, so that no log has a gap before the step that a run goes on from
        write_checkpoint(folder, checkpoint, origin)

    def step(self) -> tuple[str, ...]:
        """One optimiser step over all processes, and its row in the history. Returns the names of the losses logged."""
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
            values = averaged(self.parameters, values, self.accelerator)
        limit = self.config.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.parameters, limit).item()
        self._check_finite(values["loss"], norm)
        self.optimiser.step()
        self.done += 1
        seconds = round(self.behind_s + time.monotonic() - self.began, 3)
        self.history.add(
            {"step": self.done, "lr": self.rates[0] * factor, **values, "gradient_norm": norm, "seconds": seconds}
        )
        return tuple(values)

    def _check_finite(self, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                raise InputError(
                    f"the {name} must be finite, got {value} in step {self.done + 1}; start anew with a lower --lr "
                    f"(now {self.rates[0]:g}) and --overwrite. The last checkpoint is kept."
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
