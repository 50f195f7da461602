"""Which warnings are shown belongs to the whole process: no module changes that, as other threads run beside it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SWITCHES = {"catch_warnings", "simplefilter", "filterwarnings", "resetwarnings"}


def switches(text: str) -> set[str]:
    """Names in a module's text that change which warnings the process shows."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names & SWITCHES


def test_no_module_switches_warnings():
    paths = [path for folder in ("moca", "adapters", "baselines") for path in (ROOT / folder).rglob("*.py")]
    used = {str(path.relative_to(ROOT)): switches(path.read_text(encoding="utf-8")) for path in paths}
    assert len(used) > 50 and {name: names for name, names in used.items() if names} == {}


@pytest.mark.parametrize(
    "text", ["import warnings\nwith warnings.catch_warnings():\n    pass", "from warnings import simplefilter"]
)
def test_a_switch_is_seen(text):
    assert len(switches(text)) == 1
