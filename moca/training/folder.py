"""The folder of a training run: what lies where, and when one may be written to.

    config.json          settings, source and fingerprints; written when training starts
    corpus/              the videos as arrays            prepared/    neighbours and labels
    checkpoints/         the state to go on from         log.csv, tensorboard/    what happened
    adapters/            the trained numbers             pipeline.json    the model's card; written last

corpus and prepared depend on their settings alone and are used again, also by a run that starts anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moca.core.files import check_folder, refuse_inputs_among, write_json_whole
from moca.errors import InputError
from moca.training.checkpoints import Origin, checkpoint_files
from moca.training.history import EVENTS, LOG
from moca.training.loop import CHECKPOINTS
from moca.version import __version__

RECORD_FORMAT = 1
RECORD, CARD, ADAPTERS, CORPUS, PREPARED = "config.json", "pipeline.json", "adapters", "corpus", "prepared"


def read_run(out: str | Path) -> dict[str, Any] | None:
    """The record that a run keeps in config.json: options, config, fingerprints; None where there is none.

    Raises InputError for a record that cannot be understood.
    """
    path = Path(out) / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        number = record["format"]
        whole = all(isinstance(record[name], dict) for name in ("options", "config", "fingerprints"))
    except (ValueError, KeyError, TypeError):
        number, whole = None, False
    if number != RECORD_FORMAT or not whole:
        raise InputError(
            f"{path} must be the record of a training run of format {RECORD_FORMAT}, it is not; delete it, or choose "
            "another folder with -o."
        )
    return record


def write_record(out: Path, options: Mapping[str, Any], origin: Origin) -> None:
    """Write config.json: what a run was asked for and what its result depends on."""
    write_json_whole(
        out / RECORD, {"format": RECORD_FORMAT, "version": __version__, "options": dict(options), **origin.to_dict()}
    )


def check_out(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that already holds a run, unless it is to be gone on with or replaced, and any of others'.

    What a run that was stopped while it decoded has left can be gone on with, too; a folder without a run cannot.
    Raises InputError.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give one of them.")
    check_folder(out)
    record = read_run(out)
    started = record is not None or any((out / name).exists() for name in (CORPUS, CARD, ADAPTERS))
    if resume and not started:
        raise InputError(f"{out} holds no run to go on with; leave --resume out, or name the run's folder with -o.")
    trained = (out / CARD).exists() or (out / ADAPTERS).exists() or checkpoint_files(out / CHECKPOINTS)
    if trained and record is None:
        raise InputError(f"{out} holds a model that no training run wrote; choose another folder with -o.")
    foreign = [name for name in (LOG, EVENTS, CHECKPOINTS) if record is None and (out / name).exists()]
    if foreign:
        raise InputError(f"{out} already has {', '.join(foreign)} from elsewhere; choose another folder with -o.")
    if trained and not resume and not overwrite:
        raise InputError(
            f"{out} already holds a run; go on with --resume, replace it with --overwrite, or choose another folder "
            "with -o."
        )


def refuse_sources_within(out: Path, sources: Iterable[Path]) -> None:
    """Raise InputError where a file that is learnt from is, or lies in, what a run writes or removes in its folder."""
    names = (RECORD, CARD, LOG, ADAPTERS, CORPUS, PREPARED, CHECKPOINTS, EVENTS)
    refuse_inputs_among([out / name for name in names], sources)


def remove_run(out: Path) -> None:
    """Remove what a run made, except for the corpus and what was prepared, which are checked when used again."""
    for name in (CARD, LOG):  # the card first: without it there is no model
        (out / name).unlink(missing_ok=True)
    for name in (ADAPTERS, CHECKPOINTS, EVENTS):
        if (out / name).exists():
            shutil.rmtree(out / name)
    (out / RECORD).unlink(missing_ok=True)  # last: it tells that the rest may be removed
