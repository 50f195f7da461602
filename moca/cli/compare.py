"""Compare two evaluations of the same clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moca.cli.console import out_console
from moca.cli.options import Given, takes
from moca.errors import InputError
from moca.evaluation.config import BootstrapConfig

if TYPE_CHECKING:
    from moca.evaluation import EvaluationResult


@takes(bootstrap=BootstrapConfig, defaults=("bootstrap",))
def command(
    a: Annotated[Path, typer.Argument(help="results.json of A, or its folder.")],
    b: Annotated[Path, typer.Argument(help="results.json of B, or its folder.")],
    bootstrap: Given,
    metric: Annotated[str | None, typer.Option("--metric", help="A metric that single clips have.")] = None,
    of_a: Annotated[
        str | None, typer.Option("--of-a", help="Which result, control or false positives of A, where it has several.")
    ] = None,
    of_b: Annotated[
        str | None, typer.Option("--of-b", help="Which result, control or false positives of B, where it has several.")
    ] = None,
) -> None:
    """Compare two evaluations of the same clips: difference with interval, p, and clips won and lost."""
    from moca.evaluation import compare

    sampling = BootstrapConfig(**bootstrap)
    (name_a, result_a), (name_b, result_b) = _picked(a, of_a, "--of-a"), _picked(b, of_b, "--of-b")
    comparison = compare(result_a, result_b, metric=metric, samples=sampling.samples, seed=sampling.seed)
    for line in comparison.lines(name_a, name_b):
        out_console.print(line)


def _picked(path: Path, wanted: str | None, option: str) -> tuple[str, EvaluationResult]:
    """A result of a file by its label, or one of its controls or false positives by its name, and what it is called."""
    from moca.evaluation import read_results

    results = read_results(path)
    choices = {}
    for label, result in results.items():
        choices[label] = (label, result)
        for control, measured in {**result.controls, **result.false_positives}.items():
            name = f"{label}, {control}"
            choices[control if len(results) == 1 else name] = (name, measured)
    if wanted is None and len(results) == 1:
        return next(iter(choices.values()))
    if wanted not in choices:
        got = "none" if wanted is None else repr(wanted)
        raise InputError(f"{option} must name one of {', '.join(choices)} in {path}, got {got}; choose one of them.")
    return choices[wanted]
