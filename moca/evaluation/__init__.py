"""A method on a data set, with its controls: run, score, resume, write the table, and say how sure it is."""

from moca.evaluation.comparing import Comparison, compare
from moca.evaluation.controls import CONTROLS, Clip, ControlClip, muted, swap_all, swapped
from moca.evaluation.protocols.known import restored
from moca.evaluation.protocols.localisation import Localisation
from moca.evaluation.protocols.protocol import Column, EvaluationProtocol
from moca.evaluation.protocols.segmentation import Segmentation
from moca.evaluation.protocols.semantic import Semantic
from moca.evaluation.result import ClipScore, EvaluationResult
from moca.evaluation.running import evaluate
from moca.evaluation.statistics import intervals
from moca.evaluation.writing import FORMAT, read_results, write_results

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
