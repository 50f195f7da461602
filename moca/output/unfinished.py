"""What a run has written so far: a stopped run goes on where it was, and no step is segmented twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from moca.core.maps import size_within
from moca.core.step import Proposals, StepResult
from moca.errors import InputError
from moca.output.segments_json import StoredSteps, step_record

PARTIAL = ".moca-partial"
HEAT_PX = 480  # longer side of a stored heat map or proposal; only the report's small pictures are made from them


class UnfinishedRun:
    """The hidden folder inside a target in which a run builds its products.

    settings: of the run; what an earlier run with other settings left there is thrown away. records: the steps
    that are finished, as `step_record` makes them. Raises InputError when the target cannot be written.
    """

    def __init__(self, target: Path, settings: dict[str, Any]) -> None:
        self.target, self.folder, self.records = target, target / PARTIAL, []
        self._was_there = target.exists()
        text = json.dumps(settings, sort_keys=True)
        try:
            target.mkdir(parents=True, exist_ok=True)
            if not self._holds(text):
                shutil.rmtree(self.folder, ignore_errors=True)
                for name in ("masks", "heat", "proposals"):
                    (self.folder / name).mkdir(parents=True)
                (self.folder / "settings.json").write_text(text)
        except OSError as error:
            raise InputError(
                f"output folder {target} cannot be written ({error.strerror}); choose a folder you may write to "
                "with -o."
            ) from None
        self._lines = self.folder / "steps.jsonl"
        self.records = list(self._read())

    def _holds(self, settings: str) -> bool:
        try:
            return (self.folder / "settings.json").read_text() == settings
        except OSError:
            return False

    def _read(self) -> Iterator[dict]:
        """Finished steps; a line that was cut off by a kill, and all after it, do not count."""
        if not self._lines.is_file():
            return
        kept = []
        for line in self._lines.read_text().splitlines():
            try:
                kept.append((json.loads(line), line))
            except ValueError:
                break
        self._lines.write_text("".join(f"{line}\n" for _, line in kept))
        yield from (record for record, _ in kept)

    def add(self, result: StepResult) -> None:
        """Write a step's mask, heat map and proposals, then the line that says it is finished."""
        record = step_record(result)
        _write_png(self.folder / record["mask"], result.mask.astype(np.uint8) * 255)
        size = size_within(result.heat.shape, HEAT_PX)
        heat = cv2.resize(result.heat, size[::-1], interpolation=cv2.INTER_AREA)
        _write_png(self.folder / "heat" / Path(record["mask"]).name, np.round(heat * 255).astype(np.uint8))
        if result.proposals is not None:
            _write_proposals(self.folder / "proposals" / f"{result.index:06d}.npz", result.proposals, size)
        with self._lines.open("a") as stream:
            stream.write(json.dumps(record, allow_nan=False) + "\n")
        self.records.append(record)

    def finished_steps(self) -> Iterator[StepResult]:
        """The steps that were finished when this object was made, read back one at a time."""
        stored = StoredSteps(self.folder, self.records)
        yield from (stored.load(record) for record in self.records[:])

    def discard(self) -> None:
        """Remove the folder, and the target with it where this run made it and nothing else is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self._was_there:
            with suppress(OSError):
                self.target.rmdir()


def _write_png(path: Path, picture: np.ndarray) -> None:
    ok, data = cv2.imencode(".png", picture)
    if not ok:
        raise RuntimeError(f"the PNG encoder refused a picture of shape {picture.shape}")
    path.write_bytes(data.tobytes())


def _write_proposals(path: Path, proposals: Proposals, size: tuple[int, int]) -> None:
    """Keep proposals at the size (h, w), eight pixels a byte, with their figures."""
    small = np.zeros((len(proposals), *size), bool)
    for index, mask in enumerate(proposals.masks):
        small[index] = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    np.savez_compressed(
        path,
        masks=np.packbits(small, axis=2),
        width=size[1],
        scores=proposals.scores,
        overlaps=proposals.overlaps,
    )
