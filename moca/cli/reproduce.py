"""`moca reproduce`: options to the paper's tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from moca.cli.options import parsed_settings
from moca.errors import InputError


def reproduce(
    table: Annotated[str, typer.Argument(help="table1, table2-3, table4, 5, 6, 8, 9 or 10 (table5, ...), or all.")],
    data: Annotated[Path, typer.Option("--data", help="AVSBench's folder, or a stage's.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the tables, runs and trained adapters.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the trainings, separated by commas.")] = "0,1,2",
    model: Annotated[str, typer.Option(help='Whose frozen encoder: "mini", "huge" or a model\'s folder.')] = "mini",
    dino: Annotated[str | None, typer.Option(help="DINO for image neighbours: mini, a folder or a hub id.")] = None,
    tagger: Annotated[
        str | None, typer.Option(help="For AVSS: what names the sound where a method does not (default: the model's).")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Most steps of a training (default: its preset's).")] = None,
    clips: Annotated[int | None, typer.Option(help="Most test clips of a data set (default: all).")] = None,
    workers: Annotated[int, typer.Option(help="Processes that decode training clips.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of every training.")
    ] = None,
) -> int:
    """Make the paper's tables anew: train and run what is missing, with controls, beside the paper's numbers.

    Writes <table>.csv, .md, .tex and .png. A stopped run goes on when the same command is given again. --set changes a
    setting of every training, as in `moca train`.
    """
    from moca.cli.console import INTERRUPTED, error_console, out_console, progress_bars
    from moca.reproduce import ReproduceConfig
    from moca.reproduce import reproduce as run
    from moca.training.loop import Interrupted

    config = ReproduceConfig(
        data=data,
        out=out,
        model=model,
        dino=dino,
        tagger=tagger,
        seeds=_seeds(seeds),
        steps=steps,
        clips=clips,
        training=parsed_settings(settings, "mining.neighbours=10"),
        workers=workers,
        device=device,
    )
    try:
        with progress_bars() as bars:
            done = run(table, config, progress=_Bar(bars))
    except Interrupted as stop:
        error_console.print(f"interrupted: {stop}", markup=False)
        sys.exit(INTERRUPTED)
    for note in dict.fromkeys(note for found in done for note in found.notes):
        error_console.print(f"note: {note}", markup=False)
    for found in done:
        page = next(path for path in found.files if path.suffix == ".md")
        out_console.print(page.read_text(encoding="utf-8"), markup=False)
        out_console.print(f"written: {', '.join(map(str, found.files))}", markup=False)
    return 0


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--seeds must be whole numbers separated by commas, got {text!r}; e.g. 0,1,2.") from None


class _Bar:
    """One bar, for whatever is being done at the moment."""

    def __init__(self, bars: Progress) -> None:
        self.bars, self.task, self.what = bars, None, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self.what:
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.what, self.task = what, self.bars.add_task(what, total=total)
        self.bars.update(self.task, completed=done, total=total)
