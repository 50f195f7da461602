"""The state of a training on disk, which only the recipe that wrote it goes on from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from moca.core.files import written_whole
from moca.errors import InputError


def write_state(path: Path, recipe: Any, state: dict[str, Any]) -> None:
    """Write a state and the recipe (a dataclass) it belongs to, completely or not at all."""
    with written_whole(path) as temporary:
        torch.save({"recipe": json.dumps(asdict(recipe)), **state}, temporary)


def read_state(path: Path, recipe: Any) -> dict[str, Any]:
    """A state that `write_state` wrote; InputError when it is another recipe's."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["recipe"] != json.dumps(asdict(recipe)):
        raise InputError(f"{path} must be of the recipe that is run, got another recipe's; give another --work.")
    return state
