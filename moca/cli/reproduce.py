"""Make the paper's tables anew, beside the paper's numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from moca.cli.console import INTERRUPTED, error_console, out_console, progress_bar
from moca.cli.options import DEVICE, DINO, MODEL, SETTINGS, TAGGER, WORKERS, Given, parsed_settings, takes
from moca.reproduce.config import ReproduceConfig
from moca.reproduce.tables import TABLES


@takes(extent=ReproduceConfig, defaults=("extent",))
def command(
    table: Annotated[str, typer.Argument(help=f"{', '.join(TABLES)}, or all.")],
    data: Annotated[Path, typer.Option("--data", help="AVSBench's folder, or a stage's.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the tables, runs and trained adapters.")],
    extent: Given,
    model: MODEL = None,
    dino: DINO = None,
    tagger: TAGGER = None,
    workers: WORKERS = 1,
    device: DEVICE = "auto",
    settings: SETTINGS = None,
) -> int:
    """Make the paper's tables anew: train and run what is missing, with controls, beside the paper's numbers.

    Writes <table>.csv, .md, .tex and .png. A stopped run goes on when the same command is given again. --set changes a
    setting of every training, as in `moca train`.
    """
    from moca.reproduce import reproduce
    from moca.training.loop import Interrupted

    config = ReproduceConfig(
        data=data,
        out=out,
        model=model or "mini",
        dino=dino,
        tagger=tagger,
        training=parsed_settings(settings),
        workers=workers,
        device=device,
        **extent,
    )
    try:
        with progress_bar() as progress:
            tables = reproduce(table, config, progress=progress)
    except Interrupted as stop:
        error_console.print(f"interrupted: {stop}")
        sys.exit(INTERRUPTED)
    for note in dict.fromkeys(note for result in tables for note in result.notes):
        error_console.print(f"note: {note}")
    for result in tables:
        page = next(path for path in result.files if path.suffix == ".md")
        out_console.print(page.read_text(encoding="utf-8"))
        out_console.print(f"written: {', '.join(map(str, result.files))}")
    return 0
