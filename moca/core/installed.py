"""Which packages are installed, in which version: those that this distribution's own metadata asks for."""

from __future__ import annotations

import importlib.metadata
import re

DISTRIBUTION = "moca-avs"
_NAME, _EXTRA = re.compile(r"[\w.-]+"), re.compile(r"""\bextra\s*==\s*['"]([\w.-]+)""")
"""In a line of Requires-Dist, such as `nbclient>=0.10; extra == "notebooks"`."""


def packages() -> dict[str, str | None]:
    """Installed version of every core package, None where it is missing; nothing in a tree that is not installed."""
    return {name: version_of(name) for name in asked_for().get(None, ())}


def extras() -> dict[str, bool]:
    """Whether all that an extra brings is installed, by its name."""
    return {extra: all(map(version_of, names)) for extra, names in asked_for().items() if extra is not None}


def asked_for() -> dict[str | None, tuple[str, ...]]:
    """Packages that the core (None) and each extra ask for, in the order in which they are declared."""
    found: dict[str | None, tuple[str, ...]] = {}
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        lines = ()
    for line in lines:
        name, marker = _NAME.match(line)[0], _EXTRA.search(line)
        extra = marker and marker[1]
        found[extra] = (*found.get(extra, ()), name)
    return found


def version_of(name: str) -> str | None:
    """Version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
