"""Devices by name."""

from __future__ import annotations

import torch

from moca.errors import InputError


def resolve_device(name: str) -> str:
    """The device meant by a name; "auto" is a GPU when there is one. Raises InputError for one that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        raise InputError(
            f"device must be auto, cpu, cuda or cuda:N and present, got {name}; try --device cpu."
        ) from None
    return name
