"""`moca evaluate`: options to a table and a report; `moca compare`: two tables to one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moca.cli.options import MATCH, METHOD, PROPOSALS, RULE, SETTINGS, UNMATCHED, parsed_settings
from moca.errors import InputError
from moca.evaluation.datasets import DATASETS

if TYPE_CHECKING:
    from moca.core.method import Method
    from moca.evaluation import Comparison, EvaluationResult
    from moca.evaluation.datasets import Data

SAMPLES = 1_000


def evaluate(
    root: Annotated[Path, typer.Argument(help="The data set's folder, or a stage's.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for results.md, .csv, .json and report.html.")],
    data: Annotated[str, typer.Option(help=f"{', '.join(DATASETS)}.")] = "s4",
    subset: Annotated[str | None, typer.Option(hidden=True)] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    method: METHOD = "moca",
    model: Annotated[str, typer.Option(help='"mini", "huge", or the folder of a training run.')] = "mini",
    adapters: Annotated[Path | None, typer.Option(help="Adapters to use instead of the model's own.")] = None,
    proposals: PROPOSALS = None,
    rule: RULE = None,
    match: MATCH = None,
    unmatched: UNMATCHED = None,
    settings: SETTINGS = None,
    controls: Annotated[
        bool, typer.Option(help="Also muted and with swapped sound; of moca also frozen, and without proposals.")
    ] = True,
    false_positives: Annotated[
        bool, typer.Option("--false-positives", help="Also masked area in a stage's silence, noise and offscreen.")
    ] = False,
    tagger: Annotated[
        str | None, typer.Option(help="For avss: what names the sound where the method does not.")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: this process's share; all give the same -o.")] = None,
    samples: Annotated[int, typer.Option(help="Bootstrap samples of the intervals; 0 for none.")] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    gallery: Annotated[int, typer.Option(help="Most clips that the report shows.")] = 60,
    worst_first: Annotated[bool, typer.Option("--worst-first", help="The report shows the worst clips.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a method on a data set: its official metrics and better ones, with intervals and controls.

    A stopped run goes on where it was. With --shard, whichever process finds all clips scored writes the table.
    """
    from moca.cli.console import error_console, out_console, progress_bars
    from moca.evaluation import evaluate as run
    from moca.evaluation import write_results
    from moca.evaluation.datasets import read_data, read_silent
    from moca.evaluation.variants import adjusted, variants_of
    from moca.methods import load_method

    if gallery < 0:
        raise InputError(f"--gallery must be at least 0, got {gallery}; 0 leaves the clips out.")
    share = _share(shard)
    asked = {"adapters": adapters, "proposals": proposals, "rule": rule, "match": match, "unmatched": unmatched}
    asked = {name: value for name, value in asked.items() if value is not None}
    asked |= parsed_settings(settings, "silence_dbfs=-50")
    data = subset or data
    found = read_data(data, root, split=split, model=model, tagger=tagger, device=device)
    needed = {name: value for name, value in found.settings.items() if name not in asked}
    silent = read_silent(root) if false_positives else {}
    loaded = load_method(method, model, device=device, settings=asked)
    notes = [note for note in (loaded.notice, *found.notes) if note]
    for note in notes:
        error_console.print(f"note: {note}", markup=False)
    with progress_bars() as progress:
        task = progress.add_task(f"{data} {split}", total=None)
        result = run(
            loaded,
            found.clips,
            protocol=found.protocol,
            controls=("muted", "swapped") if controls else (),
            variants=variants_of(loaded) if controls else {},
            extras=silent,
            cache=out / "clips",
            shard=share,
            samples=samples,
            seed=seed,
            data=found.about,
            settings=needed,
            progress=lambda what, done, total: progress.update(task, completed=done, total=total),
        )
    if result is None:
        out_console.print(f"shard {shard} is done; the table is written when the others are, too", markup=False)
        return
    label = f"{method} ({loaded.settings.get('model', model)}), {data} {split}"
    _, table, _ = write_results(out, {label: result})
    out_console.print(table.read_text(encoding="utf-8"), markup=False)
    out_console.print(f"written: {table}", markup=False)
    if report:
        _report(out, label, result, adjusted(loaded, needed), found, gallery, worst_first, notes)
        out_console.print(f"written: {out / 'report.html'}", markup=False)


def compare(
    a: Annotated[Path, typer.Argument(help="results.json of A, or its folder.")],
    b: Annotated[Path, typer.Argument(help="results.json of B, or its folder.")],
    metric: Annotated[str | None, typer.Option(help="A metric that single clips have.")] = None,
    of_a: Annotated[str | None, typer.Option(help="Which result of A, or which control, where it has several.")] = None,
    of_b: Annotated[str | None, typer.Option(help="Which result of B, or which control, where it has several.")] = None,
    samples: Annotated[int, typer.Option(help="Bootstrap samples of the interval; 0 for none.")] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of bootstrap and permutations.")] = 0,
) -> None:
    """Compare two evaluations of the same clips: difference with interval, p, and clips won and lost."""
    from moca.cli.console import out_console
    from moca.evaluation import compare as run

    (name_a, result_a), (name_b, result_b) = _picked(a, of_a, "--of-a"), _picked(b, of_b, "--of-b")
    found: Comparison = run(result_a, result_b, metric=metric, samples=samples, seed=seed)
    for line in found.lines(name_a, name_b):
        out_console.print(line, markup=False)


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
    gallery: int,
    worst_first: bool,
    notes: Sequence[str],
) -> None:
    from moca.cli.console import progress_bars
    from moca.reports.clips import chosen_clips, clip_pictures
    from moca.reports.evaluation import write_evaluation_report

    with progress_bars() as progress:
        task = progress.add_task("report", total=None)
        pictures = clip_pictures(
            method,
            data.clips,
            chosen_clips(result, gallery, worst_first=worst_first),
            protocol=data.protocol,
            cache=out / "clips",
            progress=lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
        )
    write_evaluation_report(out / "report.html", label, result, pictures=pictures, worst_first=worst_first, notes=notes)


def _picked(path: Path, wanted: str | None, option: str) -> tuple[str, EvaluationResult]:
    """A result of a file by its label, or one of its controls by its name, with what it is called."""
    from moca.evaluation import read_results

    results = read_results(path)
    found = {}
    for label, result in results.items():
        found[label] = (label, result)
        for control, measured in result.controls.items():
            name = f"{label}, {control}"
            found[control if len(results) == 1 else name] = (name, measured)
    if wanted is None and len(results) == 1:
        return next(iter(found.values()))
    if wanted not in found:
        got = "none" if wanted is None else repr(wanted)
        raise InputError(f"{option} must name one of {', '.join(found)} in {path}, got {got}; choose one of them.")
    return found[wanted]
