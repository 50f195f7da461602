"""Say what is installed, which weights are here, which device, and what results may be used for."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from moca.cli.checks import Check, model_checks
from moca.cli.console import out_console
from moca.cli.options import CHECKED, DEVICE
from moca.cli.states import MINI_LICENCE, ModelState, model_names, models, unlisted
from moca.cli.wording import bytes_text
from moca.core.installed import extras, packages
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, ROLES, Row
from moca.foundation.manifest import UNSTATED, fetched_entry, weights_home
from moca.version import __version__

HERE = {True: "here", False: "not here", None: "not known"}
"""What is said of a model's files."""


def command(
    model: CHECKED = None,
    crosscheck: Annotated[
        bool, typer.Option("--crosscheck", help="Compare fetched models with their original packages, where installed.")
    ] = False,
    examples: Annotated[
        Path | None, typer.Option("--examples", help="For --crosscheck: folder of ImageBind's six example files.")
    ] = None,
    device: DEVICE = "auto",
) -> int:
    """Say what is installed, which weights are here, which device, and what results may be used for.

    With --model, check one model: files, memory, device, and a step from end to end. With --crosscheck, run the same
    weights through the original packages. A line for each check; exit code 1 where one is wrong.
    """
    if examples is not None and not crosscheck:
        raise InputError("--examples is for --crosscheck, which was not given; add it.")
    if model is None and not crosscheck:
        return 0 if report(out_console) else 1
    good = True
    for check in _checks(model, crosscheck, examples, device):
        good = good and check.good
        out_console.print(str(check))
    return 0 if good else 1


def _checks(model: str | None, crosscheck: bool, examples: Path | None, device: str) -> Iterator[Check]:
    if model is not None:
        yield from model_checks(model, device)
    if crosscheck:
        from moca.cli.crosscheck import crosschecks  # every kind of model comes with it

        yield from crosschecks(examples)


def device_line() -> str:
    """The device `--device auto` takes, with its memory."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return f"cuda: {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return f"cpu: {torch.get_num_threads()} threads, {_memory_gib()} GiB of memory"


def _memory_gib() -> str:
    try:
        with open("/proc/meminfo") as stream:
            return f"{int(stream.readline().split()[1]) / 2**20:.0f}"
    except OSError:
        return "an unknown number of"


def pipeline_lines() -> list[str]:
    """What each row of the catalogue consists of, lacks and needs, and what its results may be used for."""
    states = {state.name: state for state in models()}
    lines = []
    for row in CATALOGUE.values():
        names = list(model_names(row).values())
        parts = [states[name] for name in names]
        absent = [part.name for part in parts if part.here is False]
        unsure = [part.name for part in parts if part.here is None]
        known = [part.needs for part in parts if part.needs is not None]
        least = "" if len(known) == len(parts) else "at least "
        lines += [
            f"{row.name}: {', '.join(names)}",
            f"  not here: {', '.join(absent) or 'nothing'}"
            + (f"; not known of {', '.join(unsure)}, which their own loaders find" if unsure else ""),
            f"  weights in memory, all models at once: {least}{bytes_text(sum(known))} in float32, half in bfloat16",
            f"  its results: {strictest_licence(row)}",
        ]
    return lines


def strictest_licence(row: Row) -> str:
    """What results of a row may be used for: the licence that allows least, whose it is, and the row's note."""
    names = {row.entry(role) for role in ROLES}
    listed = [fetched_entry(row.entry(role), role) for role in ROLES]
    entries = [entry for entry in listed if entry is not None]
    strict = [f"{entry.licence} ({entry.name})" for entry in entries if not entry.commercial]
    strict += [f"{UNSTATED} ({name})" for name in sorted(set(unlisted(row).values()))]
    free = {entry.licence for entry in entries} | ({MINI_LICENCE} if BUNDLED in names else set())
    return "; ".join([*(sorted(strict) or [", ".join(sorted(free))]), *([row.note] if row.note else [])])


def report(console: Console) -> bool:
    """Print everything; returns whether `moca segment` can run with the bundled model."""
    installed = packages()
    missing = [name for name, version in installed.items() if version is None]
    console.print(f"moca-avs {__version__}, Python {platform.python_version()}, {platform.platform()}")
    console.print(f"device: {device_line()}")
    console.print("packages: " + ", ".join(f"{name} {version or 'MISSING'}" for name, version in installed.items()))
    there = ", ".join(f"{extra} {'yes' if whole else 'no'}" for extra, whole in extras().items())
    console.print(f"extras: {there}")
    states = models()
    console.print(_table(states))
    console.print("\nPipelines (to segment, the first model of one is enough)")
    for line in pipeline_lines():
        console.print(line)
    free = shutil.disk_usage(_existing(weights_home())).free / 1e9
    console.print(f"\nfetched weights live in {weights_home()} ({free:.0f} GB free; move it with MOCA_WEIGHTS)")
    ready = not missing and states[0].here
    console.print(
        "ready: moca segment runs with --model mini" if ready else f"not ready: missing {missing or 'mini weights'}"
    )
    return ready


def _table(states: list[ModelState]) -> Table:
    table = Table(title="\nModels (fetch those that are not here with moca weights fetch NAME)", title_justify="left")
    table.box, table.pad_edge = None, False
    for heading in ("model", "role", "here", "size", "licence"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for state in states:
        table.add_row(state.name, state.role, HERE[state.here], state.size, state.licence)
    return table


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
