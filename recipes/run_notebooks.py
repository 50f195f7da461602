"""Run the notebooks from top to bottom, each in a fresh kernel, and keep what they show.

    python -m recipes.run_notebooks                 # all of them; what they show is written into the files
    python -m recipes.run_notebooks --check         # nothing is written; ends with 1 where a cell fails
    python -m recipes.run_notebooks 1 4_ablations   # some of them, by number, name or path

A notebook is written with all of its outputs or not at all. Nothing is kept that changes from run to run or from
machine to machine: no times, no versions, no absolute paths.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from moca.core.files import write_text_whole

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
CELL_TIMEOUT_S = 900  # a cell that needs longer hangs, also on a busy machine
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(RuntimeError):
    """A notebook that is not there, fails, or shows what must not be kept; the message is one line."""


def find_notebooks(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Path]:
    """The notebooks that are meant, in the order given; all of a folder, by name, where none is.

    names: a number, a name with or without .ipynb, or a path.
    """
    known = sorted(folder.glob("*.ipynb"))
    paths = []
    for name in names:
        fitting = [path for path in known if name in (path.stem, path.name, path.stem.partition("_")[0])]
        if not fitting and Path(name).suffix == ".ipynb" and Path(name).is_file():
            fitting = [Path(name)]
        if not fitting:
            raise NotebookError(
                f"a notebook must be one of {', '.join(path.stem for path in known)}, got {name!r}; choose one of "
                "them, or give a path."
            )
        paths += fitting
    return paths if names else known


def run_notebook(path: Path, *, check: bool = False, timeout_s: int = CELL_TIMEOUT_S) -> float:
    """Run a notebook in its own folder and write its outputs into it; returns seconds.

    check: write nothing. timeout_s: of a cell. Raises NotebookError, with nothing written, where a cell fails or shows
    a path of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        manager = client.create_kernel_manager()
        if os.name == "posix":  # no port that others on this machine could listen at
            manager.transport, manager.connection_file = "ipc", f"{folder}/kernel.json"
        _run_cells(client, path.stem, environment(Path(folder)))
    seconds = time.perf_counter() - began
    _check_private(notebook, path.stem)
    if not check:
        write_text_whole(path, nbformat.writes(cleaned(notebook)) + "\n")
    return seconds


def environment(folder: Path) -> dict[str, str]:
    """Of a kernel: offline, no more threads than processors, temporary files and IPython's own in a folder."""
    mine = dict(os.environ)
    mine.setdefault("OMP_NUM_THREADS", str(_processors()))
    for name in ("TMPDIR", "IPYTHONDIR"):
        mine[name] = str(folder)
    return mine | {
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # a bar that needs ipywidgets; none is shown
    }


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """A copy with nothing in its metadata that a run or a machine has left there."""
    copy = nbformat.from_dict(notebook)
    copy.metadata = nbformat.from_dict(METADATA)
    for cell in copy.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return copy


def texts(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """(cell, text) of everything that its outputs say; pictures are left out."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown = [output.get("text", ""), *output.get("traceback", ())]
            shown += [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
            yield from ((cell, _joined(value)) for value in shown)


def _run_cells(client: NotebookClient, name: str, env: dict[str, str]) -> None:
    with client.setup_kernel(env=env):
        for number, cell in enumerate(client.nb.cells):
            try:
                client.execute_cell(cell, number)
            except CellExecutionError as error:
                problem = f"{error.ename}: {error.evalue}"
            except CellTimeoutError:
                problem = f"it ran for more than {client.timeout} s"
            except DeadKernelError:
                problem = "its kernel died"
            else:
                continue
            raise NotebookError(f"{name}, cell {cell.id} failed: {' '.join(problem.split())}")


def _check_private(notebook: NotebookNode, name: str) -> None:
    """Refuse outputs that only make sense on this machine."""
    places = {
        "the repository": ROOT,
        "the home directory": Path.home(),
        "the installed packages": sys.prefix,
        "temporary files": tempfile.gettempdir(),
    }
    for what, private_path in places.items():
        if len(Path(private_path).parts) < 2:  # "/" is in many texts
            continue
        for cell, text in texts(notebook):
            if f"{private_path}" in text:
                raise NotebookError(
                    f"{name}, cell {cell.id} shows the path of {what}, {private_path}; show it relative to its folder."
                )


def _joined(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks that are asked for, say how long each took, stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="number, name or path; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    try:
        for path in find_notebooks(options.names):
            print(f"{path.stem}: {run_notebook(path, check=options.check):.0f} s", flush=True)
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
