"""Options that settings declare: their names, types and help, and what a command gets of them."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
import typer

from moca.cli.app import UsageProblem
from moca.cli.options import offers_of, parsed_settings, takes
from moca.core.settings import Settings, setting
from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Inner(Settings):
    share: float = setting(0.5, help="A share.", above=0, most=1, option=True)


@dataclass(frozen=True, kw_only=True)
class Group(Settings):
    count_of: int = setting(3, help="How many.", least=1, option=True)
    word: Literal["one", "two"] = setting("one", help="Which.", shown="other_name", option=True)
    on: bool = setting(True, help="On.", option=True)
    off: bool = setting(False, help="Off.", option=True)
    parts: tuple[int, ...] = setting((1, 2), help="Parts.", least=0, option=True)
    place: str | None = setting(None, help="Where.", option=True)
    unlisted: int = setting(0, help="By --set alone.")
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True, kw_only=True)
class Needed(Settings):
    name: str = setting(help="A name.", option=True)


def command_of(*, defaults=(), **groups):
    """A Typer that keeps what its command got in `calls`."""
    calls, app = [], typer.Typer()

    @app.command()
    @takes(defaults=defaults, group=Group, **groups)
    def command(group: dict, plain: Annotated[int, typer.Option("--plain")] = 7) -> None:
        calls.append((group, plain))

    return typer.main.get_command(app), calls


def test_only_what_was_given_arrives_and_by_the_names_that_changes_take():
    command, calls = command_of()
    command([], standalone_mode=False)
    typed = "--count-of 5 --other-name two --no-on --off --parts 3,4 --place here --share 0.25 --plain 1"
    command(typed.split(), standalone_mode=False)
    given = {"count_of": 5, "word": "two", "on": False, "off": True, "parts": (3, 4), "place": "here"}
    assert calls == [({}, 7), ({**given, "inner.share": 0.25}, 1)]


def test_what_is_not_an_option_is_none():
    flags = {offer.flag for offer in offers_of(Group)}
    assert flags == {"--count-of", "--other-name", "--on", "--off", "--parts", "--place", "--share"}


def test_help_says_the_words_the_range_and_the_default_where_it_applies():
    texts = [{option.name.strip("_"): option.help for option in command_of(defaults=shown)[0].params}
             for shown in ((), ("group",))]  # fmt: skip
    assert texts[0]["count_of"] == "How many. Must be a whole number of at least 1."
    assert texts[0]["word"] == "Which. One of one, two."
    assert texts[0]["inner__share"] == "A share. Must be a number above 0 and at most 1."
    assert texts[0]["place"] == texts[1]["place"] == "Where."
    assert texts[1]["count_of"] == "How many. Must be a whole number of at least 1. Default: 3."
    assert texts[1]["parts"].endswith("Default: 1,2.")


@pytest.mark.parametrize(("defaults", "switches"), [((), ["--off", "--no-off"]), (("group",), ["--off"])])
def test_what_is_off_by_default_is_only_switched_on(defaults, switches):
    option = next(option for option in command_of(defaults=defaults)[0].params if option.name == "off__")
    assert [*option.opts, *option.secondary_opts] == switches


def test_a_setting_without_a_default_must_be_given():
    app = typer.Typer()

    @app.command()
    @takes(needed=Needed)
    def command(needed: dict) -> None: ...

    with pytest.raises(UsageProblem) as caught:
        typer.main.get_command(app)([], standalone_mode=False)
    assert caught.value.format_message().startswith("Missing option '--name'")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--count-of 0", "--count-of must be a whole number of at least 1, got 0; change it."),
        ("--count-of x", "--count-of must be a whole number of at least 1, got 'x'; change it."),
        ("--count-of 1.5", "--count-of must be a whole number of at least 1, got 1.5; change it."),
        ("--share inf", "--share must be a number above 0 and at most 1, got inf; change it."),
        ("--share 2", "--share must be a number above 0 and at most 1, got 2; change it."),
        ("--other-name three", "--other-name must be one of one, two, got 'three'; change it."),
        ("--parts 1,x", "--parts must be a list, each a whole number of at least 0, got (1, 'x'); change it."),
    ],
)
def test_what_was_typed_is_refused_by_the_declaration_and_the_options_name(typed, line):
    command, calls = command_of()
    with pytest.raises(InputError) as caught:
        command(typed.split(), standalone_mode=False)
    assert str(caught.value) == line and calls == []


def test_a_number_has_the_type_of_its_setting():
    command, calls = command_of()
    command(["--share", "1", "--count-of", "2"], standalone_mode=False)
    assert [(type(value), value) for value in calls[0][0].values()] == [(int, 2), (float, 1.0)]


def test_pairs_after_set():
    assert parsed_settings(["a=1", " b.c = x=y "]) == {"a": 1, "b.c": "x=y"}
    assert parsed_settings(None) == {}
    for text in ("a", "=1", " =1"):
        with pytest.raises(InputError) as caught:
            parsed_settings([text])
        assert str(caught.value) == (f"--set must be KEY=VALUE, got {text!r}; name the setting, then = and its value.")
