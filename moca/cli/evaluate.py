"""Score a method on a data set, with intervals and controls."""

from __future__ import annotations

from collections.abc import Sequence
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
    SETTINGS,
    TAGGER,
    Given,
    parsed_settings,
    takes,
)
from moca.core.files import check_folder
from moca.errors import InputError
from moca.evaluation.config import BootstrapConfig, GalleryConfig
from moca.evaluation.datasets import DATASETS
from moca.foundation.imagebind.reading import PatchReading
from moca.methods import Loading, own_settings
from moca.segmentation.config import ProposalConfig, SegmentConfig

if TYPE_CHECKING:
    from moca.core.method import Method
    from moca.evaluation import EvaluationResult
    from moca.evaluation.datasets import Data


@takes(
    loading=Loading,
    proposing=ProposalConfig,
    segmentation=SegmentConfig,
    reading=PatchReading,
    bootstrap=BootstrapConfig,
    gallery=GalleryConfig,
    defaults=("loading", "bootstrap", "gallery"),
)
def command(
    root: Annotated[Path, typer.Argument(help="The data set's folder, or a stage's.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for results.md, .csv, .json and report.html.")],
    loading: Given,
    proposing: Given,
    segmentation: Given,
    reading: Given,
    bootstrap: Given,
    gallery: Given,
    data: Annotated[str, typer.Option("--data", help=f"{', '.join(DATASETS)}.")] = "s4",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    method: METHOD = "moca",
    model: MODEL = None,
    adapters: ADAPTERS = None,
    frozen: FROZEN = False,
    settings: SETTINGS = None,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls/--no-controls",
            help="Also muted and with swapped sound; of moca also frozen, and without proposals.",
        ),
    ] = True,
    false_positives: Annotated[
        bool, typer.Option("--false-positives", help="Also FPR and G-mIoU in a stage's silence, noise and offscreen.")
    ] = False,
    tagger: TAGGER = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="i/n: this process's share; all give the same -o.")
    ] = None,
    device: DEVICE = "auto",
) -> None:
    """Score a method on a data set: its official metrics and better ones, with intervals and controls.

    A stopped run goes on where it was. With --shard, whichever process finds all clips scored writes the table.
    """
    from moca.evaluation import evaluate, write_results
    from moca.evaluation.datasets import read_data, read_silent
    from moca.evaluation.variants import adjusted, variants_of
    from moca.methods import load_method

    check_folder(out)
    shown, sampling, share = GalleryConfig(**gallery), BootstrapConfig(**bootstrap), _share(shard)
    chosen = own_settings(loading, proposing, segmentation, reading, adapters=adapters, frozen=frozen, method=method)
    chosen |= parsed_settings(settings)
    model = model or "mini"
    clips = read_data(data, root, split=split, model=model, tagger=tagger, device=device)
    needed = {name: value for name, value in clips.settings.items() if name not in chosen}
    silent = read_silent(root) if false_positives else {}
    loaded = load_method(method, model, device=device, settings=chosen)
    notes = [note for note in (loaded.notice, *clips.notes) if note]
    for note in notes:
        error_console.print(f"note: {note}")
    with progress_bar() as progress:
        result = evaluate(
            loaded,
            clips.clips,
            protocol=clips.protocol,
            controls=("muted", "swapped") if controls else (),
            variants=variants_of(loaded) if controls else {},
            extras=silent,
            cache=out / "clips",
            shard=share,
            samples=sampling.samples,
            seed=sampling.seed,
            data=clips.about,
            settings=needed,
            progress=progress,
        )
    if result is None:
        out_console.print(f"shard {shard} is done; the table is written when the others are, too")
        return
    label = f"{method} ({loaded.settings.get('model', model)}), {data} {split}"
    _, table, _ = write_results(out, {label: result})
    out_console.print(table.read_text(encoding="utf-8"))
    out_console.print(f"written: {table}")
    if shown.report:
        _report(out, label, result, adjusted(loaded, needed), clips, shown, notes)
        out_console.print(f"written: {out / 'report.html'}")


def _share(text: str | None) -> tuple[int, int] | None:
    """i and n of "i/n"."""
    if text is None:
        return None
    parts = text.split("/")
    whole = len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts)
    if not whole or not 1 <= int(parts[0]) <= int(parts[1]):
        raise InputError(f"--shard must be i/n with i from 1 to n, got {text!r}; e.g. 1/4 to 4/4.")
    return int(parts[0]), int(parts[1])


def _report(
    out: Path,
    label: str,
    result: EvaluationResult,
    method: Method,
    data: Data,
    shown: GalleryConfig,
    notes: Sequence[str],
) -> None:
    """Draw the clips to show, and write report.html."""
    from moca.reports.clips import chosen_clips, clip_pictures
    from moca.reports.evaluation import write_evaluation_report

    chosen = chosen_clips(result, shown.gallery, worst_first=shown.worst_first)
    with progress_bar() as progress:
        pictures = clip_pictures(
            method, data.clips, chosen, protocol=data.protocol, cache=out / "clips", progress=progress
        )
    write_evaluation_report(
        out / "report.html", label, result, pictures=pictures, worst_first=shown.worst_first, notes=notes
    )
