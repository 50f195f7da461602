"""From the name of a table to its files: everything that is missing is trained, run and written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moca.core.files import check_folder
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.evaluation.datasets import DATASETS
from moca.reproduce.config import ReproduceConfig, claim_folder
from moca.reproduce.figures import Measured
from moca.reproduce.plots import draw_table
from moca.reproduce.rendering import write_table
from moca.reproduce.runs import NotRun, Runs
from moca.reproduce.sets import ClipSet, read_set
from moca.reproduce.sheets import Filled
from moca.reproduce.specs import PAPER_ADAPTERS, Row, Table
from moca.reproduce.tables import TABLES
from moca.reproduce.trainings import Trainings

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """What was written for one table."""

    filled: Filled
    """Its content."""
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What a user should know."""


def reproduce(name: str, config: ReproduceConfig, *, progress: Progress = silent) -> list[Reproduced]:
    """Measure one of the paper's tables, or all of them, and write <table>.csv, .md, .tex and .png to config.out.

    name: a key of TABLES, or "all". What is finished is never done again, what was stopped goes on, and runs and
    trainings that several tables name are shared. Data sets that are not there leave their columns out and methods
    that cannot be loaded their rows, each with a note. progress: told of every clip and training step.

    Raises InputError, in one line: before anything is written for an unknown table, a folder of something else and a
    table none of whose data sets is there. With "all", tables without data are left out.
    """
    if name != ALL and name not in TABLES:
        raise InputError(f"table must be one of {', '.join(TABLES)} or {ALL}, got {name!r}; choose one of them.")
    check_folder(config.out)
    requested = list(TABLES.values()) if name == ALL else [TABLES[name]]
    sets, absent = _read_sets(requested, config)
    tables = [table for table in requested if set(table.data) & set(sets)]
    if not tables:
        raise InputError(next(iter(absent.values())))
    trainings = Trainings(config, progress)
    for table in tables:
        _check_trainings(table, trainings, config)
    claim_folder(config)
    runs = Runs(config, trainings, sets, progress)
    return [_reproduce(table, config, runs, trainings, absent) for table in tables]


def _read_sets(tables: list[Table], config: ReproduceConfig) -> tuple[dict[str, ClipSet], dict[str, str]]:
    """The data sets that the tables need, and why others cannot be used."""
    sets, absent = {}, {}
    for name in dict.fromkeys(data for table in tables for data in table.data):
        try:
            sets[name] = read_set(
                name,
                config.data,
                model=config.model,
                tagger=config.tagger,
                device=config.device,
                most=config.clips,
            )
        except InputError as error:
            absent[name] = str(error)
    return sets, absent


def _check_trainings(table: Table, trainings: Trainings, config: ReproduceConfig) -> None:
    """Refuse settings that no training takes, and data without clips to train on, before anything is trained."""
    for training in table.trainings:
        trainings.settings(training, config.seeds[0])
    if table.trainings:
        _ = trainings.data


def _reproduce(
    table: Table, config: ReproduceConfig, runs: Runs, trainings: Trainings, absent: dict[str, str]
) -> Reproduced:
    figures: dict[tuple[str, str], Measured] = {}
    reasons: dict[str, str] = {}
    for row in table.rows:
        if row.run is None:
            continue
        try:
            for data in table.data:
                if data in runs.sets:
                    figures[row.label, data] = runs.measured(row.run, data)
        except NotRun as error:
            reasons[row.label] = str(error)
    left_out = tuple(f"{DATASETS[data].title} was left out: {absent[data]}" for data in table.data if data in absent)
    filled = Filled(
        table=table,
        figures=figures,
        labels={row.label: _label(row, trainings) for row in table.rows},
        reasons=reasons,
        facts=(*left_out, *facts(table, config, runs, trainings, figures)),
    )
    files = write_table(config.out, filled)
    notes = (*(f"{label} was not run: {reason}" for label, reason in reasons.items()), *left_out)
    if figures:
        try:
            files += (draw_table(filled, config.out / f"{table.name}.png"),)
        except InputError as error:  # the figures are there without a picture of them
            notes += (str(error),)
    return Reproduced(filled=filled, files=files, notes=notes)


def _label(row: Row, trainings: Trainings) -> str:
    """A row's label, with this model's number of blocks where it names the paper's."""
    if row.adapters is None:
        return row.label
    return f"{row.label} (here {trainings.blocks(row.adapters)} of {trainings.depth} blocks)"


def facts(
    table: Table,
    config: ReproduceConfig,
    runs: Runs,
    trainings: Trainings,
    figures: Mapping[tuple[str, str], Measured],
) -> list[str]:
    """What the figures were made with, a sentence each."""
    sentences = [f"Model {config.model}, written by `{command(table.name, config)}`."]
    if notice := trainings.notice:
        sentences.append(notice)
    if any(row.adapters for row in table.rows):
        sentences.append(
            f"The paper adapts blocks of ImageBind-Huge's 32; this model's image trunk has {trainings.depth}, and its "
            f"default of {trainings.blocks(PAPER_ADAPTERS)} stands for the paper's {PAPER_ADAPTERS}."
        )
    for training in table.trainings:
        settings = trainings.settings(training, config.seeds[0])
        sentences.append(
            f"Training {training.name}: {settings.steps:,} steps of {settings.batch}, learning rate {settings.lr:g}."
        )
    for data in dict.fromkeys(data for _, data in figures):
        used = runs.sets[data]
        sentences.append(
            " ".join([f"{used.title}: {len(used.clips)} of {used.about['listed']} test clips.", *used.notes])
        )
    licences = {result.licence for run in figures.values() for result in run.results if result.licence}
    sentences += [f"Licence of the results: {licence}" for licence in sorted(licences)]
    return sentences


def command(name: str, config: ReproduceConfig) -> str:
    """The command line that a table is made by."""
    parts = ["moca", "reproduce", name, "--data", str(config.data), "-o", str(config.out)]
    parts += ["--seeds", ",".join(map(str, config.seeds)), "--model", config.model]
    parts += [
        part for option in ("dino", "tagger", "steps", "clips") for part in _option(option, getattr(config, option))
    ]
    parts += [part for key, value in config.training.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return shlex.join(parts)


def _option(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (f"--{name}", str(value))
