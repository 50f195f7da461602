"""The state of a run on disk: after any stop a run goes on as if nothing had happened.

checkpoints/step-000100.pt holds the state after 100 steps. A file is written whole, the last two are kept, and a
damaged one is noticed by its digest, so there is always one to go back to.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moca.core.changing import flattened
from moca.core.files import written_whole
from moca.errors import InputError
from moca.training.config import LoopConfig

FORMAT = 1
KEPT = 2
"""Checkpoints that are kept: the newest, and one to go back to."""
STORED_AS = {"trained": "towers"}
"""Names in the file, where they are not the fields'."""
FREE = frozenset({"checkpoint_every"})
"""Settings that a run may go on with changed, because no result depends on them."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run's result depends on. Only a run of the same origin may go on from a checkpoint."""

    config: LoopConfig
    """Its settings, those of what is learnt included."""
    fingerprints: Mapping[str, str]
    """Of everything else, by name: the encoder, the corpus, ..."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"config": self.config.to_dict(), "fingerprints": dict(self.fingerprints)}

    def check(self, earlier: Mapping[str, Any], where: str | Path) -> None:
        """Refuse to go on from another origin.

        earlier: as `to_dict` gave it. where: what holds it, for the message. Raises InputError that names the
        first setting that differs.
        """
        now = self.to_dict()
        before, given = (dict(flattened(source["config"])) for source in (earlier, now))
        for name in before | given:
            if name not in FREE and before.get(name) != given.get(name):
                raise InputError(
                    f"{where} was made with {name} {before.get(name)!r}, which must stay to go on, got "
                    f"{given.get(name)!r}; give the same, or start anew with --overwrite, or in another folder."
                )
        before, given = earlier["fingerprints"], now["fingerprints"]
        for name in before | given:
            if before.get(name) != given.get(name):
                raise InputError(
                    f"{where} was made with another {name} (fingerprint {before.get(name)}, now {given.get(name)}), "
                    "which must stay to go on; give the same, or start anew with --overwrite, or in another folder."
                )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that a run needs to go on: after `step` finished steps."""

    step: int
    trained: Mapping[str, Tensor]
    """state_dict of the objective: what is trained."""
    optimiser: dict[str, Any]
    """state_dict of the optimiser."""
    random: dict[str, Tensor]
    """States of torch's generators, by device type."""
    history: dict[str, list]
    """The columns of log.csv so far."""


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def write_checkpoint(folder: Path, checkpoint: Checkpoint, origin: Origin) -> Path:
    """Write folder/step-000100.pt and remove all but the last two; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint.step:06d}.pt"
    content = {STORED_AS.get(name, name): value for name, value in vars(checkpoint).items()}
    state = {"format": FORMAT, **origin.to_dict(), **content}
    with written_whole(path) as temporary:
        torch.save({**state, "sha256": _digest(state)}, temporary)
    for stale in checkpoint_files(folder)[:-KEPT]:
        stale.unlink()
    return path


def read_newest(folder: Path, origin: Origin) -> Checkpoint | None:
    """The newest checkpoint that is whole, on the CPU; None where there is none at all.

    A damaged one is passed over with a UserWarning. Raises InputError where all are damaged or one is of another
    origin or format. Nothing stored in a file is ever executed.
    """
    paths = checkpoint_files(folder)[::-1]
    for index, path in enumerate(paths):
        state = _read(path)
        if state is None:
            if index + 1 < len(paths):
                warnings.warn(f"{path} is damaged; going back to {paths[index + 1].name}.", stacklevel=2)
            continue
        if state["format"] != FORMAT:
            raise InputError(f"{path} must have format {FORMAT}, got {state['format']!r}; use the version of the run.")
        origin.check(state, path)
        return Checkpoint(**{name: state[STORED_AS.get(name, name)] for name in Checkpoint.__dataclass_fields__})
    if paths:
        raise InputError(
            f"{folder} must hold a checkpoint that is whole, all are damaged; start anew with --overwrite, or in "
            "another folder."
        )
    return None


def remove_strays(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for stray in folder.glob(".step-*.partial.pt"):
        with suppress(OSError):
            stray.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint; None where it is not, to the last bit, what was written."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        digest = state.pop("sha256")
        return state if digest == _digest(state) else None
    except Exception:  # a damaged file can raise anything; whatever it is, the one before is tried
        return None


def _digest(value: Any) -> str:
    """SHA-256 of nested dicts and lists of tensors and plain values; torch does not check a file's bytes itself."""
    digest = hashlib.sha256()
    for piece in _pieces(value):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping):
        yield f"dict {len(value)};".encode()
        for key in sorted(value, key=repr):
            yield f"{key!r}:".encode()
            yield from _pieces(value[key])
    elif isinstance(value, list | tuple):
        yield f"list {len(value)};".encode()
        for item in value:
            yield from _pieces(item)
    elif isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)};".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield f"{value!r};".encode()
