"""What a reproduction is asked for, and the folder it fills."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moca.core.files import check_folder, write_json_whole
from moca.core.settings import Settings, setting
from moca.core.workers import check_workers
from moca.errors import InputError

FORMAT = 1
RECORD = "reproduce.json"
FEWEST_CLIPS = 2  # the swapped control needs another clip


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig(Settings):
    """What tables are made of, and the folder that they fill:

    trained/<training>/seed-<n>/    adapters; trained/corpus and trained/prepared are shared by all of them
    runs/<run>/seed-<n>/<data>/     results.json, .md and .csv of a method on a data set
    clips/                          scores of finished clips, so that stopped runs go on
    <table>.csv, .md, .tex, .png    the tables
    """

    data: Path = setting(
        help="AVSBench's folder, or a stage's: its train splits are trained on, its test splits measured."
    )
    out: Path = setting(help="Folder for the tables, runs and trained adapters.")
    model: str = setting("mini", help="Whose frozen encoder: a name of the catalogue or a model's folder.")
    dino: str | None = setting(
        None, help="DINO for image neighbours: a name, a folder or a hub id; the model's own if left out."
    )
    tagger: str | None = setting(
        None, help="For AVSS: what names the sound where a method does not; the model's own if left out."
    )
    seeds: tuple[int, ...] = setting(
        (0, 1, 2),
        help="One training of every kind for each seed, separated by commas.",
        least=0,
        hint="give for example 0,1,2",
        option=True,
    )
    steps: int | None = setting(None, help="Most steps of a training; its preset's if left out.", least=1, option=True)
    clips: int | None = setting(
        None,
        help="Most test clips of a data set, spread evenly over it; all if left out.",
        least=FEWEST_CLIPS,
        option=True,
    )
    training: Mapping[str, Any] = setting(
        default_factory=dict, help="Settings of every training; what a row changes itself goes first."
    )
    workers: int = setting(1, help="Processes that decode training clips.")
    device: str = setting("auto", help="auto, cpu, cuda or cuda:N.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", Path(self.data))
        object.__setattr__(self, "out", Path(self.out))
        object.__setattr__(self, "seeds", tuple(self.seeds))
        check_workers(self.workers)
        super().__post_init__()
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(
                f"seeds must be one or more different whole numbers, got {list(self.seeds)}; give for example 0,1,2."
            )
        for name, option in (("seed", "--seeds"), ("steps", "--steps")):
            if name in self.training:
                raise InputError(f"{name} cannot be given with --set here, got {self.training[name]!r}; use {option}.")

    def fixed(self) -> dict[str, Any]:
        """What must stay the same in one folder, as JSON values; seeds, clips and tables may be added."""
        return {
            "data": str(self.data.resolve()),
            "model": self.model,
            "dino": self.dino,
            "steps": self.steps,
            "training": dict(self.training),
        }


def claim_folder(config: ReproduceConfig) -> None:
    """Make the folder, or check that it holds a reproduction with the same fixed settings.

    Raises InputError, with nothing written, for a folder of something else or of another data set, model or training.
    """
    out, path = config.out, config.out / RECORD
    check_folder(out)
    now = {"format": FORMAT, **config.fixed()}
    if path.is_file():
        _check_same(path, now)
        return
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty and holds no {RECORD}; choose an empty or new folder with -o.")
    try:
        write_json_whole(path, now)
    except OSError as error:
        raise InputError(f"{out} cannot be written to ({error.strerror}); choose another folder with -o.") from None


def _check_same(path: Path, now: dict[str, Any]) -> None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        other = next((name for name, value in now.items() if stored[name] != value), None)
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} must be what a reproduction writes, and it is not; choose another folder.") from None
    if other is not None:
        raise InputError(
            f"{path.parent} holds a reproduction with {other} {stored[other]!r}, got {now[other]!r}; give the same, or "
            "choose another folder with -o."
        )
