"""Say what is installed, which weights are here, which device, and what results may be used for."""

from __future__ import annotations

import math
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError, safe_open

from moca.cli.console import out_console
from moca.cli.wording import bytes_text, short_licence, size_text
from moca.core.installed import EXTRAS, packages, version_of
from moca.foundation.catalogue import BUNDLED, CATALOGUE, ROLES, Row
from moca.foundation.manifest import UNSTATED, bundled_weights, fetched_entry, find_entry, read_manifest, weights_home
from moca.version import __version__

MINI_LICENCE = "Apache-2.0"


def command() -> int:
    """Say what is installed, which weights are here, which device, and what results may be used for."""
    return 0 if report(out_console) else 1


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """One model, as it is on this machine."""

    name: str
    """Such as "mini/sam" for a bundled one, or "sam-vit-huge"."""
    role: str
    """What it does, in words."""
    here: bool
    """Whether all of it is there."""
    size: str
    """On disk, for people."""
    licence: str
    """Its name."""
    needs: int | None
    """Bytes of its weights in memory, in float32; None where that is not known."""


def models() -> list[ModelState]:
    """Every model: the bundled ones, those of the manifest, then those that only their own loaders know."""
    unlisted = {name: role for row in CATALOGUE.values() for role, name in _unlisted(row).items()}
    return [
        *(_bundled(role) for role in ROLES),
        *(_fetched(name) for name in read_manifest()),
        *(
            ModelState(name=name, role=ROLES[role].title, here=True, size="?", licence=UNSTATED, needs=None)
            for name, role in unlisted.items()
        ),
    ]


def _unlisted(row: Row) -> dict[str, str]:
    """Entries of a row by role of which nothing is fetched and that are not bundled."""
    entries = {role: row.entry(role) for role in ROLES}
    return {role: name for role, name in entries.items() if name != BUNDLED and fetched_entry(name, role) is None}


def model_names(row: Row) -> dict[str, str]:
    """The models of a row of the catalogue by role, as `models` names them; the first is enough to segment."""
    entries = {role: row.entry(role) for role in ROLES}
    return {role: _bundled_name(role) if name == BUNDLED else name for role, name in entries.items()}


def _bundled_name(role: str) -> str:
    return f"{BUNDLED}/{ROLES[role].folder}"


def _bundled(role: str) -> ModelState:
    path = bundled_weights() / BUNDLED / ROLES[role].folder / "model.safetensors"
    here = path.is_file()
    return ModelState(
        name=_bundled_name(role),
        role=ROLES[role].title,
        here=here,
        size=bytes_text(path.stat().st_size) if here else "?",
        licence=MINI_LICENCE,
        needs=_float32_bytes(path) if here else None,
    )


def _fetched(name: str) -> ModelState:
    entry = find_entry(name)
    return ModelState(
        name=name,
        role=entry.title,
        here=entry.is_here,
        size=size_text(entry),
        licence=short_licence(entry),
        needs=4 * entry.parameters if entry.parameters else entry.size,
    )


def _float32_bytes(path: Path) -> int | None:
    """Four bytes for each number of a safetensors file, however it stores them; None for a damaged file."""
    try:
        with safe_open(path, "pt") as file:
            return 4 * sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except SafetensorError:
        return None


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
        absent = [part.name for part in parts if not part.here]
        known = [part.needs for part in parts if part.needs is not None]
        least = "" if len(known) == len(parts) else "at least "
        lines += [
            f"{row.name}: {', '.join(names)}",
            f"  not here: {', '.join(absent) or 'nothing'}",
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
    strict += [f"{UNSTATED} ({name})" for name in sorted(set(_unlisted(row).values()))]
    free = {entry.licence for entry in entries} | ({MINI_LICENCE} if BUNDLED in names else set())
    return "; ".join([*(sorted(strict) or [", ".join(sorted(free))]), *([row.note] if row.note else [])])


def report(console: Console) -> bool:
    """Print everything; returns whether `moca segment` can run with the bundled model."""
    installed = packages()
    missing = [name for name, version in installed.items() if version is None]
    console.print(f"moca-avs {__version__}, Python {platform.python_version()}, {platform.platform()}")
    console.print(f"device: {device_line()}")
    console.print("packages: " + ", ".join(f"{name} {version or 'MISSING'}" for name, version in installed.items()))
    extras = ", ".join(f"{extra} {'yes' if version_of(name) else 'no'}" for extra, name in EXTRAS.items())
    console.print(f"extras: {extras}")
    states = models()
    console.print(_table(states))
    console.print("\nPipelines (to segment, the first model of one is enough)")
    for line in pipeline_lines():
        console.print(line, markup=False)
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
        table.add_row(state.name, state.role, "here" if state.here else "not here", state.size, state.licence)
    return table


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
