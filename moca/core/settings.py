"""Settings: every field is declared once, with its type, its range and a sentence of help.

From that one declaration come the check on construction and its refusal, the JSON form, and the options and help texts
of the command line. A group of settings is a frozen dataclass below `Settings`:

    @dataclass(frozen=True, kw_only=True)
    class KMeansConfig(Settings):
        clusters: int = setting(4, help="k of the cosine k-means.", least=1, most=64, hint="4 suits most frames")
        start: Literal["random", "spread"] = setting("spread", help="How the first centres are drawn.")

Types: int, float, bool, str, a Literal of words, another group, a tuple of one of them, and None beside any of them.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What `setting` says of a field besides its type; see there."""

    help: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    unit: str = ""
    hint: str = "change it"
    shown: str | None = None
    option: bool = False


def setting(
    default: Any = MISSING,
    *,
    help: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    unit: str = "",
    hint: str = "change it",
    shown: str | None = None,
    option: bool = False,
    default_factory: Any = MISSING,
) -> Any:
    """A field of a group of settings.

    help: one sentence, or more, for readers and for `--help`. least, most: ends of the range that are allowed
    themselves; above, below: ends that are not. Numbers are finite in any case. unit: of the number, hint: what to do,
    both for the refusal.
    shown: the name in refusals and on the command line, where it is not the field's. option: whether the command line
    offers it by an option of its own; every setting can be given with --set.
    """
    rule = Rule(
        help=help, least=least, above=above, most=most, below=below, unit=unit, hint=hint, shown=shown, option=option
    )
    return dataclasses.field(default=default, default_factory=default_factory, metadata={"rule": rule})


class Settings:
    """Base of a group of settings: checks every field on construction, and knows its JSON form.

    Raises InputError, in one line, for a value of another type or out of range. A group with rules between fields
    checks those in its own `__post_init__`, after this one.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            check_value(type(self), field.name, getattr(self, field.name))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` restores it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, *, title: str, advice: str = "restore it") -> Self:
        """Rebuild a group from its JSON form; what is not exactly its fields is refused by name.

        title: what the message calls the group, such as "training". advice: ends the message.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"the {title} configuration must be a JSON object, got {type(values).__name__}; {advice}.")
        known = {field.name for field in fields(cls)}
        for problem, names in (("unknown", values.keys() - known), ("missing", known - values.keys())):
            if names:
                raise InputError(f"the {title} configuration has {problem} keys: {', '.join(sorted(names))}; {advice}.")
        groups = {name: kind for name, kind in _hints(cls).items() if isinstance(kind, type) and is_dataclass(kind)}
        parts = {
            name: kind.from_json(values[name], title=name, advice=advice)
            for name, kind in groups.items()
            if issubclass(kind, Settings)
        }
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists, **parts})


def rule_of(owner: type, name: str) -> Rule | None:
    """What a field was declared with; None for one that was not declared by `setting`."""
    return owner.__dataclass_fields__[name].metadata.get("rule")


def check_value(owner: type, field: str, value: Any, *, shown: str | None = None) -> None:
    """InputError unless a value fits the type and the range of a field of a dataclass.

    shown: what the message calls it; None takes the name that the field was declared with, or its own.
    """
    kinds = list(_kinds(_hints(owner)[field]))
    rule = rule_of(owner, field) or Rule(help="")
    if not any(_fits(value, kind, rule) for kind in kinds):
        name = shown or rule.shown or field
        raise InputError(f"{name} must be {_rule_in_words(kinds, rule)}, got {value!r}; {rule.hint}.")


def allowed_words(owner: type, field: str) -> tuple[str, ...]:
    """The words that a field may be, () where it is not one of some words."""
    return tuple(kind for kind in _kinds(_hints(owner)[field]) if isinstance(kind, str))


def range_in_words(owner: type, field: str) -> str:
    """What a field may be, as refusals say it.

    >>> from moca.segmentation.config import SegmentConfig
    >>> range_in_words(SegmentConfig, "clusters")
    'a whole number between 1 and 64'
    """
    return _rule_in_words(list(_kinds(_hints(owner)[field])), rule_of(owner, field) or Rule(help=""))


@cache
def _hints(owner: type) -> dict[str, Any]:
    return get_type_hints(owner)


def _kinds(hint: Any) -> Iterator[Any]:
    """The plain types that a type hint allows; a word of a Literal stands for itself."""
    if get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _kinds(part)
    elif get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        yield hint


def _fits(value: Any, kind: Any, rule: Rule) -> bool:
    if isinstance(kind, str):
        return isinstance(value, str) and value == kind
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(kind)[0], rule) for each in value)
    if kind is Any or get_origin(kind) is not None:
        return True
    if kind in (int, float):
        numbers = int if kind is int else int | float
        return isinstance(value, numbers) and not isinstance(value, bool) and _in_range(value, rule)
    return isinstance(value, kind)


def _in_range(value: float, rule: Rule) -> bool:
    return (
        math.isfinite(value)
        and (rule.least is None or value >= rule.least)
        and (rule.above is None or value > rule.above)
        and (rule.most is None or value <= rule.most)
        and (rule.below is None or value < rule.below)
    )


def _rule_in_words(kinds: list[Any], rule: Rule) -> str:
    words = [kind for kind in kinds if isinstance(kind, str)]
    parts = [f"one of {', '.join(words)}"] if words else []
    parts += [_kind_in_words(kind, rule) for kind in kinds if not isinstance(kind, str) and kind is not type(None)]
    return " or ".join(parts) + (", or none" if type(None) in kinds else "")


def _kind_in_words(kind: Any, rule: Rule) -> str:
    if get_origin(kind) is tuple:
        return f"a list, each {_kind_in_words(get_args(kind)[0], rule)}"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range_in_words(rule)
    named = {bool: "true or false", str: "text"}
    return named.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _range_in_words(rule: Rule) -> str:
    unit = f" {rule.unit}" if rule.unit else ""
    if rule.least is not None and rule.most is not None:
        return f" between {rule.least:g} and {rule.most:g}{unit}"
    low = {"of at least": rule.least, "above": rule.above}
    high = {"at most": rule.most, "below": rule.below}
    ends = [f"{words} {end:g}" for words, end in (low | high).items() if end is not None]
    if not ends:
        return unit
    return f" {'of ' if ends[0].startswith('at most') else ''}{' and '.join(ends)}{unit}"
