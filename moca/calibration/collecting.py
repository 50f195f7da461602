"""Videos to scores of pairs: read once, in random order, kept per video until the calibration is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from moca.calibration.config import CalibrationConfig
from moca.calibration.pairs import MATCHING, OFFSCREEN, content_print, pairs_of
from moca.calibration.scoring import PairScorer, PairScores, scored
from moca.core.files import written_whole
from moca.core.progress import Progress, silent
from moca.core.step import Step
from moca.corpus.sources import ReadingConfig, Source
from moca.errors import InputError
from moca.segmentation.gate import why_silent
from moca.version import __version__

_DAMAGES = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
ByKind = dict[str, PairScores]


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Scores of the pairs that one video made."""

    name: str
    """Of the video."""
    content: str
    """Fingerprint of the frames and sounds that were looked at."""
    sounding: int
    """How many of its frames have sound."""
    parts: dict[str, ByKind]
    """By scorer and kind; nothing for a video without sound."""


@dataclass(kw_only=True)
class Collected:
    """What was found in all videos."""

    videos: list[VideoScores] = field(default_factory=list)
    """Those with sound, in the order in which they were read."""
    without_sound: list[str] = field(default_factory=list)
    """Names of videos in which nothing is loud enough to be heard."""
    broken: dict[str, str] = field(default_factory=dict)
    """Videos that cannot be read, and why."""
    offscreen: list[VideoScores] = field(default_factory=list)
    """Videos in which nothing that is seen makes the sound."""

    @property
    def sounding(self) -> int:
        """Frames with sound."""
        return sum(video.sounding for video in self.videos)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for all frames and sounds that were looked at, off-screen ones included."""
        contents = [[video.content for video in videos] for videos in (self.videos, self.offscreen)]
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]

    def of(self, part: str, kind: str) -> PairScores | None:
        """All pairs of a kind by one scorer; None where there are none."""
        videos = self.offscreen if kind == OFFSCREEN else self.videos
        found = [video.parts[part][kind] for video in videos if kind in video.parts[part]]
        if not found:
            return None
        scores, patches = zip(*found, strict=True)
        return PairScores(
            np.concatenate(scores), np.concatenate([each for each in patches if each.size] or patches[:1])
        )


def collect(
    scorers: Mapping[str, PairScorer],
    sources: Sequence[Source],
    reading: ReadingConfig,
    config: CalibrationConfig,
    keep: Path,
    *,
    offscreen: Sequence[Source] = (),
    progress: Progress = silent,
) -> Collected:
    """Score the pairs of videos, in an order that the seed draws, until `frames` frames with sound were looked at.

    scorers: by part. The sound that is swapped in is that of the video with sound before it; the first one has no such
    pairs. keep: a folder with one file per finished video, so that a stopped run goes on; whoever is done removes it.
    Of `offscreen` as many frames are looked at.
    """
    store = _Store(keep, scorers, reading, config)
    found = Collected()
    for sources_of_kind, videos, kind in ((sources, found.videos, MATCHING), (offscreen, found.offscreen, OFFSCREEN)):
        looked_at, donor = 0, None
        for done, source in enumerate(_shuffled(sources_of_kind, config.seed), start=1):
            try:
                video, donor = store.find(source, donor, kind) or store.score(source, donor, kind)
            except InputError as error:
                found.broken[source.name] = str(error)
                continue
            if video.sounding:
                videos.append(video)
            else:
                found.without_sound.append(video.name)
            looked_at += video.sounding
            enough = looked_at >= config.frames
            more = -(-max(0, config.frames - looked_at) // config.steps_per_video)
            progress(f"scoring {kind} pairs", done, done if enough else min(len(sources_of_kind), done + max(1, more)))
            if enough:
                break
    return found


def _shuffled(sources: Sequence[Source], seed: int) -> Iterator[Source]:
    """Neighbours in a folder are often of one class, which a swapped sound must not be more often than by chance."""
    return (sources[index] for index in np.random.default_rng(seed).permutation(len(sources)))


@dataclass(kw_only=True)
class _Donor:
    """The last video with sound, whose sounds are swapped into the next one."""

    source: Source
    steps: list[Step] | None
    """Its steps with sound; None until they are needed, where its scores were found."""


class _Store:
    """Scores per video, in files that belong to everything they depend on."""

    def __init__(
        self, folder: Path, scorers: Mapping[str, PairScorer], reading: ReadingConfig, config: CalibrationConfig
    ) -> None:
        self.folder, self.scorers, self.reading, self.config = folder, scorers, reading, config
        self.loudness = {scorer.config.silence_dbfs for scorer in scorers.values()}
        depends: dict[str, Any] = {
            "version": __version__,
            "seed": config.seed,
            "reading": reading.to_json(),
            "scorers": {
                name: [scorer.gates, scorer.config.to_json(), dict(scorer.fingerprints)]
                for name, scorer in scorers.items()
            },
        }
        self.basis = json.dumps(depends, sort_keys=True)

    def find(self, source: Source, donor: _Donor | None, kind: str) -> tuple[VideoScores, _Donor | None] | None:
        """What was kept of a video; None where nothing was, or a damaged file."""
        path = self._path(source, donor, kind)
        try:
            with np.load(path, allow_pickle=False) as stored:
                parts: dict[str, ByKind] = {name: {} for name in self.scorers}
                for name in stored.files:
                    part, _, rest = name.partition("/")
                    if rest.endswith("/scores"):
                        of_kind = rest.removesuffix("/scores")
                        parts[part][of_kind] = PairScores(stored[name], stored[f"{part}/{of_kind}/agreement"])
                video = VideoScores(
                    name=source.name, content=str(stored["content"]), sounding=int(stored["sounding"]), parts=parts
                )
        except _DAMAGES:
            return None
        return video, _Donor(source=source, steps=None) if video.sounding else donor

    def score(self, source: Source, donor: _Donor | None, kind: str) -> tuple[VideoScores, _Donor | None]:
        """Read a video, score its pairs and keep them; kind: matching, or off-screen for a video of negatives."""
        path, steps = self._path(source, donor, kind), self._sounding(source)
        if donor is not None and donor.steps is None:
            donor.steps = self._sounding(donor.source)
        if not steps:
            pairs = {}
        elif kind == OFFSCREEN:
            pairs = {OFFSCREEN: steps}
        else:
            pairs = pairs_of(steps, donor.steps if donor else [], name=source.name, seed=self.config.seed)
        parts = {name: scored(scorer, pairs) for name, scorer in self.scorers.items()}
        video = VideoScores(name=source.name, content=content_print(steps), sounding=len(steps), parts=parts)
        arrays = {"content": np.array(video.content), "sounding": np.array(video.sounding)}
        for part, kinds in parts.items():
            for of_kind, found in kinds.items():
                arrays[f"{part}/{of_kind}/scores"], arrays[f"{part}/{of_kind}/agreement"] = found
        with written_whole(path) as temporary:
            np.savez(temporary, **arrays)
        return video, _Donor(source=source, steps=steps) if steps else donor

    def _sounding(self, source: Source) -> list[Step]:
        """The steps of a video that are loud enough for every scorer."""
        steps = source.spread_steps(self.reading)
        return [step for step in steps if not any(why_silent(step, level) for level in self.loudness)]

    def _path(self, source: Source, donor: _Donor | None, kind: str) -> Path:
        given = None if donor is None or kind == OFFSCREEN else [donor.source.name, donor.source.stamp()]
        key = json.dumps([self.basis, kind, source.name, source.stamp(), given])
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


def remove_kept(folder: Path) -> None:
    """Remove what `collect` kept, once it is no longer needed."""
    shutil.rmtree(folder, ignore_errors=True)
