"""Audio-visual adapters for two frozen transformer towers: the only trained part; needs torch alone."""

from .adaav import AdaAV, AdaAVConfig
from .errors import AdapterError
from .plan import Placement, Plan, make_plan
from .storage import AdapterRecord, fingerprint, load_adapters, read_record, save_adapters
from .towers import AdaptedTowers, AudioContext, Reading, Tower, count_trainable

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
    "Tower",
    "count_trainable",
    "fingerprint",
    "load_adapters",
    "make_plan",
    "read_record",
    "save_adapters",
]
