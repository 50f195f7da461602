"""The paper's tables made anew: what is missing is trained and run, and the paper's numbers stand beside."""

from importlib import import_module

_HOME = {
    "ALL": "reproducing",
    "TABLES": "tables",
    "ReproduceConfig": "config",
    "Reproduced": "reproducing",
    "reproduce": "reproducing",
}
"""The module of each public name."""

__all__ = list(_HOME)


def __getattr__(name: str):
    """Load a name's module, and torch with most of them, only when asked for: help texts list tables at once."""
    if name in _HOME:
        return getattr(import_module(f"moca.reproduce.{_HOME[name]}"), name)
    raise AttributeError(f"module 'moca.reproduce' has no attribute {name!r}")
