"""Options of commands: those that settings declare, and the few that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import MISSING, dataclass
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from moca.core.changing import parse_value
from moca.core.settings import Settings, allowed_words, check_value, range_in_words, rule_of
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.methods import method_names

Given = dict[str, Any]
"""The values of a group of settings that were given on the command line, by name, as `changed` takes them."""

MODELS = f"{', '.join(CATALOGUE)}, or the folder of a training run"


def _model(what: str) -> Any:
    """The option --model, with what the command does with it."""
    return typer.Option("--model", help=f"{MODELS}{what}.")


MODEL = Annotated[str | None, _model(" (default: mini)")]
CHECKED = Annotated[str | None, _model(": check its files, memory and device, and segment one step")]
METHOD = Annotated[str, typer.Option("--method", help=f"{', '.join(method_names())}, or what a package brings.")]
ADAPTERS = Annotated[Path | None, typer.Option("--adapters", help="Adapters to use instead of the model's own.")]
FROZEN = Annotated[bool, typer.Option("--frozen", help="The frozen encoder alone, without adapters.")]
DINO = Annotated[
    str | None,
    typer.Option("--dino", help="DINO for image neighbours: a name, a folder or a hub id (default: the model's)."),
]
TAGGER = Annotated[
    str | None,
    typer.Option("--tagger", help="For AVSS: what names the sound where a method does not (default: the model's)."),
]
DEVICE = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
WORKERS = Annotated[int, typer.Option("--workers", help="Processes that decode or draw.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run with other settings wrote.")]
SETTINGS = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any further setting; may be repeated.")
]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An option that a setting makes."""

    path: str
    """The setting's name in its group, with a dot inside a nested group."""
    flag: str
    """Such as --steps-per-second."""
    parameter: inspect.Parameter
    """As Typer reads it."""
    read: Callable[[Any], Any]
    """The setting's value, from what was typed; InputError, by the option's name, for one that cannot be."""


def takes(*, defaults: Collection[str] = (), **groups: type[Settings]) -> Callable[[Callable], Callable]:
    """Give a command the options of groups of settings: `@takes(output=OutputConfig)`.

    The command has a parameter of each group's name, which gets the values that were given (see `Given`); what was not
    given is not in it. Every setting declared with `option=True` makes one option: its name, type, words and range come
    from the declaration. defaults: groups whose declared defaults apply where nothing is given, to be shown.
    """

    def decorate(command: Callable) -> Callable:
        offers = {name: list(offers_of(group, show_default=name in defaults)) for name, group in groups.items()}
        parameters = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            offered = offers.get(parameter.name)
            parameters += [parameter] if offered is None else [offer.parameter for offer in offered]

        @wraps(command)
        def run(**values: Any) -> Any:
            given = {
                name: {
                    offer.path: offer.read(value)
                    for offer in offers[name]
                    if (value := values.pop(offer.parameter.name, None)) is not None
                }
                for name in groups
            }
            return command(**values, **given)

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        run.__signature__ = inspect.Signature(parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def offers_of(group: type[Settings], prefix: str = "", *, show_default: bool = False) -> Iterator[Offer]:
    """The options that a group of settings makes, nested groups included."""
    for name, hint in get_type_hints(group).items():
        if name not in group.__dataclass_fields__:
            continue
        rule = rule_of(group, name)
        if isinstance(hint, type) and issubclass(hint, Settings):
            yield from offers_of(hint, f"{prefix}{name}.", show_default=show_default)
        elif rule is not None and rule.option:
            yield _offer(group, name, f"{prefix}{name}", hint, show_default)


def _offer(group: type[Settings], name: str, path: str, hint: Any, show_default: bool) -> Offer:
    rule, field = rule_of(group, name), group.__dataclass_fields__[name]
    shown = rule.shown or name
    flag = f"--{shown.replace('_', '-')}"
    kind, is_list = _kind(hint)
    needed = field.default is MISSING and field.default_factory is MISSING
    help_text = rule.help
    allowed = range_in_words(group, name).removesuffix(", or none")
    if kind in (int, float) and allowed not in ("a number", "a whole number"):
        help_text += f" Must be {allowed}."
    if words := allowed_words(group, name):
        help_text += f" One of {', '.join(words)}."
    if show_default and kind is not bool and field.default not in (None, MISSING):
        help_text += f" Default: {_typed(field.default)}."
    off = kind is bool and not (show_default and field.default is False)  # what is off by default is only switched on
    flags = (f"{flag}/--no-{flag.removeprefix('--')}",) if off else (flag,)
    is_number = kind in (int, float)
    metavar = f"<{kind.__name__}>" if is_number else None
    option = typer.Option(*flags, help=help_text, show_default=False, metavar=metavar)
    typed = str if is_number else kind
    parameter = inspect.Parameter(
        f"{path.replace('.', '__')}__",  # the command's own parameters have no such names
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if needed else None,
        annotation=Annotated[typed if needed else typed | None, option],
    )
    parse = _listed if is_list else _number if is_number else _same

    def read(typed: Any) -> Any:
        value = parse(typed)
        check_value(group, name, value, shown=flag)
        return kind(value) if is_number and value is not None else value

    return Offer(path=path, flag=flag, parameter=parameter, read=read)


def _number(text: str) -> Any:
    """A number as it was typed; what is none as it is."""
    return parse_value(text.strip())


def _listed(text: str) -> tuple[Any, ...]:
    """A list as it was typed, with commas; its parts are numbers where they look like numbers."""
    return tuple(parse_value(part.strip()) for part in text.split(","))


def _same(value: Any) -> Any:
    return value


def _kind(hint: Any) -> tuple[type, bool]:
    """The type that a value is typed as, and whether several are, with commas between."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return str, False
    if get_origin(hint) is tuple:
        return str, True
    return hint, False


def _typed(value: Any) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def parsed_settings(settings: Sequence[str] | None) -> Given:
    """key=value pairs, as they are typed after --set."""
    parsed = {}
    for text in settings or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InputError(f"--set must be KEY=VALUE, got {text!r}; name the setting, then = and its value.")
        parsed[name.strip()] = parse_value(value.strip())
    return parsed
