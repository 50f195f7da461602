"""The one bar: what it shows of work, where it shows nothing, and who shows it."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from moca.cli import console

MARKED = "p[red]3[/red]/[bold]:smile:.mp4"
"""A path whose text looks like markup and an emoji."""


@pytest.fixture
def screen(monkeypatch):
    """A terminal whose text can be read."""
    text = io.StringIO()
    terminal = console.plain_console(file=text, force_terminal=True, width=120, no_color=True, legacy_windows=False)
    monkeypatch.setattr(console, "error_console", terminal)
    return text


def test_one_piece_of_work_after_the_other(screen):
    with console.progress_bar() as progress:
        progress("reading", 1, 4)
        progress("reading", 2, 4)
        progress.bars.refresh()
        assert [(task.description, task.completed, task.total) for task in progress.bars.tasks] == [("reading", 2, 4)]
        progress("writing", 0)
        assert [(task.description, task.total) for task in progress.bars.tasks] == [("writing", None)]
    assert "reading" in screen.getvalue() and "50%" in screen.getvalue()


def test_figures_stand_beside(screen):
    with console.progress_bar() as progress:
        progress("training", 10, 20, loss=1.25, active=0.5)
        assert progress.bars.tasks[0].fields["note"] == "loss 1.250, 50% active"
        progress("training", 15, 20, loss=1.0)
        assert progress.bars.tasks[0].fields["note"].startswith("loss 1.000, ")
        assert progress.bars.tasks[0].fields["note"].endswith(" steps/s")
        progress("training", 16, 20)
        assert progress.bars.tasks[0].fields["note"] == ""


def test_bytes_of_a_download(screen):
    with console.progress_bar(in_bytes=True) as progress:
        progress("model: downloading", 500_000, 2_000_000)
        progress.bars.refresh()
    assert "0.5/2.0 MB" in screen.getvalue()


@pytest.mark.parametrize("why", ["hidden", "another process", "a file"])
def test_nothing_is_shown(screen, monkeypatch, why):
    if why == "another process":
        monkeypatch.setenv("RANK", "1")
    if why == "a file":
        monkeypatch.setattr(console, "error_console", Console(file=screen))
    with console.progress_bar(hidden=why == "hidden") as progress:
        progress("reading", 1, 4)
    assert screen.getvalue() == "" and console.speaks() == (why != "another process")


def test_text_is_printed_as_it_is(screen):
    table = Table(MARKED)
    table.add_row(MARKED)
    for say in (console.out_console, console.error_console):
        say.file, before = io.StringIO(), say._file
        say.print(MARKED)
        say.print(table)
        said, say.file = say.file.getvalue(), before
        assert said.count(MARKED) == 3
    with console.progress_bar() as progress:
        progress(MARKED, 1, 2)
        progress.bars.refresh()
    assert MARKED in screen.getvalue()


def test_every_command_prints_by_these_consoles():
    """Of a console that is made elsewhere, nobody knows whether it prints text as it is."""
    folder = Path(console.__file__).parent
    made = [path.name for path in folder.glob("*.py") if re.search(r"(?<!plain_)Console\(", path.read_text())]
    assert made == ["console.py"]
