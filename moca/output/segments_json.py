"""segments.json, the one record of a finished run, and what is said of the video and the method beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from moca.segmentation.config import CROPS
from moca.segmentation.mpm import MEASURES

if TYPE_CHECKING:
    from moca.core.method import Method
    from moca.media import VideoInfo

SEGMENTS_FORMAT = 1


def segments_document(info: VideoInfo, settings: dict, records: list[dict], notes: list[str]) -> dict[str, Any]:
    """Content of segments.json.

    settings: what the run depends on. records: its steps, as `moca.output.records.step_record` makes them. notes: what
    a user should read before believing the masks.
    """
    return {
        "format": SEGMENTS_FORMAT,
        "source": info.path.name,
        "video": video_facts(info),
        "settings": settings,
        "notes": notes,
        "steps": records,
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
    by = {"Method": method.name, "Model": model}
    if proposals := settings.get("proposals"):
        by["Mask proposals"] = _proposals_in_words(proposals)
    return {
        "Size": f"{info.width} x {info.height} pixels",
        "Rate": rate,
        "Duration": "unknown" if info.duration_s is None else f"{info.duration_s:.1f} s",
        "Sound": sound,
        **by,
        "Licence of the result": method.licence,
    }


def _proposals_in_words(used: dict[str, Any]) -> str:
    """What `ProposalConfig.used` says, for a reader."""
    if used["kind"] == "none":
        return "none"
    if used["rule"] == CROPS:
        return f"from {used['kind']}, chosen where {MEASURES[CROPS]} is within {used['delta']:g} of the frame's best"
    return f"from {used['kind']}, match where {MEASURES[used['rule']]} is above {used['match']:g}"


def nothing_passes(records: list[dict]) -> str | None:
    """What is said, in one line, of a video without any mask in which no cosine reaches a threshold; else None.

    records: of its steps.
    """
    missed = [record for record in records if record.get("missed") is not None]
    if not missed or any(record["reason"] is None for record in records):
        return None
    best = max(record["score"] for record in missed)
    return (
        f"Nothing in the whole video reaches {missed[0]['missed']:.2f}: the best cosine seen is {best:.2f}. Cosines of "
        "one model mean nothing for another; scores relative to other sounds need no threshold (--scores relative, or "
        "--set scores=relative of another method)."
    )


def video_facts(info: VideoInfo) -> dict[str, Any]:
    """What the video's file says of itself, as JSON values, without the folder it lies in."""
    return {**asdict(info), "path": info.path.name}


def count_sounding(document: dict) -> int:
    """Steps of a segments.json that have a mask."""
    return sum(step["reason"] is None for step in document["steps"])
