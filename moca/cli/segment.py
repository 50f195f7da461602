"""Mask what sounds in videos: masks, segments.json, overlay.mp4 and report.html for each.

Options become settings; what is not given keeps the model's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moca.cli.console import error_console, out_console, progress_bar
from moca.cli.options import (
    ADAPTERS,
    DEVICE,
    FROZEN,
    METHOD,
    MODEL,
    OVERWRITE,
    SETTINGS,
    Given,
    parsed_settings,
    takes,
)
from moca.foundation.imagebind.reading import PatchReading
from moca.methods import Loading, own_settings
from moca.output.config import OutputConfig
from moca.segmentation.config import ProposalConfig, SegmentConfig

if TYPE_CHECKING:
    from moca.output.batch import BatchOutcome


@takes(
    loading=Loading,
    proposing=ProposalConfig,
    segmentation=SegmentConfig,
    reading=PatchReading,
    output=OutputConfig,
    defaults=("loading", "output"),
)
def command(
    inputs: Annotated[list[Path], typer.Argument(help="Video files, or folders of videos.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    output: Given,
    loading: Given,
    proposing: Given,
    segmentation: Given,
    reading: Given,
    method: METHOD = "moca",
    model: MODEL = None,
    adapters: ADAPTERS = None,
    frozen: FROZEN = False,
    device: DEVICE = "auto",
    overwrite: OVERWRITE = False,
    settings: SETTINGS = None,
) -> int:
    """Mask what sounds: masks/*.png, segments.json, overlay.mp4 and report.html for every video.

    A folder's videos each get a folder of their own in -o, such as clip_mp4; finished ones are not done again.
    """
    from moca.media import probe
    from moca.methods import load_method
    from moca.output.batch import is_single, run_folders, segment_many

    chosen = own_settings(loading, proposing, segmentation, reading, adapters=adapters, frozen=frozen, method=method)
    chosen |= parsed_settings(settings)
    config = OutputConfig(**output)
    run_folders(inputs, out)  # refuse before loading a model, this and what follows
    if single := is_single(inputs):
        probe(inputs[0], video_stream=config.video_stream, audio_stream=config.audio_stream)
    loaded = load_method(method, model or "mini", device=device, settings=chosen)
    if loaded.notice:
        error_console.print(f"note: {loaded.notice}")
    with progress_bar() as progress:
        outcome = segment_many(loaded, inputs, out, config, overwrite=overwrite, progress=progress)
    return _tell(outcome, out, single, known=loaded.notice)


def _tell(outcome: BatchOutcome, out: Path, single: bool, known: str | None) -> int:
    """Print what became of every video; known: a note that was printed before. Returns the exit code."""
    for path, summary in outcome.done.items():
        again = " (finished before, not done again)" if summary.reused else ""
        out_console.print(f"{path}: {summary.sounding} of {summary.steps} steps have a mask{again}")
        for note in summary.notes:
            if note != known:
                error_console.print(f"note: {path}: {note}")
    for path, reason in outcome.failed.items():
        error_console.print(f"failed: {path}: {reason}")
    if outcome.failed:
        total = len(outcome.failed) + len(outcome.done)
        error_console.print(f"error: {len(outcome.failed)} of {total} videos failed; see {out / 'failures.csv'}")
        return 2
    out_console.print(f"written: {out / 'report.html' if single else out}")
    return 0
