"""What training needs before its first step, made of the corpus by frozen models: neighbours and pseudo-labels.

Everything is kept in one folder that any number of runs may share, one after the other or at once. A file's name tells
all that its content rests on, so no run takes what was made for another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moca.core.files import alone_in
from moca.core.progress import Progress, silent
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.training.config import TrainConfig
from moca.training.frozen import FrozenReader, frozen_print, sounding_rows
from moca.training.losses.label_files import build_labels
from moca.training.losses.pseudo_labels import Labels
from moca.training.losses.triplets import ImageFeatures, Mined, mine
from moca.training.stored import array_digest, content_name, stored_array


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """What an objective learns from, beside the corpus itself."""

    rows: np.ndarray
    """(N,) int64: the rows of the corpus that have a sound."""
    mined: Mined | None
    """Neighbours among these rows; None where pixel matching has no weight."""
    labels: Labels | None
    """Pseudo-labels of these rows; None where distillation has no weight."""


def prepare(
    encoder: ImageBind,
    corpus: Corpus,
    config: TrainConfig,
    folder: Path,
    *,
    images: ImageFeatures | None = None,
    reader: PatchReader | None = None,
    progress: Progress = silent,
) -> Prepared:
    """Mine and label, or read what was mined and labelled before from `folder`, which is made.

    images: needed when neighbours are found by the likeness of pictures. reader: how patches are read; None is the
    encoder's own way. One thread or process prepares in a folder at
    a time; others wait for it and then find what it made. Raises InputError for too little data, and where images are
    needed and missing.
    """
    rows = sounding_rows(corpus)
    if len(rows) < config.batch + 1:
        raise InputError(
            f"training needs more than {config.batch} frames with sound (the batch), got {len(rows)} among "
            f"{len(corpus)} frames; add videos or lower --batch."
        )
    encoder_print = frozen_print(encoder)
    name = content_name("sounds", encoder=encoder_print, corpus=corpus.fingerprint, rows=array_digest(rows))
    with alone_in(folder, progress):
        sounds = stored_array(folder / f"{name}.npy", lambda: FrozenReader(encoder).sounds(corpus, rows))
        mined = labels = None
        if config.matching:
            mined = mine(corpus, rows, sounds, config.mining, folder, images=images, progress=progress)
        if config.distillation:
            labels = build_labels(
                encoder,
                corpus,
                rows,
                sounds,
                config.labels,
                folder,
                encoder_print=encoder_print,
                reader=reader,
                progress=progress,
            )
    return Prepared(rows=rows, mined=mined, labels=labels)
