"""Frozen foundation models, one file each, and their loaders, such as `load_sam`; see `moca.foundation.catalogue`.

A loader's file is imported when the loader is first asked for, as each takes about as long as the rest of the package.
"""

from typing import Any

from moca.foundation.catalogue import ROLES, loader_of

_ROLE_OF_LOADER = {role.loader.partition(":")[2]: name for name, role in ROLES.items()}
__all__ = list(_ROLE_OF_LOADER)


def __getattr__(name: str) -> Any:
    if name not in _ROLE_OF_LOADER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return loader_of(_ROLE_OF_LOADER[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
