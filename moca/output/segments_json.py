"""Steps as JSON values and back: the content of segments.json."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from moca.core.rle import decode, encode
from moca.core.step import Proposals, Segment, StepResult
from moca.segmentation.mpm import MEASURES

if TYPE_CHECKING:
    from moca.core.method import Method
    from moca.media import VideoInfo

SEGMENTS_FORMAT = 1


def step_record(result: StepResult) -> dict[str, Any]:
    """One step as JSON values; the mask itself is the PNG it names, and the RLE of its segments.

    Where proposals were made, coarse is the RLE of the mask they were compared with, and proposals their number and
    which of them match, with the IoU each is expected to have (score) and what the rule measured (overlap).
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
        "level_dbfs": _finite(result.level_dbfs),
        "reason": result.reason,
        "segments": segments,
        "coarse": None if result.coarse is None else encode(result.coarse),
        "proposals": None if result.proposals is None else _proposals_record(result.proposals),
    }


def _proposals_record(proposals: Proposals) -> dict[str, Any]:
    matched = [
        {
            "index": at,
            "score": round(float(proposals.scores[at]), 6),
            "overlap": round(float(proposals.measured[at]), 6),
        }
        for at in proposals.matched
    ]
    return {"count": len(proposals), "matched": matched}


def _finite(value: float) -> float | None:
    """JSON has no NaN or infinity; None stands for "not computed" and for digital silence."""
    return round(value, 6) if math.isfinite(value) else None


class StoredSteps:
    """Steps as written, read back one at a time: an hour of masks is never in memory."""

    def __init__(self, folder: Path, steps: list[dict]) -> None:
        self.folder, self.steps = folder, steps
        self.position, self.result = -1, None

    def at(self, time_s: float) -> StepResult:
        """The step a moment belongs to; moments must not run backwards."""
        position = max(self.position, 0)
        while position + 1 < len(self.steps) and time_s >= self.steps[position + 1]["start_s"] - 1e-9:
            position += 1
        if position != self.position:
            self.position, self.result = position, self.load(self.steps[position])
        return self.result

    def load(self, step: dict) -> StepResult:
        """A step from its record; its heat map and proposals are coarse, and 0 and None where none were kept."""
        mask = cv2.imread(str(self.folder / step["mask"]), cv2.IMREAD_GRAYSCALE) > 0
        level, score = step["level_dbfs"], step["score"]
        segments = [
            Segment(mask=decode(segment["rle"]), score=segment["score"], label=segment.get("label"))
            for segment in step["segments"]
        ]
        return StepResult(
            index=step["index"],
            start_s=step["start_s"],
            end_s=step["end_s"],
            frame_s=step["frame_s"],
            mask=mask,
            heat=self._heat(step, mask.shape),
            score=float("nan") if score is None else score,
            level_dbfs=float("-inf") if level is None else level,
            segments=tuple(segments),
            reason=step["reason"],
            coarse=None if step.get("coarse") is None else decode(step["coarse"]),
            proposals=self._proposals(step, mask.shape),
        )

    def _proposals(self, step: dict, size: tuple[int, int]) -> Proposals | None:
        path = self.folder / "proposals" / Path(step["mask"]).with_suffix(".npz").name
        if step.get("proposals") is None or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as kept:
            small = np.unpackbits(kept["masks"], axis=2, count=int(kept["width"]))
            figures = {"scores": kept["scores"], "measured": kept["overlaps"]}
        masks = [cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST) > 0 for mask in small]
        return Proposals(
            masks=np.stack(masks) if masks else np.zeros((0, *size), bool),
            **figures,
            matched=tuple(found["index"] for found in step["proposals"]["matched"]),
        )

    def _heat(self, step: dict, size: tuple[int, int]) -> np.ndarray:
        coarse = cv2.imread(str(self.folder / "heat" / Path(step["mask"]).name), cv2.IMREAD_GRAYSCALE)
        if coarse is None:
            return np.zeros(size, np.float32)
        return cv2.resize(coarse.astype(np.float32) / 255, size[::-1], interpolation=cv2.INTER_LINEAR)


def segments_document(info: VideoInfo, settings: dict, steps: list[dict], notes: list[str]) -> dict[str, Any]:
    """Content of segments.json."""
    return {
        "format": SEGMENTS_FORMAT,
        "source": info.path.name,
        "video": video_facts(info),
        "settings": settings,
        "notes": notes,
        "steps": steps,
    }


def described(info: VideoInfo, method: Method) -> dict[str, str]:
    """The video and the method in a reader's words, for the head of the report."""
    rate = "unknown" if info.rate_hz is None else f"{info.rate_hz:g} frames per second"
    sound = "no audio stream"
    if info.audio_stream is not None:
        channels = {1: "mono", 2: "stereo"}.get(info.channels, f"{info.channels} channels")
        sound = f"{info.sample_rate_hz / 1000:g} kHz, {channels} (stream {info.audio_stream})"
    settings = method.settings
    model = str(settings.get("model", "not named"))
    if "adapted" in settings:
        model += f", {'with adapters' if settings['adapted'] else 'frozen encoder alone'}"
    made = {"Method": method.name, "Model": model}
    if proposals := settings.get("proposals"):
        made["Mask proposals"] = _proposals_in_words(proposals)
    return {
        "Size": f"{info.width} x {info.height} pixels",
        "Rate": rate,
        "Duration": "unknown" if info.duration_s is None else f"{info.duration_s:.1f} s",
        "Sound": sound,
        **made,
        "Licence of the result": method.licence,
    }


def _proposals_in_words(used: dict[str, Any]) -> str:
    """What `ProposalConfig.used` says, for a reader."""
    if used["kind"] == "none":
        return "none"
    return f"from {used['kind']}, match where {MEASURES[used['rule']]} is above {used['match']:g}"


def video_facts(info: VideoInfo) -> dict[str, Any]:
    """What was found out about the video, as JSON values, without the folder it lies in."""
    fields = asdict(replace(info, path=Path(info.path.name)))
    return {**fields, "path": str(fields["path"])}


def count_sounding(document: dict) -> int:
    """Steps of a segments.json that have a mask."""
    return sum(step["reason"] is None for step in document["steps"])
