"""How good are masks: AVSBench's official numbers, and ones without their quirks."""

from moca.metrics.accumulators import AVSBenchScores, VideoScores, score_video
from moca.metrics.segmentation import (
    THRESHOLDS,
    ThresholdCurves,
    f_measure,
    frame_f,
    frame_iou,
    frame_iou_plain,
    hard_mask,
    mean_iou,
    probabilities,
    threshold_curves,
)

__all__ = [
    "THRESHOLDS",
    "AVSBenchScores",
    "ThresholdCurves",
    "VideoScores",
    "f_measure",
    "frame_f",
    "frame_iou",
    "frame_iou_plain",
    "hard_mask",
    "mean_iou",
    "probabilities",
    "score_video",
    "threshold_curves",
]
