"""The evaluations that tables need: run where they are missing, read where they are there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moca.core.files import write_json_whole
from moca.core.method import Method
from moca.core.progress import Progress, named, silent
from moca.errors import InputError
from moca.evaluation import EvaluationResult, evaluate, read_results, write_results
from moca.evaluation.variants import FROZEN, variants_of
from moca.methods import OWN, load_method
from moca.reproduce.config import ReproduceConfig
from moca.reproduce.figures import Measured
from moca.reproduce.sets import ClipSet
from moca.reproduce.specs import Run
from moca.reproduce.trainings import Trainings
from moca.version import __version__

CONTROLS = ("muted", "swapped")
ONCE = "once"
RECORD = "run.json"


class NotRun(Exception):
    """A method that cannot be loaded; its text says why, in one line."""


class Runs:
    """All runs of a reproduction, below out/runs.

    trainings: where trained models come from. sets: data sets by name. progress: told after every clip.
    """

    def __init__(
        self,
        config: ReproduceConfig,
        trainings: Trainings,
        sets: Mapping[str, ClipSet],
        progress: Progress = silent,
    ) -> None:
        self.config, self.trainings, self.sets, self.progress = config, trainings, sets, progress
        self._known: dict[tuple[str, int | None, str], EvaluationResult] = {}
        self._loaded: tuple[tuple[str, int | None], Method, dict[str, Method]] | None = None

    def measured(self, run: Run, data: str) -> Measured:
        """A run on a data set, over its seeds; what is missing is trained and run.

        Raises NotRun where the method cannot be loaded here.
        """
        seeds = () if run.training is None else self.config.seeds
        return Measured(seeds=seeds, results=tuple(self._result(run, seed, data) for seed in seeds or (None,)))

    def place(self, run: Run, seed: int | None, data: str) -> Path:
        """The folder of the results of a run with one seed, None for one without, on a data set."""
        return self.config.out / "runs" / run.name / (ONCE if seed is None else f"seed-{seed}") / data

    def _result(self, run: Run, seed: int | None, data: str) -> EvaluationResult:
        key = (run.name, seed, data)
        if key not in self._known:
            depends = self._depends(run, seed, data)
            # What another method's defaults and weights are, only it knows: it is loaded, and finished clips are read.
            finished = _finished(self.place(run, seed, data), depends) if run.method == OWN else None
            self._known[key] = finished or self._evaluate(run, seed, data, depends)
        return self._known[key]

    def _depends(self, run: Run, seed: int | None, data: str) -> dict[str, Any]:
        """All that a result depends on, as JSON values, known without loading a model that runs."""
        model: dict[str, Any] = {"model": self.config.model, "weights": self.trainings.weights}
        if run.training is not None:
            model["training"] = self.trainings.settings(run.training, seed).to_dict()
            model["trained_on"] = self.trainings.data
        used = self.sets[data]
        return {
            "version": __version__,
            "method": run.method,
            "settings": {**_needed(run, used), **run.settings},
            **model,
            "clips": used.fingerprint(),
            "protocol": used.protocol.basis,
            "controls": list(CONTROLS),
        }

    def _evaluate(self, run: Run, seed: int | None, data: str, depends: dict[str, Any]) -> EvaluationResult:
        method, variants = self._load(run, seed)
        used, folder = self.sets[data], self.place(run, seed, data)
        name = run.name if seed is None else f"{run.name}, seed {seed}"
        result = evaluate(
            method,
            used.clips,
            protocol=used.protocol,
            controls=CONTROLS,
            variants=variants,
            cache=self.config.out / "clips",
            progress=named(f"{name}, {used.title}", self.progress),
            data=used.about,
            settings=_needed(run, used),
        )
        write_results(folder, {name: result})
        write_json_whole(folder / RECORD, depends)  # last: it says the rest is whole
        return result

    def _load(self, run: Run, seed: int | None) -> tuple[Method, dict[str, Method]]:
        """The method and what is run beside it; the last one is kept for the next data set."""
        key = (run.name, seed)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # let go of it first: two large models may not fit
            model = self.config.model if run.training is None else str(self.trainings.trained(run.training, seed))
            try:
                method = load_method(run.method, model, device=self.config.device, settings=run.settings)
            except InputError as error:
                raise NotRun(str(error)) from None
            self._loaded = key, method, _without_adapters(method)
        return self._loaded[1:]


def _needed(run: Run, used: ClipSet) -> dict[str, Any]:
    """Settings of MoCA that the data set's protocol needs, but for those that the run sets itself."""
    if run.method != OWN:
        return {}
    return {name: value for name, value in used.settings.items() if name not in run.settings}


def _without_adapters(method: Method) -> dict[str, Method]:
    """The same model without its adapters, everything else the same; nothing for a method that has none."""
    return {name: variant for name, variant in variants_of(method).items() if name == FROZEN}


def _finished(folder: Path, depends: dict[str, Any]) -> EvaluationResult | None:
    """The result in a folder, None where there is none, or one that depends on something else."""
    try:
        stored = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if stored != json.loads(json.dumps(depends)):
            return None
        (result,) = read_results(folder).values()
    except (OSError, ValueError):  # an InputError is a ValueError
        return None
    return result
