"""The end of a run: settings read off the training frames, the adapters saved, and the card that makes it a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from moca.adapters import AdaptedTowers, save_adapters
from moca.core.files import write_json_whole
from moca.core.progress import Progress, silent
from moca.corpus.corpus import Corpus
from moca.pipeline.card import PIPELINE_FORMAT
from moca.pipeline.encoder import Foundation, frozen_towers
from moca.pipeline.loading import Pipeline
from moca.segmenter import Segmenter
from moca.training.calibrate import calibrate, starting_settings
from moca.training.config import TrainConfig
from moca.training.folder import ADAPTERS, CARD
from moca.version import __version__


def write_model(
    out: Path,
    foundation: Foundation,
    towers: AdaptedTowers,
    corpus: Corpus,
    config: TrainConfig,
    *,
    encoder_print: str,
    device: torch.device,
    progress: Progress = silent,
) -> None:
    """Calibrate with and without the trained adapters, save them in out/adapters, and write out/pipeline.json last.

    encoder_print: fingerprint of the encoder's weights, which the adapters are for.
    """
    name, encoder = out.resolve().name, foundation.encoder

    def settle(towers: AdaptedTowers, adapted: bool) -> dict[str, Any]:
        pipeline = Pipeline(
            name=name,
            encoder=encoder,
            towers=towers.to(device).eval(),
            adapted=adapted,
            segment=starting_settings(towers),
            licence=foundation.licence,
            reading=foundation.reader,
        )
        return asdict(calibrate(Segmenter(pipeline, batch_steps=32, device=device), corpus))

    progress("calibrating", 0, 2)
    segment = settle(towers, adapted=True)
    progress("calibrating", 1, 2)
    frozen = settle(frozen_towers(encoder), adapted=False)
    progress("calibrating", 2, 2)
    extra = {
        "segment": segment,
        **foundation.reading,
        "config": config.to_dict(),
        "corpus": corpus.fingerprint,
        "version": __version__,
    }
    save_adapters(out / ADAPTERS, towers, fingerprint=encoder_print, extra=extra)
    card = {
        "format": PIPELINE_FORMAT,
        "name": name,
        "encoder": foundation.reference,
        "adapters": ADAPTERS,
        "frozen_segment": frozen,
        "licence": foundation.licence,
        "notice": foundation.notice,
        **foundation.reading,
        **foundation.parts,
    }
    write_json_whole(out / CARD, card)
