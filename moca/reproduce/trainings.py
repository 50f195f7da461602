"""The adapters that tables need: trained where they are missing, gone on with where a training was stopped."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from moca.core.changing import changed
from moca.core.progress import Progress, named, silent
from moca.corpus.finding import find_clips
from moca.foundation.catalogue import BUNDLED, CATALOGUE
from moca.foundation.manifest import bundled_weights
from moca.pipeline.encoder import Foundation, default_blocks, load_encoder
from moca.reproduce.config import ReproduceConfig
from moca.reproduce.specs import Training, blocks_here
from moca.training.config import PRESETS, TrainConfig
from moca.training.folder import CORPUS, PREPARED, read_run
from moca.training.run import train_run

FASTEST = 10
"""Most times that the rate of a shortened paper training is raised."""


class Trainings:
    """All trainings of a reproduction, below out/trained."""

    def __init__(self, config: ReproduceConfig, progress: Progress = silent) -> None:
        self.config, self.progress = config, progress
        self.folder = config.out / "trained"
        self._foundation: Foundation | None = None
        self._data: str | None = None

    @property
    def foundation(self) -> Foundation:
        """The frozen encoder that adapters are trained for, with what its model says of itself."""
        if self._foundation is None:
            self._foundation = load_encoder(self.config.model)
        return self._foundation

    @property
    def depth(self) -> int:
        """Blocks of the model's image trunk."""
        return self.foundation.encoder.image_tower.depth

    @property
    def notice(self) -> str | None:
        """What a user must know before believing the model's results, or None."""
        row = CATALOGUE.get(self.config.model)
        return self.foundation.notice if row is None or row.bundled else row.note  # nothing large is loaded

    @property
    def data(self) -> str:
        """Hex digits that change when a training clip is added, removed or written again."""
        if self._data is None:
            digest = hashlib.sha256()
            for source in find_clips(self.config.data):
                digest.update(f"{source.name}|{source.stamp()};".encode())
            self._data = digest.hexdigest()[:16]
        return self._data

    @property
    def weights(self) -> str:
        """Hex digits that change when a file of the model changes; "" for one that was fetched, which never does."""
        row = CATALOGUE.get(self.config.model)
        if row is not None and not row.bundled:
            return ""
        folder = Path(self.config.model) if row is None else bundled_weights() / BUNDLED
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            stat = path.stat()
            digest.update(f"{path.relative_to(folder).as_posix()}|{stat.st_size}|{stat.st_mtime_ns};".encode())
        return digest.hexdigest()[:16]

    def settings(self, training: Training, seed: int) -> TrainConfig:
        """The configuration of a training.

        A training of the preset `paper` with fewer steps has its rate raised by the factor its steps are fewer, at
        most tenfold, so that adapters can move about as far. Raises InputError for a setting that is not known.
        """
        base, config = PRESETS[training.preset], self.config
        steps = base.steps if config.steps is None else min(base.steps, config.steps)
        changes: dict[str, Any] = {"steps": steps, "checkpoint_every": min(base.checkpoint_every, steps)}
        if training.preset == "paper":
            changes["lr"] = base.lr * min(FASTEST, base.steps / steps)
        changes |= {**config.training, **training.changes, "seed": seed}
        if training.adapters is not None:
            changes["blocks"] = self.blocks(training.adapters)
        return changed(base, changes)

    def blocks(self, adapters: int) -> int:
        """Blocks adapted here where the paper adapts so many of its six."""
        return blocks_here(adapters, default_blocks(self.depth))

    def trained(self, training: Training, seed: int) -> Path:
        """The folder of the trained model; trains what is missing.

        Raises InputError where the data cannot be trained on, Interrupted on Ctrl-C: then the same call goes on.
        """
        settings, out = self.settings(training, seed), self.folder / training.name / f"seed-{seed}"
        self._share(out)
        train_run(
            self.config.data,
            out,
            settings,
            model=self.config.model,
            dino=self.config.dino,
            resume=read_run(out) is not None,
            workers=self.config.workers,
            device=self.config.device,
            progress=named(f"{training.name}, seed {seed}", self.progress),
        )
        return out

    def _share(self, out: Path) -> None:
        """Let a training find the decoded clips, neighbours and labels that the others use.

        Both folders name what they hold by its content, so a training never takes what was made for another one.
        """
        out.mkdir(parents=True, exist_ok=True)
        for name in (CORPUS, PREPARED):
            shared, link = self.folder / name, out / name
            shared.mkdir(exist_ok=True)
            if not link.exists():
                link.unlink(missing_ok=True)  # one that leads nowhere
                link.symlink_to(os.path.relpath(shared, out), target_is_directory=True)
