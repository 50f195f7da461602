"""A method on a data set, with its controls: run, score, resume, write the table, and say how sure it is."""

from moca.core.late import late_names

_MODULES = {
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
    "Robustness": "robustness",
    "Segmentation": "protocols.segmentation",
    "Semantic": "protocols.semantic",
    "compare": "comparing",
    "evaluate": "running",
    "intervals": "statistics",
    "muted": "controls",
    "read_results": "writing",
    "restored": "protocols.known",
    "robustness_of": "robustness",
    "swap_all": "controls",
    "swapped": "controls",
    "write_results": "writing",
}
"""The module of each public name."""

__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
