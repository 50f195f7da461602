"""Settings by name: listed, flattened, changed, and read from what was typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from moca.core.settings import check_value
from moca.errors import InputError

Config = TypeVar("Config")


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """A configuration with some values changed.

    config: a dataclass, which may hold others. changes: by name, nested ones with a dot, such as {"lr": 1e-4,
    "mining.neighbours": 10}. Raises InputError for a name that is not a setting and for a value of another type or
    outside its range.

    >>> from moca.segmentation.config import SegmentConfig
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
        check_value(type(getattr(config, group) if group else config), field, value, shown=name)
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
