"""What is reported as installed is what the distribution asks for, and nothing is listed a second time by hand."""

import configparser
import importlib.metadata
import re
from pathlib import Path

from moca.core import installed

ROOT = Path(__file__).resolve().parents[3]


def declared() -> dict[str | None, tuple[str, ...]]:
    """Packages that setup.cfg asks for: of the core (None) and of each extra."""
    table = configparser.ConfigParser()
    table.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = {None: table["options"]["install_requires"], **table["options.extras_require"]}
    return {extra: tuple(re.findall(r"(?m)^\s*([\w.-]+)", text)) for extra, text in listed.items()}


def test_every_package_that_is_declared_is_looked_for():
    wanted = declared()
    assert {"jinja2", "filelock", "requests", "threadpoolctl", "torch"} <= set(wanted[None])
    assert set(installed.packages()) == set(wanted[None])
    assert {extra: set(names) for extra, names in installed.asked_for().items()} == {
        extra: set(names) for extra, names in wanted.items()
    }
    assert set(installed.extras()) == set(wanted) - {None}


def test_versions_are_told_and_what_is_missing_is_none(monkeypatch):
    lines = ["numpy>=1.26", 'nobody.has-this>=2; python_version > "3"', "nobody_else; extra == 'gone'"]
    lines += ['torch; python_version > "3" and extra == "there"', 'rich>=1,<99; extra == "there"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    assert installed.packages() == {"numpy": importlib.metadata.version("numpy"), "nobody.has-this": None}
    assert installed.extras() == {"gone": False, "there": True}


def test_a_tree_that_is_not_installed_asks_for_nothing(monkeypatch):
    monkeypatch.setattr(installed, "DISTRIBUTION", "nobody-has-this")
    assert installed.packages() == {} and installed.extras() == {}
