"""A method on a data set, with its controls: run, score, resume, write the table, and say how sure it is."""

from importlib import import_module

_HOME = {
    "CONTROLS": "controls",
    "FORMAT": "writing",
    "Clip": "controls",
    "ClipScore": "result",
    "Column": "protocols.protocol",
    "Comparison": "comparing",
    "ControlClip": "controls",
    "EvaluationProtocol": "protocols.protocol",
    "EvaluationResult": "result",
    "Localisation": "protocols.localisation",
    "Segmentation": "protocols.segmentation",
    "Semantic": "protocols.semantic",
    "compare": "comparing",
    "evaluate": "running",
    "intervals": "statistics",
    "muted": "controls",
    "read_results": "writing",
    "restored": "protocols.known",
    "swap_all": "controls",
    "swapped": "controls",
    "write_results": "writing",
}
"""The module of each public name."""

__all__ = list(_HOME)


def __getattr__(name: str):
    """Load a name's module, and torch with most of them, only when asked for: help texts list data sets at once."""
    if name in _HOME:
        return getattr(import_module(f"moca.evaluation.{_HOME[name]}"), name)
    raise AttributeError(f"module 'moca.evaluation' has no attribute {name!r}")
