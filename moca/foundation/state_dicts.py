"""Tensors by name, as official checkpoints hold them, and whether they are those of a model."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from moca.errors import InputError


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a `torch.save` file by name, memory-mapped, on the CPU.

    Nothing stored in the file is executed. Raises InputError for a file that is missing, damaged or holds other things.
    """
    require_file(path, "the checkpoint")
    rule = f"{path} must be a PyTorch checkpoint that maps names to tensors"
    try:
        tensors = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise InputError(f"{rule}, got other objects, which are never loaded; download it again.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{rule}, got a damaged or different file; download it again.") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{rule}, got a {type(tensors).__name__} with something else in it; use the plain weights.")
    return tensors


def check_fit(source: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Refuse tensors of a file that are not, by name and shape, exactly those wanted; what: which those are."""
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "unknown": [name for name in tensors if name not in wanted],
        "of another shape": [
            f"{name} {list(tensors[name].shape)} instead of {list(wanted[name].shape)}"
            for name in wanted
            if name in tensors and tensors[name].shape != wanted[name].shape
        ],
    }
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(
                f"{source} must hold exactly the {len(wanted)} {what}, got {len(names)} {problem}: "
                f"{', '.join(names[:3])}{more}; use the right file or configuration."
            )


def require_file(path: Path, what: str) -> None:
    """InputError unless a file is there; what: the message calls it."""
    if not path.is_file():
        raise InputError(f"{what} must be an existing file, got {path}, which is not there; check the path.")
