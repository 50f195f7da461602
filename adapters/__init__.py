"""Audio-visual adapters for two frozen transformer towers: the only trained part; needs torch and safetensors alone.

What is imported from here is loaded when it is first asked for: plans, sizes and errors need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adaav import AdaAV
    from .errors import AdapterError
    from .fingerprints import fingerprint
    from .frozen import AudioContext, Tower
    from .last_block import affinity
    from .plan import Placement, Plan, make_plan
    from .readings import Reading, SelfSelf
    from .record import AdapterRecord, read_record
    from .sizes import AdaAVConfig
    from .storage import load_adapters, save_adapters
    from .towers import AdaptedTowers, count_trainable

_MODULES = {
    "AdaAV": "adaav",
    "AdaAVConfig": "sizes",
    "AdaptedTowers": "towers",
    "AdapterError": "errors",
    "AdapterRecord": "record",
    "AudioContext": "frozen",
    "Placement": "plan",
    "Plan": "plan",
    "Reading": "readings",
    "SelfSelf": "readings",
    "Tower": "frozen",
    "affinity": "last_block",
    "count_trainable": "towers",
    "fingerprint": "fingerprints",
    "load_adapters": "storage",
    "make_plan": "plan",
    "read_record": "record",
    "save_adapters": "storage",
}
"""The module of each name."""

__all__ = [
    "AdaAV",
    "AdaAVConfig",
    "AdaptedTowers",
    "AdapterError",
    "AdapterRecord",
    "AudioContext",
    "Placement",
    "Plan",
    "Reading",
    "SelfSelf",
    "Tower",
    "affinity",
    "count_trainable",
    "fingerprint",
    "load_adapters",
    "make_plan",
    "read_record",
    "save_adapters",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
