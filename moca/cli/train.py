"""`moca train`: options to settings, bars, and what is said at the end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moca.cli.options import parsed_settings

if TYPE_CHECKING:
    from moca.training.config import TrainConfig
    from moca.training.run import RunSummary

LISTED = 20
"""Broken videos that are named one by one; all of them are in corpus/broken.csv."""


def train(
    source: Annotated[Path, typer.Argument(help="Folder of videos, AVSBench's or a stage's folder, VGGSound's csv.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")],
    preset: Annotated[str | None, typer.Option(help="moca (default), or paper: the paper's own recipe.")] = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of the clips that VGGSound's csv lists.")] = None,
    model: Annotated[str | None, typer.Option(help='Encoder: "mini" (default), "huge", or a run\'s folder.')] = None,
    dino: Annotated[str | None, typer.Option(help="DINO for image neighbours: mini, a folder or a hub id.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Frames per step, over all devices together.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of the adapters.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of initial values, batches and negatives.")] = None,
    margin: Annotated[float | None, typer.Option(help="Margin of the matching loss.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Number of adapted image blocks.")] = None,
    placement: Annotated[str | None, typer.Option(help="Adapted blocks: last, first or interleaved.")] = None,
    mining: Annotated[str | None, typer.Option(help="Likeness of positives: image, audio or both.")] = None,
    neighbours: Annotated[int | None, typer.Option(help="Positives are drawn from so many neighbours.")] = None,
    exclude_same_video: Annotated[
        bool | None, typer.Option(help="Frames of the anchor's video are neither positives nor negatives.")
    ] = None,
    hard_negatives: Annotated[bool | None, typer.Option(help="The negative is the most similar allowed frame.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    steps_per_video: Annotated[int | None, typer.Option(help="Most frames of one video (default 10).")] = None,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in -o was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in -o.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. labels.contrast=0.")
    ] = None,
) -> int:
    """Train adapters on videos, without labels; the run's folder is a model for `moca segment --model`.

    With --resume, options that are not given keep the values of the run.
    """
    from moca.cli.console import INTERRUPTED, error_console, out_console
    from moca.training.folder import read_run
    from moca.training.loop import Interrupted
    from moca.training.run import train_run

    kept = read_run(out) if resume else None
    chosen = {
        "steps": steps,
        "batch": batch,
        "lr": lr,
        "seed": seed,
        "pixel_matching.margin": margin,
        "blocks": blocks,
        "placement": placement,
        "mining.source": mining,
        "mining.neighbours": neighbours,
        "mining.exclude_same_video": exclude_same_video,
        "mining.hard_negatives": hard_negatives,
        "checkpoint_every": checkpoint_every,
    }
    chosen = {name: value for name, value in chosen.items() if value is not None} | parsed_settings(
        settings, "labels.contrast=0"
    )
    config = _config(preset, chosen, kept)
    options = {"model": "mini", "dino": None, "steps_per_video": 10, **((kept or {}).get("options", {}))}
    given = {"model": model, "dino": dino, "steps_per_video": steps_per_video}
    options |= {name: value for name, value in given.items() if value is not None}
    speaks = int(os.environ.get("RANK", "0")) == 0  # of several processes that torchrun started, the first
    try:
        with _bars(error_console, disable=not (speaks and error_console.is_terminal)) as bars:
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
                on_progress=_Reports(bars),
            )
    except Interrupted as stop:
        error_console.print(f"interrupted: {stop}", markup=False)
        sys.exit(INTERRUPTED)  # said here what is kept; a returned code would be said again
    if speaks:
        _tell(summary, out_console, error_console)
    return 0


def _config(name: str | None, chosen: dict[str, Any], kept: dict[str, Any] | None) -> TrainConfig:
    """The preset, or what a run that goes on has kept, with the values that were given."""
    from moca.core.settings import changed
    from moca.training.config import TrainConfig, preset

    base = preset(name or "moca") if kept is None or name is not None else TrainConfig.from_dict(kept["config"])
    return changed(base, chosen)


def _bars(console: Console, *, disable: bool) -> Progress:
    """Bars on a terminal, gone when done; nothing where the output is a file."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    rest = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, *rest, console=console, transient=True, disable=disable)


class _Reports:
    """A bar for everything that is being prepared and for the steps, made when it is first heard of."""

    def __init__(self, bars: Progress) -> None:
        self.bars, self.tasks = bars, {}

    def __call__(self, what: str, done: int, total: int, values: dict[str, float]) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(what, total=total, note=""), done, time.monotonic()
        task, before, began = self.tasks[what]
        self.bars.update(task, completed=done, total=total, note=_note(values, done - before, began))


def _note(values: dict[str, float], steps: int, began: float) -> str:
    """Loss, share of active triplets and steps per second, of those that are known."""
    if not values:
        return ""
    shown = [f"loss {values['loss']:.3f}"]
    if "active" in values:
        shown.append(f"{values['active']:.0%} active")
    if steps:
        shown.append(f"{steps / max(time.monotonic() - began, 1e-9):.1f} steps/s")
    return ", ".join(shown)


def _tell(summary: RunSummary, out_console: Console, error_console: Console) -> None:
    if summary.notice:
        error_console.print(f"note: {summary.notice}", markup=False)
    for name, reason in summary.broken[:LISTED]:
        error_console.print(f"broken: {name}: {reason}", markup=False)
    if summary.broken:
        listed = summary.out / "corpus" / "broken.csv"
        count = f"{len(summary.broken)} of {len(summary.broken) + summary.videos}"
        error_console.print(f"broken: {count} videos could not be used; all are listed in {listed}", markup=False)
    done = "finished before, nothing was done again" if summary.reused else f"{summary.steps} steps"
    out_console.print(f"trained on {summary.frames} frames of {summary.videos} videos: {done}", markup=False)
    out_console.print(f"written: {summary.out}", markup=False)
    out_console.print(f"next: moca segment VIDEO --model {summary.out} -o OUT", markup=False)
