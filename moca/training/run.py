"""A training run from videos to a model: decode, prepare, train, calibrate, and write what `moca segment` reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from moca.adapters import AdaptedTowers, fingerprint, make_plan, save_adapters
from moca.corpus.corpus import Corpus, build_corpus
from moca.corpus.sources import find_clips
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.pipeline.card import PIPELINE_FORMAT
from moca.pipeline.encoder import Foundation, default_blocks, frozen_towers, load_encoder
from moca.pipeline.loading import Pipeline
from moca.segmenter import Segmenter
from moca.training.calibrate import calibrate, starting_settings
from moca.training.checkpoints import Origin
from moca.training.config import TrainConfig
from moca.training.folder import (
    ADAPTERS,
    CARD,
    CORPUS,
    PREPARED,
    RECORD,
    check_out,
    read_run,
    remove_run,
    write_json,
    write_record,
)
from moca.training.history import History
from moca.training.loop import check_processes, make_accelerator, train
from moca.training.losses.objective import Objective
from moca.version import __version__

Progress = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run used and made.

    out: its folder. videos, frames: used. broken: name of every video that could not be used, and why. steps: of
    training. notice: what a user must know of the encoder, or None. reused: the run was finished before and nothing
    was done.
    """

    out: Path
    videos: int
    frames: int
    broken: tuple[tuple[str, str], ...]
    steps: int
    notice: str | None = None
    reused: bool = False


def train_run(
    source: str | Path,
    out: str | Path,
    config: TrainConfig,
    *,
    clips: str | Path | None = None,
    model: str | Path = "mini",
    dino: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int = 1,
    device: str = "auto",
    steps_per_video: int = 10,
    on_progress: Progress | None = None,
) -> RunSummary:
    """Train adapters on videos and write a model's folder that `moca segment --model` takes.

    source, clips: see `find_clips`. model: whose frozen encoder is adapted, see `load_encoder`. dino: the DINO that
    image neighbours are found by (name, folder or hub id); by default the mini one for model mini. resume: go on
    with the run in out, which must have the same settings and videos. overwrite: replace it. workers: processes
    that decode. on_progress(what, done, total, values) is called often.

    A run that was stopped while it decoded or prepared goes on there even without resume. Raises InputError, in one
    line, before anything is written where it can be known; Interrupted on Ctrl-C once steps are being made.
    """
    out, report = Path(out), on_progress or (lambda what, done, total, values: None)
    check_out(out, resume=resume, overwrite=overwrite)
    sources = find_clips(source, clips=clips)
    run = _set_up(config, model, dino, device)
    record = read_run(out) if resume else None
    if record is not None:  # as far as it is known before the corpus is touched
        run.origin(record["fingerprints"].get("corpus")).check(record, out / RECORD)
    with run.accelerator.main_process_first():
        corpus = build_corpus(
            sources,
            out / CORPUS,
            image_size=run.encoder.config.image_size,
            sample_rate_hz=run.encoder.config.log_mel.sample_rate_hz,
            steps_per_video=steps_per_video,
            workers=workers,
            progress=lambda done, total: report("reading videos", done, total, {}),
        )
    origin, summary = run.origin(corpus.fingerprint), _summary(out, corpus, run)
    if record is not None:
        origin.check(record, out / RECORD)
        if (out / CARD).is_file():
            return replace(summary, reused=True)
    with run.accelerator.main_process_first():
        objective = Objective(
            run.encoder,
            run.towers,
            corpus,
            config,
            out / PREPARED,
            image_features=run.image_features,
            image_print=run.prints.get("dino", ""),
            report=lambda what, done, total: report(what, done, total, {}),
        )
    options = {"source": source, "clips": clips, "model": model, "dino": dino}
    options = {name: None if value is None else str(value) for name, value in options.items()}
    if run.accelerator.is_main_process:
        if overwrite:
            remove_run(out)
        write_record(out, {**options, "steps_per_video": steps_per_video}, origin)
    run.accelerator.wait_for_everyone()
    train(
        objective,
        run.towers,
        config,
        out,
        resume=resume,
        accelerator=run.accelerator,
        fingerprints=origin.fingerprints,
        progress=lambda history, total: report("training", len(history), total, _recent(history)),
    )
    if run.accelerator.is_main_process:
        _write_model(out, run, corpus, report)
    run.accelerator.wait_for_everyone()
    return summary


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What is trained, on what, and where."""

    config: TrainConfig
    accelerator: Accelerator
    foundation: Foundation
    towers: AdaptedTowers
    image_features: Callable[[np.ndarray], np.ndarray] | None
    prints: dict[str, str]

    @property
    def encoder(self) -> ImageBind:
        return self.foundation.encoder

    def origin(self, corpus: str | None) -> Origin:
        """What the result depends on; corpus: its fingerprint."""
        return Origin(config=self.config, fingerprints={**self.prints, "corpus": corpus})


def _set_up(config: TrainConfig, model: str | Path, dino: str | Path | None, device: str) -> _Run:
    """Everything that can be refused without looking at a video."""
    accelerator = make_accelerator(device)
    check_processes(config, accelerator)
    foundation = load_encoder(model, device=accelerator.device)
    towers = make_towers(foundation.encoder, config).to(accelerator.device)
    image_features, dino_print = _image_features(config, model, dino, accelerator)
    return _Run(
        config=config,
        accelerator=accelerator,
        foundation=foundation,
        towers=towers,
        image_features=image_features,
        prints={"encoder": fingerprint(foundation.encoder.state_dict()), **dino_print},
    )


def _summary(out: Path, corpus: Corpus, run: _Run) -> RunSummary:
    return RunSummary(
        out=out,
        videos=len(corpus.names),
        frames=len(corpus),
        broken=corpus.broken,
        steps=run.config.steps,
        notice=run.foundation.notice,
    )


def make_towers(encoder: ImageBind, config: TrainConfig) -> AdaptedTowers:
    """The encoder's towers with fresh adapters as a configuration wants them; the seed rules their values.

    Raises AdapterError for more blocks than the encoder has.
    """
    image, audio = encoder.image_tower, encoder.audio_tower
    blocks = default_blocks(image.depth) if config.blocks is None else config.blocks
    return AdaptedTowers(
        image,
        audio,
        make_plan(config.placement, blocks, image.depth, audio.depth),
        config.adapter_sizes(image.width),
        readout=encoder.config.embed_dim if config.readout == "learned" else None,
        generator=torch.Generator().manual_seed(config.seed),
    )


def _image_features(
    config: TrainConfig, model: str | Path, dino: str | Path | None, accelerator: Accelerator
) -> tuple[Callable[[np.ndarray], np.ndarray] | None, dict[str, str]]:
    """What image neighbours are found by, and its fingerprint; nothing where they are not asked for."""
    if not config.matching or config.mining.source == "audio":
        return None, {}
    if dino is None and str(model) != "mini":
        raise InputError(
            f"mining by {config.mining.source} needs a DINO, and model {model} has none of its own; name one with "
            "--dino, such as facebook/dino-vits8, or use --mining audio."
        )
    from moca.foundation.dino import load_dino  # imported late: it takes as long as all the rest

    found = load_dino(dino or "mini", device=accelerator.device)
    return found.features, {"dino": fingerprint(found.model.state_dict())}


def _recent(history: History) -> dict[str, float]:
    return {name: history.recent(name) for name in ("loss", "active") if name in history.columns}


def _write_model(out: Path, run: _Run, corpus: Corpus, report: Progress) -> None:
    """Calibrate with and without the adapters, save them, and write the card last."""
    foundation, device, name = run.foundation, run.accelerator.device, out.resolve().name

    def settle(towers: AdaptedTowers, adapted: bool) -> dict[str, Any]:
        pipeline = Pipeline(
            name=name,
            encoder=run.encoder,
            towers=towers.to(device).eval(),
            adapted=adapted,
            segment=starting_settings(towers),
            licence=foundation.licence,
        )
        return asdict(calibrate(Segmenter(pipeline, batch_steps=32, device=device), corpus))

    report("calibrating", 0, 2, {})
    segment = settle(run.towers, adapted=True)
    report("calibrating", 1, 2, {})
    frozen = settle(frozen_towers(run.encoder), adapted=False)
    report("calibrating", 2, 2, {})
    extra = {"segment": segment, "config": run.config.to_dict(), "corpus": corpus.fingerprint, "version": __version__}
    save_adapters(out / ADAPTERS, run.towers, fingerprint=run.prints["encoder"], extra=extra)
    card = {
        "format": PIPELINE_FORMAT,
        "name": name,
        "encoder": foundation.reference,
        "adapters": ADAPTERS,
        "frozen_segment": frozen,
        "licence": foundation.licence,
        "notice": foundation.notice,
        **foundation.parts,
    }
    write_json(out / CARD, card)
