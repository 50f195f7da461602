"""Changing settings by name, with every value checked for its type before it is used."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from moca.errors import InputError

Config = TypeVar("Config")


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """A configuration with some values changed.

    config: a dataclass, which may hold others. changes: by name, nested ones with a dot, such as {"lr": 1e-4,
    "mining.neighbours": 10}. Raises InputError for a name that is not a setting and for a value of another type or
    outside its range.

    >>> from moca.segmenting import SegmentConfig
    >>> changed(SegmentConfig(), {"clusters": 6}).clusters
    6
    """
    known = setting_names(config)
    parts: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise InputError(f"{name} is not a setting; the settings are {', '.join(known)}.")
        group, _, field = name.rpartition(".")
        check_type(type(getattr(config, group) if group else config), name, field, value)
        (parts.setdefault(group, {}) if group else own)[field] = value
    nested = {group: replace(getattr(config, group), **values) for group, values in parts.items()}
    return replace(config, **own, **nested)


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings with their names joined by dots, as `changed` takes them; prefix: before every name.

    >>> dict(flattened({"lr": 0.1, "mining": {"neighbours": 20}}))
    {'lr': 0.1, 'mining.neighbours': 20}
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def parse_value(text: str) -> int | float | bool | str | None:
    """A value as typed: a number, true, false, none, or text."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def setting_names(config: Any, prefix: str = "") -> list[str]:
    """Names of all settings of a configuration, nested ones with a dot; "preset" is a record, not a setting."""
    names = []
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            names += setting_names(value, f"{prefix}{field.name}.")
        elif field.name != "preset":
            names.append(f"{prefix}{field.name}")
    return names


def check_type(owner: type, name: str, field: str, value: Any) -> None:
    """InputError unless a value fits the type hint of a field of `owner`; name: what the message calls it."""
    allowed = list(_kinds(get_type_hints(owner)[field]))
    if not any(_is(value, kind) for kind in allowed):
        rule = " or ".join(kind if isinstance(kind, str) else _NAMED[kind] for kind in allowed)
        raise InputError(f"{name} must be {rule}, got {value!r}; change it.")


_NAMED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}


def _kinds(hint: Any) -> list[Any]:
    """The plain types, and words of a Literal, that a type hint allows."""
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for part in get_args(hint) for kind in _kinds(part)]
    return list(get_args(hint)) if get_origin(hint) is Literal else [hint]


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, str):
        return value == kind
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
