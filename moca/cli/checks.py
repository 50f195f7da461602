"""What `moca doctor --model` looks at: files, memory and device of one model, and one step segmented with it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moca.cli.states import model_names, models
from moca.cli.wording import bytes_text
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, CATALOGUE, ROLES, SEGMENTING, Row
from moca.foundation.manifest import Entry, bundled_weights, fetched_entry

if TYPE_CHECKING:
    from moca.core.step import Step

WORK_BYTES = 3_000_000_000
"""What computing takes beside the weights of a published row: mostly SAM's global attention at 1024 pixels, see
docs/results/bench_models.md."""
MINI_WORK_BYTES = 600_000_000
STEP_SIDE = 336
"""Side in pixels of the drawn frame."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    good: bool
    said: str
    """What was found, on one line."""
    advice: str = ""
    """What to do where it is not good."""
    left_out: bool = False
    """Whether it could not be looked at, which is not wrong."""

    def __str__(self) -> str:
        state = "skipped" if self.left_out else "ok" if self.good else "WRONG"
        return f"{state:<7} {self.name}: {self.said}" + ("" if self.good or not self.advice else f"; {self.advice}")


def model_checks(model: str, device: str) -> Iterator[Check]:
    """Files, memory, device, and a step from end to end, one after the other.

    model: a row of the catalogue, or the folder of a training run. device: as --device takes it. Raises InputError for
    a model that nothing knows.
    """
    from moca.core.device import resolve_device
    from moca.pipeline.encoder import base_model

    device, base = resolve_device(device), base_model(model)
    whole = True
    for check in _files(CATALOGUE[base]) if base else ():
        whole = whole and check.good
        yield check
    if base:
        memory = _memory(CATALOGUE[base], device)
        yield memory
    yield Check(name="device", good=True, said=_device_text(device))
    if whole:
        yield _step(model, device)
    else:
        yield Check(name="step", good=True, said="files are missing", left_out=True)


def _files(row: Row) -> Iterator[Check]:
    """One check for every model that the row segments with."""
    for role in SEGMENTING:
        name, title = row.entry(role), ROLES[role].title
        if name == BUNDLED:
            path = bundled_weights() / BUNDLED / ROLES[role].folder / "model.safetensors"
            size = f"{bytes_text(path.stat().st_size)}, bundled" if path.is_file() else "not there"
            yield Check(name="files", good=path.is_file(), said=f"{title}: {path}, {size}", advice="install it again")
        elif (entry := fetched_entry(name, role)) is None:
            said = f"{title}: whether {name} is here is not known, its own loader finds it"
            yield Check(name="files", good=True, said=said, left_out=True)
        else:
            yield _file(entry, title, row)


def _file(entry: Entry, title: str, row: Row) -> Check:
    if entry.is_slim:
        size = bytes_text(entry.slim_place.stat().st_size)
        return Check(name="files", good=True, said=f"{title}: {entry.slim_place}, {size}, slim copy")
    if missing := entry.missing():
        state = "not there" if not entry.place.exists() else f"not complete ({missing[0]})"
        advice = f"run moca weights fetch {row.name}"
        return Check(name="files", good=False, said=f"{title}: {entry.place} is {state}", advice=advice)
    return Check(name="files", good=True, said=f"{title}: {entry.place}, {bytes_text(entry.size or 0)}")


def _memory(row: Row, device: str) -> Check:
    """Weights of all parts and what computing takes, against what is free."""
    weights, slim = _weight_bytes(row)
    work = MINI_WORK_BYTES if row.bundled else WORK_BYTES
    need = f"about {bytes_text(weights + work)} needed, {bytes_text(weights)} of them weights in float32"
    if slim:
        need = f"about {bytes_text(slim + work)} needed, {bytes_text(slim)} of them weights, the slim copy in bfloat16"
    elif not row.bundled and fetched_entry(row.encoder, "encoder"):
        saved = 2 * (fetched_entry(row.encoder, "encoder").parameters or 0)
        need += f" ({bytes_text(weights + work - saved)} with the encoder in bfloat16, see moca weights slim)"
    free, where = _free_bytes(device)
    if free is None:
        return Check(name="memory", good=True, said=f"{need}; how much is free is not known", left_out=True)
    advice = "close other programs, or use --model huge-lite, moca weights slim imagebind-huge, or another machine"
    enough = free >= (slim or weights) + work
    return Check(name="memory", good=enough, said=f"{need}; {bytes_text(free)} free {where}", advice=advice)


def _weight_bytes(row: Row) -> tuple[int, int]:
    """Bytes of weights of a row's parts in float32, and with the slim copy of its encoder, 0 where there is none."""
    states, names = {state.name: state for state in models()}, model_names(row)
    needs = {role: states[names[role]].needs or 0 for role in SEGMENTING}
    weights = sum(needs.values())
    entry = None if row.encoder == BUNDLED else fetched_entry(row.encoder, "encoder")
    slim = entry is not None and entry.is_slim
    return weights, weights - needs["encoder"] + entry.slim_place.stat().st_size if slim else 0


def _free_bytes(device: str) -> tuple[int | None, str]:
    """Memory that is free on a device, and where that is."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0], f"on {device}"
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        known = dict(line.split(":") for line in lines)
        return 1024 * int(known["MemAvailable"].split()[0]), "here"
    except (OSError, KeyError, ValueError):
        return None, ""


def _device_text(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        number = torch.device(device).index or 0
        rounded = "computes in bfloat16" if torch.cuda.is_bf16_supported() else "has no bfloat16"
        return f"{device}, {torch.cuda.get_device_name(number)}, {rounded}"
    return f"{device}, {torch.get_num_threads()} threads; a GPU is many times faster"


def _step(model: str, device: str) -> Check:
    """One drawn frame with its second of sound, from loading to masks."""
    from moca.segmenter import Segmenter

    began = time.perf_counter()
    try:
        segmenter = Segmenter.load(model, device=device)
        loaded = time.perf_counter()
        (result,) = segmenter.segment_steps([drawn_step()])
    except InputError as error:
        return Check(name="step", good=False, said="a drawn frame and its sound cannot be segmented", advice=str(error))
    done = time.perf_counter()
    found = result.reason or f"{result.mask.mean():.0%} of the frame masked"
    if result.proposals is not None:
        found += f", {len(result.proposals.matched)} of {len(result.proposals)} proposals"
    said = f"loaded in {loaded - began:.1f} s, one step in {done - loaded:.1f} s{_peak_text(device)}; {found}"
    return Check(name="step", good=True, said=said)


def drawn_step() -> Step:
    """An object of Soundstage and a second of its sound."""
    from moca.core.step import Step
    from moca.stage import SAMPLE_RATE_HZ, sample_frame

    scene, rate_hz = sample_frame(7, "single", size=STEP_SIDE), SAMPLE_RATE_HZ
    frame, sound = scene.frame, scene.audio
    return Step(index=0, start_s=0.0, end_s=1.0, frame_s=0.0, frame=frame, audio=sound, sample_rate_hz=rate_hz)


def _peak_text(device: str) -> str:
    """The most memory that was held so far, of the process and of the GPU."""
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = f", peak {bytes_text(kibibytes * (1 if sys.platform == 'darwin' else 1024))}"
    if device.startswith("cuda"):
        import torch

        text += f" and {bytes_text(torch.cuda.max_memory_allocated(device))} of the GPU"
    return text
