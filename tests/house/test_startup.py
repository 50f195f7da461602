"""Help is quick: nothing heavy is imported before a command has work for it."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "cv2", "sklearn", "scipy", "av", "faiss", "accelerate", "matplotlib")
CODE = """
import sys
from moca.cli.app import main
try:
    main()
except SystemExit as end:
    print(end.code, *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def started(*arguments: str) -> tuple[str, set[str]]:
    """Exit code of the command, and which heavy packages it has imported."""
    command = [sys.executable, "-c", CODE.format(heavy=HEAVY), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *names = done.stderr.splitlines()[-1].split()
    return code, set(names)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ()])
def test_help_imports_nothing_heavy(arguments):
    assert started(*arguments) == ("0" if arguments else "2", set())


def test_weights_are_listed_without_anything_heavy():
    assert started("weights", "list") == ("0", set())


@pytest.mark.parametrize("command", ["segment", "evaluate", "compare", "reproduce", "stage", "train", "weights"])
def test_help_of_a_command_imports_no_torch(command):
    code, names = started(command, "--help")
    assert code == "0" and not names & {"torch", "transformers", "accelerate", "faiss"}


def test_a_heavy_import_would_be_seen():
    assert "torch" in started("doctor")[1]
