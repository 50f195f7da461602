"""Write Soundstage, the procedural world with exact masks, in the layouts of AVSBench, AVSS and VGG-SS."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from moca.cli.console import out_console, progress_bar
from moca.cli.options import WORKERS, Given, takes
from moca.stage.config import WritingConfig


@takes(world=WritingConfig, defaults=("world",))
def command(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    world: Given,
    workers: WORKERS = 1,
) -> None:
    """Write Soundstage, the procedural world with exact masks, in the layouts of AVSBench, AVSS and VGG-SS."""
    from moca.stage import write_stage

    config = WritingConfig(**world)
    settings = {field.name: getattr(config, field.name) for field in fields(config)}
    with progress_bar() as progress:
        write_stage(out, **settings, workers=workers, progress=progress)
    out_console.print(f"written: {out}")
