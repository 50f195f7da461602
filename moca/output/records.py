"""Records: the steps of a run as JSON values, and back to results with the pictures that were written beside them."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from moca.core.rle import decode, encode
from moca.core.step import Proposals, Segment, StepResult
from moca.errors import InputError

_DAMAGES = (
    *(LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError, EOFError),
    *(cv2.error, zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged record or file raises."""


def step_record(result: StepResult) -> dict[str, Any]:
    """One step as JSON values; the mask itself is the PNG it names, and the RLE of its segments.

    Where proposals were made, coarse is the RLE of the mask they were compared with, and proposals their number and
    which of them match, with the IoU each is expected to have (score) and what the rule measured (overlap). rank is the
    share of a bank of other sounds that fit less than the step's own; missed the threshold on cosines as they are that
    the score is below, where the mask is empty because of that.
    """
    segments = [
        {
            "rle": encode(segment.mask),
            "score": round(segment.score, 6),
            "area": int(segment.mask.sum()),
            "label": segment.label,
        }
        for segment in result.segments
    ]
    return {
        "index": result.index,
        "start_s": round(result.start_s, 6),
        "end_s": round(result.end_s, 6),
        "frame_s": round(result.frame_s, 6),
        "mask": f"masks/{result.index:06d}.png",
        "area_share": round(float(result.mask.mean()), 6),
        "score": _finite(result.score),
        "rank": _finite(result.rank),
        "missed": result.missed,
        "level_dbfs": _finite(result.level_dbfs),
        "reason": result.reason,
        "segments": segments,
        "coarse": None if result.coarse is None else encode(result.coarse),
        "proposals": None if result.proposals is None else _proposals_record(result.proposals),
    }


def _proposals_record(proposals: Proposals) -> dict[str, Any]:
    matched = [
        {
            "index": index,
            "score": round(float(proposals.scores[index]), 6),
            "overlap": round(float(proposals.measured[index]), 6),
        }
        for index in proposals.matched
    ]
    return {"count": len(proposals), "matched": matched}


def _finite(value: float) -> float | None:
    """JSON has no NaN or infinity; None stands for "not computed" and for digital silence."""
    return round(value, 6) if math.isfinite(value) else None


def heat_path(folder: Path, index: int) -> Path:
    """Where the small heat map of a step is while a run is under way."""
    return folder / "heat" / f"{index:06d}.png"


def proposals_path(folder: Path, index: int) -> Path:
    """Where the small proposals of a step are while a run is under way."""
    return folder / "proposals" / f"{index:06d}.npz"


class StoredSteps:
    """The steps of a run, read back one at a time: an hour of masks is never in memory.

    folder: the run's, finished or under way. records: of its steps, in order, as `step_record` makes them.
    """

    def __init__(self, folder: Path, records: list[dict]) -> None:
        self.folder, self.records = folder, records
        self._position, self._result = -1, None

    def on_show(self, time_s: float) -> StepResult:
        """The step that a moment belongs to; moments must not run backwards. Raises InputError as `load` does."""
        position = max(self._position, 0)
        while position + 1 < len(self.records) and time_s >= self.records[position + 1]["start_s"] - 1e-9:
            position += 1
        if position != self._position:
            self._position, self._result = position, self.load(self.records[position])
        return self._result

    def load(self, record: dict) -> StepResult:
        """A step from its record and its files.

        Its heat map and its proposals are small ones made large again, and 0 and None where none were kept. Raises
        InputError, in one line, for a record or a file that is damaged.
        """
        try:
            return self._load(record)
        except _DAMAGES as error:
            raise InputError(
                f"a step of {self.folder} must be a record and its mask, it cannot be read "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); segment the video again."
            ) from None

    def _load(self, record: dict) -> StepResult:
        mask = _read_png(self.folder / record["mask"]) > 0
        level, score, rank = record["level_dbfs"], record["score"], record.get("rank")
        segments = [
            Segment(mask=decode(segment["rle"]), score=segment["score"], label=segment.get("label"))
            for segment in record["segments"]
        ]
        return StepResult(
            index=record["index"],
            start_s=record["start_s"],
            end_s=record["end_s"],
            frame_s=record["frame_s"],
            mask=mask,
            heat=self._heat(record["index"], mask.shape),
            score=float("nan") if score is None else score,
            level_dbfs=float("-inf") if level is None else level,
            segments=tuple(segments),
            reason=record["reason"],
            coarse=None if record.get("coarse") is None else decode(record["coarse"]),
            proposals=self._proposals(record, mask.shape),
            rank=float("nan") if rank is None else rank,
            missed=record.get("missed"),
        )

    def _proposals(self, record: dict, size: tuple[int, int]) -> Proposals | None:
        path = proposals_path(self.folder, record["index"])
        if record.get("proposals") is None or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as stored:
            small = np.unpackbits(stored["masks"], axis=2, count=int(stored["width"]))
            figures = {"scores": stored["scores"], "measured": stored["overlaps"]}
        masks = [cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST) > 0 for mask in small]
        return Proposals(
            masks=np.stack(masks) if masks else np.zeros((0, *size), bool),
            **figures,
            matched=tuple(match["index"] for match in record["proposals"]["matched"]),
        )

    def _heat(self, index: int, size: tuple[int, int]) -> np.ndarray:
        path = heat_path(self.folder, index)
        if not path.is_file():
            return np.zeros(size, np.float32)
        return cv2.resize(_read_png(path).astype(np.float32) / 255, size[::-1], interpolation=cv2.INTER_LINEAR)


def _read_png(path: Path) -> np.ndarray:
    """A grey picture (H, W) uint8; OSError where there is none, ValueError where it is damaged."""
    content = path.read_bytes()
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if content else None
    if picture is None:
        raise ValueError(f"{path.name} is no picture")
    return picture
