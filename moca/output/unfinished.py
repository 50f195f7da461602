"""The folder in which a run is built: a stopped run goes on where it was, and no step is segmented twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from moca.core.files import write_text_whole
from moca.core.maps import size_within
from moca.core.step import Proposals, StepResult
from moca.errors import InputError
from moca.media.collecting import PARTIAL
from moca.output.records import StoredSteps, heat_path, proposals_path, step_record

HEAT_PX = 480  # longer side of a stored heat map or proposal; only the report's small pictures are made from them


class UnfinishedRun:
    """The hidden folder inside a target in which a run builds its products.

    target: the folder that the products go to in the end; made where it is not there. settings: of the run; what an
    earlier run with other settings left is thrown away. Raises InputError when the target cannot be written.
    """

    folder: Path
    """The hidden folder: settings.json, steps.jsonl with a record a line, and pictures in masks, heat and proposals."""
    records: list[dict]
    """Of the steps that are finished, as `step_record` makes them; read `finished_steps` to the end before use."""

    def __init__(self, target: Path, settings: dict[str, Any]) -> None:
        self.target, self.folder = target, target / PARTIAL
        self._lines = self.folder / "steps.jsonl"
        self._was_there = target.exists()
        try:
            target.mkdir(parents=True, exist_ok=True)
            self.records = self._open(json.dumps(settings, sort_keys=True))
        except OSError as error:
            raise InputError(
                f"output folder {target} cannot be written ({error.strerror}); choose a folder you may write to "
                "with -o."
            ) from None

    def _open(self, settings: str) -> list[dict]:
        """Make the folder ready; the records of an earlier run with the same settings, none where they are others."""
        path = self.folder / "settings.json"
        try:
            records = self._read() if path.read_text(encoding="utf-8") == settings else None
        except (OSError, UnicodeDecodeError):
            records = None
        if records is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("masks", "heat", "proposals"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if records is None:
            write_text_whole(path, settings)
        else:
            self._write_lines(records)
        return records or []

    def _read(self) -> list[dict]:
        """Records, up to the first line that is none: a kill may have cut it off, or a disk may have spoilt it."""
        records = []
        for line in self._lines.read_bytes().splitlines() if self._lines.exists() else ():
            try:
                record = json.loads(line.decode("utf-8"))
            except ValueError:
                break
            if not isinstance(record, dict):
                break
            records.append(record)
        return records

    def finished_steps(self) -> Iterator[StepResult]:
        """The steps that were finished when this object was made, read back one at a time.

        It ends before the first step of which anything is missing or damaged; that step, and all after it, no longer
        count as finished.
        """
        stored, intact = StoredSteps(self.folder, self.records), 0
        for position, record in enumerate(self.records):
            result = self._intact(stored, position, record)
            if result is None:
                break
            intact += 1
            yield result
        del self.records[intact:]
        self._write_lines(self.records)

    def _intact(self, stored: StoredSteps, position: int, record: dict) -> StepResult | None:
        """The step of a record if all its files are there and say what the record says, else None."""
        try:
            result = stored.load(record)
        except InputError:
            return None
        whole = heat_path(self.folder, position).is_file() and step_record(result) == record
        return result if whole and result.index == position else None

    def _write_lines(self, records: list[dict]) -> None:
        write_text_whole(self._lines, "".join(f"{json.dumps(record)}\n" for record in records))

    def add(self, result: StepResult) -> None:
        """Write a step's mask, heat map and proposals, then the line that says it is finished."""
        record = step_record(result)
        _write_png(self.folder / record["mask"], result.mask.astype(np.uint8) * 255)
        size = size_within(result.heat.shape, HEAT_PX)
        heat = cv2.resize(result.heat, size[::-1], interpolation=cv2.INTER_AREA)
        _write_png(heat_path(self.folder, result.index), np.round(heat * 255).astype(np.uint8))
        if result.proposals is not None:
            _write_proposals(proposals_path(self.folder, result.index), result.proposals, size)
        with self._lines.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, allow_nan=False) + "\n")
        self.records.append(record)

    def discard(self) -> None:
        """Remove the folder, and the target with it where this run made it and nothing else is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self._was_there:
            with suppress(OSError):
                self.target.rmdir()


def _write_png(path: Path, picture: np.ndarray) -> None:
    encoded, data = cv2.imencode(".png", picture)
    if not encoded:
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
        overlaps=proposals.measured,
    )
