"""A method on a data set, with its controls: run, score, resume, write the table, and say how sure it is."""

from moca.evaluation.comparing import Comparison, compare
from moca.evaluation.controls import CONTROLS, Clip, ControlClip, muted, swap_all, swapped
from moca.evaluation.localisation import Localisation
from moca.evaluation.protocols import Column, EvaluationProtocol, restored
from moca.evaluation.results import FORMAT, ClipScore, EvaluationResult, read_results, write_results
from moca.evaluation.running import evaluate
from moca.evaluation.segmentation import Segmentation
from moca.evaluation.semantic import Semantic
from moca.evaluation.statistics import intervals

__all__ = [
    "CONTROLS",
    "FORMAT",
    "Clip",
    "ClipScore",
    "Column",
    "Comparison",
    "ControlClip",
    "EvaluationProtocol",
    "EvaluationResult",
    "Localisation",
    "Segmentation",
    "Semantic",
    "compare",
    "evaluate",
    "intervals",
    "muted",
    "read_results",
    "restored",
    "swap_all",
    "swapped",
    "write_results",
]
