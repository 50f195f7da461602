"""Device, precision and processes of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import nn

from moca.core.device import resolve_device
from moca.errors import InputError

LONGEST_WAIT = timedelta(days=7)
"""Processes wait this long for the first one, which may be decoding a large set of videos."""


def make_accelerator(device: str = "auto") -> Accelerator:
    """Device, precision and processes of a run.

    device: auto, cpu, cuda or cuda:N. bf16 is used where the device has it; started by torchrun or `accelerate
    launch`, the run is spread over all processes. Raises InputError for a device that is not there.
    """
    chosen = torch.device(resolve_device(device))
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    halved = chosen.type == "cpu" or (chosen.type == "cuda" and torch.cuda.is_bf16_supported())
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run here may have had another device
    return Accelerator(
        cpu=chosen.type == "cpu",
        mixed_precision="bf16" if halved else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )


def check_batch(batch: int, accelerator: Accelerator) -> None:
    """Refuse a batch that cannot be shared out evenly: every process' share counts alike in the mean."""
    if batch % accelerator.num_processes:
        raise InputError(
            f"batch must be a multiple of the number of processes ({accelerator.num_processes}), got {batch}; "
            "change --batch."
        )


def anywhere(flag: bool, accelerator: Accelerator) -> bool:
    """Whether a flag is set in any process."""
    if accelerator.num_processes == 1:
        return flag
    flags = torch.tensor(float(flag), device=accelerator.device)
    return accelerator.reduce(flags, reduction="sum").item() > 0


def averaged(
    parameters: Sequence[nn.Parameter], values: Mapping[str, float], accelerator: Accelerator
) -> dict[str, float]:
    """Mean over all processes of the gradients, in place, and of values to log: one message for both."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    logged = torch.tensor(list(values.values()), device=accelerator.device)
    flat = torch.cat([*(parameter.grad.flatten() for parameter in parameters), logged])
    mean = accelerator.reduce(flat, reduction="mean")
    sizes = [parameter.numel() for parameter in parameters]
    *gradients, logged = mean.split([*sizes, len(logged)])
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad.copy_(gradient.view_as(parameter))
    return dict(zip(values, logged.tolist(), strict=True))
