"""The paper's tables made anew: what is missing is trained and run, and the paper's numbers stand beside."""

from moca.core.late import late_names

_MODULES = {
    "ALL": "reproducing",
    "TABLES": "tables",
    "ReproduceConfig": "config",
    "Reproduced": "reproducing",
    "reproduce": "reproducing",
}
"""The module of each public name."""

__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
