"""Dependencies point one way: no circle and no arrow upwards, late imports included."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"moca": "moca", "adapters": "moca.adapters", "baselines": "moca.baselines", "weights": "moca.weights"}
FLOORS = (
    ("errors", "version", "weights"),
    ("adapters", "core"),
    ("media", "metrics", "mining"),
    ("data", "foundation"),
    ("stage", "corpus", "segmentation"),
    ("pipeline",),
    ("segmenter",),
    ("methods",),
    ("calibration",),
    ("evaluation", "training", "baselines"),
    ("reports",),
    ("output", "reproduce"),
    ("cli",),
    ("moca",),
)
"""From the bottom: a part may import those on floors below its own. "moca" is the package's own __init__, the door."""
REGISTRIES = ("moca.foundation.catalogue",)
"""Modules whose table names others by text, which load them late and read the table in turn."""


def sources(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the distribution and its file."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


def imported(name: str, path: Path, known: set[str], *, by_text: bool = True) -> set[str]:
    """Modules of the distribution that a file imports anywhere: at its top, in functions, for type checkers alone.

    A text that names a module, or "module:name", is an import of it by that name, as `import_module` makes.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base)
        elif by_text and isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found.add(node.value.partition(":")[0])
    return {each for each in found if each in known} - {name}


def arrows(modules: dict[str, Path]) -> dict[str, set[str]]:
    return {name: imported(name, path, set(modules)) for name, path in modules.items()}


def floor_of(name: str) -> int:
    part = name.split(".")[1] if "." in name else name
    return next(floor for floor, parts in enumerate(FLOORS) if part in parts)


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen, waiting = set(), [start]
        while waiting:
            for other in graph[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        reach[start] = seen
    found = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}
    return [set(each) for each in found]


def upward(graph: dict[str, set[str]]) -> list[str]:
    return [
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if floor_of(other) >= floor_of(name) and name.split(".")[:2] != other.split(".")[:2]
    ]


def test_there_is_no_circle():
    """Also none through names of modules, but for a registry's: what it names may read its table."""
    graph, modules = arrows(sources()), sources()
    for name in REGISTRIES:
        named = graph[name]
        graph[name] = imported(name, modules[name], set(modules), by_text=False)
        assert graph[name] < named, f"{name} names no module any more"
    assert circles(graph) == []


def test_no_arrow_points_upwards():
    assert upward(arrows(sources())) == []


def test_the_root_of_the_package_holds_the_doors_alone():
    assert len(list((ROOT / "moca").glob("*.py"))) <= 6


def test_the_adapters_need_torch_and_safetensors_alone():
    standard = {"array", "collections", "contextlib", "dataclasses", "hashlib", "itertools", "json", "math", "os"}
    standard |= {"pathlib"}
    tops = set()
    for path in (ROOT / "adapters").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops.add(node.module.split(".")[0])
    assert tops - standard <= {"torch", "safetensors", "sys", "typing", "importlib"}


@pytest.fixture
def house(tmp_path):
    """A small tree of the same shape; house({"core/a.py": text, ...}) gives its arrows."""

    def build(files: dict[str, str]) -> dict[str, set[str]]:
        for name, text in files.items():
            path = tmp_path / "moca" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return arrows(sources(tmp_path))

    return build


@pytest.mark.parametrize(
    "text",
    [
        "from moca.cli.app import main",
        "import moca.cli.app",
        "def late():\n    from moca.cli import app",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli.app import main",
    ],
)
def test_an_arrow_upwards_is_seen(house, text):
    graph = house({"core/a.py": text, "cli/app.py": "main = 1", "cli/__init__.py": ""})
    assert upward(graph) == ["moca.core.a -> moca.cli.app"]


@pytest.mark.parametrize(
    "text",
    [
        "LOADERS = {'x': 'moca.cli.app:main'}",
        "import importlib\ndef late():\n    importlib.import_module('moca.cli.app').main()",
        "from importlib import import_module\nmodule = import_module('moca.cli.app')",
    ],
)
def test_an_arrow_that_is_a_text_is_seen(house, text):
    graph = house({"core/a.py": text, "cli/app.py": "main = 1", "cli/__init__.py": ""})
    assert upward(graph) == ["moca.core.a -> moca.cli.app"]


def test_a_text_that_only_mentions_a_module_is_no_arrow(house):
    text = '"""See moca.cli.app: main."""\nNAME, PACKAGE = "moca-avs.cli", "moca"\nHELP = "run moca.cli.app"'
    assert house({"core/a.py": text, "cli/app.py": "", "__init__.py": ""})["moca.core.a"] == set()


def test_a_circle_is_seen(house):
    graph = house({"core/a.py": "from .b import x", "core/b.py": "def late():\n    from moca.core import a"})
    assert circles(graph) == [{"moca.core.a", "moca.core.b"}]
