"""Packages whose names are imported when they are first asked for: what only lists them needs nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package. modules: the submodule of each public name, none of which has that name itself.

    >>> late_names("moca.core", {"resize_maps": "maps"})("resize_maps").__module__
    'moca.core.maps'
    """

    def load(name: str) -> Any:
        if name in modules:
            return getattr(import_module(f"{package}.{modules[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
