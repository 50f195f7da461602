"""A training run from videos to a model: decode, prepare, train, calibrate, and write what `moca segment` reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator

from moca.adapters import AdaptedTowers, make_plan
from moca.core.progress import Progress, silent
from moca.corpus.building import build_corpus
from moca.corpus.corpus import Corpus
from moca.corpus.finding import find_clips
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.pipeline.encoder import Foundation, base_model, default_blocks, encoder_prints, load_encoder
from moca.pipeline.models import load_models
from moca.training.checkpoints import Origin
from moca.training.config import TrainConfig
from moca.training.finishing import write_model
from moca.training.folder import (
    CARD,
    CORPUS,
    PREPARED,
    RECORD,
    check_out,
    read_run,
    refuse_sources_within,
    remove_run,
    write_record,
)
from moca.training.loop import train
from moca.training.losses.objective import Objective
from moca.training.losses.preparing import prepare
from moca.training.losses.triplets import ImageFeatures
from moca.training.processes import check_batch, make_accelerator
from moca.training.stored import content_name


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run used and made."""

    out: Path
    """Its folder."""
    videos: int
    """How many were used."""
    frames: int
    """How many were used, of all videos together."""
    broken: tuple[tuple[str, str], ...]
    """Name of every video that could not be used, and why in one line."""
    steps: int
    """Steps of training."""
    notice: str | None = None
    """What a user must know of the encoder before believing any mask, or None."""
    reused: bool = False
    """Whether the run was finished before and nothing was done."""


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
    progress: Progress = silent,
) -> RunSummary:
    """Train adapters on videos and write a model's folder that `moca segment --model` takes.

    source, clips: see `find_clips`. model: whose frozen encoder is adapted, see `load_encoder`. dino: the DINO that
    image neighbours are found by (name, folder or hub id); by default that of the row of the catalogue that the model
    is made from. resume: go on with the run in out, which must have the same settings and videos. overwrite: replace
    it. workers: processes that decode. progress: told of everything that takes time; of the steps with recent means of
    the loss and its parts.

    A run that was stopped while it decoded or prepared goes on there even without resume. Raises InputError, in one
    line, before anything is written where it can be known; Interrupted on Ctrl-C once steps are being made.
    """
    out = Path(out)
    check_out(out, resume=resume, overwrite=overwrite)
    sources = find_clips(source, clips=clips)
    refuse_sources_within(out, [Path(source), *(path for each in sources for path in each.files)])
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
            progress=progress,
        )
    origin, summary = run.origin(corpus.fingerprint), _summary(out, corpus, run)
    if record is not None:
        origin.check(record, out / RECORD)
        if (out / CARD).is_file():
            return replace(summary, reused=True)
    with run.accelerator.main_process_first():
        prepared = prepare(
            run.encoder,
            corpus,
            config,
            out / PREPARED,
            images=run.images,
            reader=run.foundation.reader,
            progress=progress,
        )
    options = {"source": source, "clips": clips, "model": model, "dino": dino}
    options = {name: None if value is None else str(value) for name, value in options.items()}
    if run.accelerator.is_main_process:
        if overwrite:
            remove_run(out)
        write_record(out, {**options, "steps_per_video": steps_per_video}, origin)
    run.accelerator.wait_for_everyone()
    train(
        Objective(run.encoder, run.towers, corpus, config, prepared, reader=run.foundation.reader),
        config,
        out,
        resume=resume,
        accelerator=run.accelerator,
        fingerprints=origin.fingerprints,
        progress=progress,
    )
    if run.accelerator.is_main_process:
        write_model(
            out,
            run.foundation,
            run.towers,
            corpus,
            config,
            encoder_print=run.prints["encoder"],
            device=run.accelerator.device,
            progress=progress,
        )
    run.accelerator.wait_for_everyone()
    return summary


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What is trained, on what, and where."""

    config: TrainConfig
    accelerator: Accelerator
    foundation: Foundation
    towers: AdaptedTowers
    images: ImageFeatures | None
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
    check_batch(config.batch, accelerator)
    foundation = load_encoder(model, device=accelerator.device)
    towers = make_towers(foundation.encoder, config).to(accelerator.device)
    images, dino_print = _image_features(config, model, dino, accelerator)
    return _Run(
        config=config,
        accelerator=accelerator,
        foundation=foundation,
        towers=towers,
        images=images,
        prints={**encoder_prints(foundation.encoder), **dino_print, **_reading_print(foundation)},
    )


def _reading_print(foundation: Foundation) -> dict[str, str]:
    """The fingerprint of how patches are read; nothing where that is the encoder's own way, which is part of it."""
    own = PatchReader.of(foundation.encoder.config).made_of
    made_of = own if foundation.reader is None else foundation.reader.made_of
    return {} if made_of == own else {"reading": content_name("reading", **made_of)}


def _summary(out: Path, corpus: Corpus, run: _Run) -> RunSummary:
    return RunSummary(
        out=out,
        videos=len(corpus.names),
        frames=len(corpus),
        broken=corpus.broken,
        steps=run.config.steps,
        notice=" ".join(filter(None, (run.foundation.notice, run.foundation.reading_notice))) or None,
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
) -> tuple[ImageFeatures | None, dict[str, str]]:
    """What image neighbours are found by, and the fingerprint of its weights; nothing where none are wanted."""
    if not config.matching or config.mining.source == "audio":
        return None, {}
    row = base_model(model) if dino is None else None
    if dino is None and row is None:
        raise InputError(
            f"mining by {config.mining.source} needs a DINO, and model {model}, made from none of "
            f"{', '.join(CATALOGUE)}, has none of its own; name one with --dino, such as facebook/dino-vits8, or use "
            "--mining audio."
        )
    chosen = CATALOGUE[row].images if dino is None else str(dino)
    loaded, prints = load_models({"images": chosen}, accelerator.device)
    finder, weights = loaded["images"], prints["images"]
    stored = getattr(getattr(finder, "model", finder), "config", None)
    settings = {
        name: value
        for name, value in (stored.to_dict() if hasattr(stored, "to_dict") else {}).items()
        if not name.startswith("_") and name != "transformers_version"  # where it lies and who wrote it
    }
    size = getattr(finder, "image_size", None)
    name = content_name("dino", weights=weights, image_size=size, settings=settings)
    return ImageFeatures(features=finder.features, fingerprint=name), {"dino": weights}
