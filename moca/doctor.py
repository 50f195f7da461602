"""What is installed, which weights are here, which device, and what results may be used for."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from moca.foundation.zoo import bundled_weights, manifest, weights_home
from moca.installed import EXTRAS, packages, version_of
from moca.version import __version__


def device_line() -> str:
    """The device `--device auto` takes, with its memory."""
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


def models() -> list[tuple[str, str, str, str]]:
    """(name, state, where, what its results may be used for) of every model."""
    mini = bundled_weights() / "mini" / "imagebind" / "model.safetensors"
    huge = manifest()["imagebind-huge"]
    return [
        _model("mini", mini, "Apache-2.0; knows only Soundstage's classes"),
        _model("huge", weights_home() / huge["file"], huge["licence"]),
    ]


def _model(name: str, path: Path, licence: str) -> tuple[str, str, str, str]:
    state = f"here, {path.stat().st_size / 1e6:,.1f} MB" if path.is_file() else "not here"
    return name, state, str(path), licence


def report(console: Console) -> bool:
    """Print everything; returns whether `moca segment` can run with the bundled model."""
    installed = packages()
    missing = [name for name, version in installed.items() if version is None]
    console.print(f"moca-avs {__version__}, Python {platform.python_version()}, {platform.platform()}")
    console.print(f"device: {device_line()}")
    console.print("packages: " + ", ".join(f"{name} {version or 'MISSING'}" for name, version in installed.items()))
    extras = ", ".join(f"{extra} {'yes' if version_of(name) else 'no'}" for extra, name in EXTRAS.items())
    console.print(f"extras: {extras}")
    table = Table(title="Models", title_justify="left")
    for heading in ("model", "weights", "path", "licence of its results"):
        table.add_column(heading, overflow="fold")
    rows = models()
    for row in rows:
        table.add_row(*row)
    console.print(table)
    free = shutil.disk_usage(_existing(weights_home())).free / 1e9
    console.print(f"fetched weights live in {weights_home()} ({free:.0f} GB free; move it with MOCA_WEIGHTS)")
    ready = not missing and rows[0][1] != "not here"
    console.print(
        "ready: moca segment runs with --model mini" if ready else f"not ready: missing {missing or 'mini weights'}"
    )
    return ready


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
