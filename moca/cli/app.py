"""The command line: commands are the files of this folder, found by name and loaded when they are called.

A file with a function or a Typer called `command` is a command; the first sentence of the file's docstring is what
`moca --help` says of it. Every error of the user's is one line with exit code 2.
"""

from __future__ import annotations

import ast
import errno
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from moca.cli.console import INTERRUPTED, error_console, out_console
from moca.errors import InputError
from moca.version import __version__

HERE = Path(__file__).parent
# Typer brings its own copy of click or uses the installed one; either way this is the base of its usage errors.
UsageProblem = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or choose another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place you may read and write"),
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file is in the way of a folder; check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.EEXIST: "remove what is there, or choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
"""What to do about an error of the operating system, where its number says it."""


@cache
def commands() -> dict[str, str]:
    """Every command's name and, in a sentence, what it does; no command is imported for that."""
    return {
        path.stem: first_sentence(ast.get_docstring(tree) or "")
        for path in sorted(HERE.glob("*.py"))
        if _defines_command(tree := ast.parse(path.read_text(encoding="utf-8")))
    }


def first_sentence(text: str) -> str:
    """The first sentence of a docstring on one line; its first paragraph, where that is no sentence.

    >>> first_sentence("Write masks.png and\\nmore. It takes long.\\n\\nAnd so on.")
    'Write masks.png and more.'
    """
    return re.split(r"(?<=[.!?])\s", " ".join(text.partition("\n\n")[0].split()), maxsplit=1)[0]


def _defines_command(tree: ast.Module) -> bool:
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    names += [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return "command" in names


class LazyCommands(TyperGroup):
    """The commands of this folder: shown without being imported, imported when they are called."""

    def list_commands(self, context: Any) -> list[str]:
        return list(commands())

    def get_command(self, context: Any, name: str) -> Any:
        return TyperCommand(name, help=commands()[name]) if name in commands() else None

    def resolve_command(self, context: Any, arguments: list[str]) -> tuple:
        name, _, rest = super().resolve_command(context, arguments)
        return name, load_command(name), rest


def load_command(name: str) -> Any:
    """The command of a file, ready to be called."""
    command = importlib.import_module(f"moca.cli.{name}").command
    holder = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    if isinstance(command, typer.Typer):
        holder.add_typer(command, name=name)
    else:
        holder.command(name)(command)
    loaded = typer.main.get_group(holder).commands[name]
    _refuse_empty(loaded)
    return loaded


def _refuse_empty(command: Any) -> None:
    """Make a command, and those inside it, refuse an empty text: a path or a name of no letters means nothing.

    An unset shell variable in quotes gives one, and an empty path would be the folder one is in.
    """
    for inner in getattr(command, "commands", {}).values():
        _refuse_empty(inner)
    for parameter in command.params:
        parameter.process_value = partial(_not_empty, parameter, parameter.process_value)


def _not_empty(parameter: Any, process: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    if value == "" or (isinstance(value, list | tuple) and "" in value):
        shown = max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.name.upper()
        raise InputError(f"{shown} must not be empty, got ''; give it a value, or leave it out.")
    return process(context, value)


app = typer.Typer(
    cls=LazyCommands,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which pixels in this video make the sound.",
)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Which pixels in this video make the sound."""
    if show:
        out_console.print(f"moca-avs {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        out_console.print(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Entry point: every user error is one line on stderr and exit code 2; Ctrl-C is 130."""
    warnings.showwarning = _show_warning
    sys.exit(_run())


def _run() -> int:
    """The exit code of the command that was typed."""
    from moca.adapters.errors import AdapterError

    try:
        code = app(standalone_mode=False) or 0
        if code != INTERRUPTED:  # typer ends a command so on Ctrl-C, without a word
            return code
    except UsageProblem as error:
        return _failed(error.format_message())
    except (InputError, AdapterError) as error:
        return _failed(str(error))
    except BrokenPipeError:  # whoever read the output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(os_trouble(error))
    except (KeyboardInterrupt, typer.Abort):
        pass
    error_console.print("interrupted: what is finished is kept; run the same command to go on")
    return INTERRUPTED


def os_trouble(error: OSError) -> str:
    """An error of the operating system in one line, with advice where its number says what to do."""
    reason = error.strerror or str(error) or type(error).__name__
    advice = ADVICE.get(error.errno)
    return f"{error.filename or 'a file'}: {reason}" + (f"; {advice}." if advice else ".")


def _failed(message: str) -> int:
    error_console.print(f"error: {' '.join(message.split())}")
    return 2


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, UserWarning):
        error_console.print(f"warning: {' '.join(str(message).split())}")
