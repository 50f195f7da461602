"""Pseudo-labels on disk: made block by block, so that a stopped build goes on, and read by every run after that.

labels-<16 hex digits>/    of all that the labels rest on
    centre.json            the undecided cosine
    00000128.npz, ...      sounds, targets and weights of a block, named by its first anchor
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from moca.core.files import write_json_whole, written_whole
from moca.core.progress import Progress, silent
from moca.corpus.corpus import Corpus
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.training.config import LabelConfig
from moca.training.losses.pseudo_labels import Labeller, Labels
from moca.training.stored import array_digest, content_name

FORMAT = 1
ARRAYS = ("sounds", "targets", "weights")


def build_labels(
    encoder: ImageBind,
    corpus: Corpus,
    rows: np.ndarray,
    sounds: np.ndarray,
    config: LabelConfig,
    folder: Path,
    *,
    encoder_print: str,
    reader: PatchReader | None = None,
    progress: Progress = silent,
) -> Labels:
    """Label all anchors, or read them from `folder` when the same ones were made before.

    rows: (A,) sounding rows of the corpus. sounds: (A, E) their audio embeddings. encoder_print: see `frozen_print`.
    reader: see `Labeller`.
    Finished blocks are never made again. Raises InputError when there are too few frames to compare with.
    """
    labeller = Labeller(encoder, corpus, rows, sounds, config, reader=reader)
    source = {"encoder": encoder_print, "corpus": corpus.fingerprint, "rows": array_digest(rows)}
    folder = folder / content_name("labels", format=FORMAT, **labeller.rests_on, **source)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {first: folder / f"{first:08d}.npz" for first in labeller.starts}
    centre, blocks = _read_centre(folder), {first: _read_block(path) for first, path in paths.items()}
    missing = [first for first in paths if centre is None or blocks[first] is None]
    if missing:
        bank = labeller.read_bank(progress)
        centre = bank.centre
        write_json_whole(folder / "centre.json", centre)
    for first in missing:
        blocks[first] = labeller.block(first, bank)
        with written_whole(paths[first]) as temporary, temporary.open("wb") as file:
            np.savez(file, **blocks[first])
        progress("labelling", min(first + labeller.starts.step, len(rows)), len(rows))
    joined = {name: np.concatenate([block[name] for block in blocks.values()]) for name in ARRAYS}
    return Labels(rows=rows, centre=centre, **{**joined, "sounds": rows[joined["sounds"]]})


def _read_centre(folder: Path) -> float | None:
    """The undecided cosine; None where it was not written yet."""
    try:
        return float(json.loads((folder / "centre.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _read_block(path: Path) -> dict[str, np.ndarray] | None:
    """A finished block; None where there is none, or only a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in ARRAYS}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
