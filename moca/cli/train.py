"""Train adapters on videos, without labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moca.cli.console import INTERRUPTED, error_console, out_console, progress_bar, speaks
from moca.cli.options import DEVICE, DINO, MODEL, OVERWRITE, SETTINGS, WORKERS, Given, parsed_settings, takes
from moca.corpus.sources import ReadingConfig
from moca.training.config import PRESETS, TrainConfig, preset

if TYPE_CHECKING:
    from moca.training.run import RunSummary

LISTED = 20
"""Broken videos that are named one by one; all of them are in corpus/broken.csv."""


@takes(training=TrainConfig, reading=ReadingConfig)
def command(
    source: Annotated[Path, typer.Argument(help="Folder of videos, AVSBench's or a stage's folder, VGGSound's csv.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")],
    training: Given,
    reading: Given,
    recipe: Annotated[
        str | None,
        typer.Option("--preset", help=f"{', '.join(PRESETS)}: the paper's own recipe, or ours (default: moca)."),
    ] = None,
    clips: Annotated[
        Path | None, typer.Option("--clips", help="Folder of the clips that VGGSound's csv lists.")
    ] = None,
    model: MODEL = None,
    dino: DINO = None,
    workers: WORKERS = 1,
    device: DEVICE = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in -o was stopped.")] = False,
    overwrite: OVERWRITE = False,
    settings: SETTINGS = None,
) -> int:
    """Train adapters on videos, without labels; the run's folder is a model for `moca segment --model`.

    With --resume, options that are not given keep the values of the run.
    """
    from moca.training.folder import read_run
    from moca.training.loop import Interrupted
    from moca.training.run import train_run

    earlier = read_run(out) if resume else None
    config = _config(recipe, training | parsed_settings(settings), earlier)
    options = {"model": "mini", "dino": None, "steps_per_video": ReadingConfig.steps_per_video}
    options |= earlier["options"] if earlier else {}
    given = {"model": model, "dino": dino, **reading}
    options |= {name: value for name, value in given.items() if value is not None}
    try:
        with progress_bar() as progress:
            summary = train_run(
                source,
                out,
                config,
                clips=clips,
                model=options["model"],
                dino=options["dino"],
                resume=resume,
                overwrite=overwrite,
                workers=workers,
                device=device,
                steps_per_video=options["steps_per_video"],
                progress=progress,
            )
    except Interrupted as stop:
        error_console.print(f"interrupted: {stop}")
        sys.exit(INTERRUPTED)  # said here what is kept; a returned code would be said again
    if speaks():
        _tell(summary)
    return 0


def _config(name: str | None, chosen: dict[str, Any], earlier: dict[str, Any] | None) -> TrainConfig:
    """The preset, or what a run that goes on was made with, with the values that were given."""
    from moca.core.changing import changed

    base = TrainConfig.from_dict(earlier["config"]) if earlier and name is None else preset(name or "moca")
    return changed(base, chosen)


def _tell(summary: RunSummary) -> None:
    """Print what was used, what could not be, and what comes next."""
    if summary.notice:
        error_console.print(f"note: {summary.notice}")
    for name, reason in summary.broken[:LISTED]:
        error_console.print(f"broken: {name}: {reason}")
    if summary.broken:
        listed = summary.out / "corpus" / "broken.csv"
        count = f"{len(summary.broken)} of {len(summary.broken) + summary.videos}"
        error_console.print(f"broken: {count} videos could not be used; all are listed in {listed}")
    done = "finished before, nothing was done again" if summary.reused else f"{summary.steps} steps"
    out_console.print(f"trained on {summary.frames} frames of {summary.videos} videos: {done}")
    out_console.print(f"written: {summary.out}")
    out_console.print(f"next: moca segment VIDEO --model {summary.out} -o OUT")
