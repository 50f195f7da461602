"""`moca evaluate`: options to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moca.cli_options import MATCH, PROPOSALS, RULE, UNMATCHED
from moca.errors import InputError


def evaluate(
    root: Annotated[Path, typer.Argument(help="AVSBench's folder, or a stage's.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for results.md, .csv and .json.")],
    subset: Annotated[str, typer.Option(help="s4 or ms3.")] = "s4",
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    method: Annotated[str, typer.Option(help="moca.")] = "moca",
    model: Annotated[str, typer.Option(help='"mini", "huge", or the folder of a training run.')] = "mini",
    adapters: Annotated[Path | None, typer.Option(help="Adapters to use instead of the model's own.")] = None,
    proposals: PROPOSALS = None,
    rule: RULE = None,
    match: MATCH = None,
    unmatched: UNMATCHED = None,
    controls: Annotated[
        bool, typer.Option(help="Also muted, with swapped sound, frozen, and without proposals.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a method on a data set: AVSBench's mIoU and F, a batch-free F, and the controls."""
    from moca.cli import out_console, progress_bars
    from moca.data.avsbench import read_avsbench
    from moca.evaluation import evaluate as run
    from moca.evaluation import write_results
    from moca.segmenter import Segmenter
    from moca.variants import variants_of

    if method != "moca":
        raise InputError(f"method must be moca, got {method!r}.")
    clips = read_avsbench(root, subset=subset, split=split)
    segmenter = Segmenter.load(
        model,
        adapters=adapters or "default",
        device=device,
        proposals=proposals,
        rule=rule,
        match=match,
        unmatched=unmatched,
    )
    variants = variants_of(segmenter, model) if controls else {}
    with progress_bars() as progress:
        task = progress.add_task(f"{subset} {split}", total=None)
        result = run(
            segmenter,
            clips,
            controls=("muted", "swapped") if controls else (),
            variants=variants,
            cache=out / "clips",
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _, table, _ = write_results(out, {f"{method} ({segmenter.pipeline.name}), {subset} {split}": result})
    out_console.print(table.read_text(), markup=False)
    out_console.print(f"written: {table}", markup=False)
