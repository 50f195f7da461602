"""Every option of the command line is declared in one place."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from moca.cli.app import commands, load_command
from moca.cli.options import offers_of
from moca.core.settings import Settings

HOMONYMS = {"--out", "--data", "--clips", "--preset"}
"""Names that mean one thing in one command and another elsewhere: what is written, a data set or its folder, how many
clips or where they lie, a recipe of training or of segmenting."""
CLI = Path(__file__).resolve().parents[2] / "moca" / "cli"


def written_by_hand(path: Path) -> list[str]:
    """Names of options that a file writes itself, in `typer.Option("--name")`."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Option":
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            names += [text.split("/")[0] for text in texts if text.startswith("--")]
    return names


def test_no_option_is_written_in_two_places():
    own = Counter(name for path in CLI.glob("*.py") for name in written_by_hand(path) if path.stem != "app")
    assert sum(own.values()) > 15 and {name for name, times in own.items() if times > 1} <= HOMONYMS


def groups() -> set[type[Settings]]:
    """Every group of settings that a command takes."""
    import importlib

    taken = set()
    for name in commands():
        module = importlib.import_module(f"moca.cli.{name}")
        taken |= {
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Settings) and value is not Settings
        }
    return taken


def test_no_option_repeats_a_declared_setting():
    declared = {offer.flag for group in groups() for offer in offers_of(group)}
    own = {name for path in CLI.glob("*.py") for name in written_by_hand(path)}
    assert len(declared) > 25 and own & declared <= HOMONYMS


@pytest.mark.parametrize("name", sorted(commands()))
def test_no_command_has_an_option_twice(name):
    command = load_command(name)
    options = Counter(flag for parameter in command.params for flag in parameter.opts)
    assert [flag for flag, times in options.items() if times > 1] == []


def test_every_option_of_every_command_says_what_it_does():
    for name in commands():
        for parameter in load_command(name).params:
            assert getattr(parameter, "hidden", False) or parameter.help, (name, parameter.name)


@pytest.mark.parametrize("name", sorted(commands()))
def test_no_command_offers_to_install_completion(name):
    flags = {flag for parameter in load_command(name).params for flag in parameter.opts}
    assert not flags & {"--install-completion", "--show-completion"}
