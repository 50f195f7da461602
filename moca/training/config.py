"""What a training run depends on, and the two presets: the paper's recipe and ours."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from moca.adapters import AdaAVConfig, Placement
from moca.errors import InputError
from moca.foundation.imagebind.config import Reading
from moca.mining import MiningConfig
from moca.training.losses.pixel_matching import MatchingConfig

CONFIG_FORMAT = 1
ReadOut = Literal["cosine", "learned"]
Schedule = Literal["cosine", "constant"]


def _check(holds: bool, name: str, rule: str, value: Any) -> None:
    if not holds:
        raise InputError(f"{name} must be {rule}, got {value!r}; change it.")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_keys(kind: type, values: Any, title: str) -> None:
    if not isinstance(values, dict):
        raise InputError(f"the {title} configuration must be a JSON object, got {type(values).__name__}; restore it.")
    known = {item.name for item in fields(kind)}
    for problem, names in (("unknown", values.keys() - known), ("missing", known - values.keys())):
        if names:
            raise InputError(f"the {title} configuration has {problem} keys: {', '.join(sorted(names))}; restore it.")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """How pseudo-labels are made from the frozen encoder: which patches a sound belongs to; see `labels.py`."""

    reading: Reading | None = None
    """How the frozen patches are read; None takes the encoder's own way. A class-token encoder needs "value2"."""
    cosine: float = 2.0
    """Weight of the patches' agreement with the sound (z-scored over the frame)."""
    contrast: float = 1.0
    """Weight of the match contrast (z-scored): matched in frames that sound alike, not in others; 0 leaves it out."""
    alike: int = 10
    """Frames of the most similar sounds that a patch is matched with."""
    unlike: int = 20
    """Frames out of the less similar half that it must not match."""
    refine: bool = True
    """Snap the region to the picture's edges with GrabCut (Rother et al., 2004), which needs no training."""
    raise_threshold: float = 0.25
    """Added to each frame's Otsu threshold, in standard deviations of its score."""
    absent: float = 5.0
    """Percentile of the presence of the frames' own sounds, below which a sound counts as absent."""
    present: float = 30.0
    """The same, above which another clip's sound counts as present; what lies between teaches nothing."""
    other_sounds: int = 2
    """Sounds of other clips that every frame is labelled for, besides its own."""
    seed: int = 0
    """Seed of which sounds and frames are compared; not the run's, so that runs of several seeds share their labels."""

    def __post_init__(self) -> None:
        choices = (None, *get_args(Reading))
        _check(self.reading in choices, "reading", f"one of {', '.join(map(str, choices))}", self.reading)
        for name in ("cosine", "contrast"):
            value = getattr(self, name)
            _check(_number(value) and 0 <= value < math.inf, name, "a number of at least 0", value)
        _check(_number(self.raise_threshold), "raise_threshold", "a finite number", self.raise_threshold)
        _check(isinstance(self.refine, bool), "refine", "true or false", self.refine)
        _check(_whole(self.seed, 0), "seed", "a whole number of at least 0", self.seed)
        for name in ("absent", "present"):
            _check(_number(getattr(self, name)), name, "a percentile from 0 to 100", getattr(self, name))
        _check(self.cosine + self.contrast > 0, "cosine and contrast", "not both 0", 0)
        for name in ("alike", "unlike"):
            _check(_whole(getattr(self, name), 1), name, "a whole number of at least 1", getattr(self, name))
        _check(_whole(self.other_sounds, 0), "other_sounds", "a whole number of at least 0", self.other_sounds)
        _check(0 <= self.absent <= self.present <= 100, "absent and present", "rising percentiles", self.absent)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything a run's result depends on, besides the encoder and the videos."""

    preset: str = "moca"
    """Name of the preset the values come from; kept for the record."""
    steps: int = 400
    """Optimiser steps."""
    batch: int = 16
    """Anchor frames per step, over all devices together."""
    lr: float = 4e-3
    """Learning rate of the adapters (Adam)."""
    readout_lr: float = 1e-2
    """Learning rate of the read-out."""
    warmup: int = 20
    """Steps over which the rate rises linearly."""
    schedule: Schedule = "cosine"
    """How the rate falls after the warm-up."""
    clip_norm: float | None = 1.0
    """Largest norm of the gradient; None does not clip."""
    placement: Placement = "last"
    """Which image blocks are adapted."""
    blocks: int | None = None
    """How many; None takes the paper's 6, or two thirds of a shallower trunk."""
    bottleneck: int | None = None
    """Width of the adapters; None takes 64 (ImageBind-Huge) or 32."""
    latents: int | None = None
    """Latent audio tokens; None takes half the bottleneck."""
    readout: ReadOut = "learned"
    """How audio-enhanced patches become a score: their cosine with the sound, or one learned vector that does not
    hear it, so that only what the adapters put there counts."""
    matching: float = 0.0
    """Weight of the pixel matching loss (the paper's)."""
    pixel_matching: MatchingConfig = field(default_factory=MatchingConfig)
    """Its cost and margin."""
    mining: MiningConfig = field(default_factory=lambda: MiningConfig(source="audio"))
    """Who is a positive and who a negative."""
    distillation: float = 1.0
    """Weight of the pseudo-label loss."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """How the pseudo-labels are made."""
    dice: float = 0.5
    """Weight of the overlap (soft Dice) term beside the cross-entropy."""
    noise: float = 0.25
    """Share of the other sounds that are steady noise instead, which nothing in a picture makes."""
    keep: float = 0.5
    """Share of patch tokens the distillation sees in a step."""
    seed: int = 0
    """Seed of initial values, batches and negatives."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_every"):
            _check(_whole(getattr(self, name), 1), name, "a whole number of at least 1", getattr(self, name))
        for name in ("warmup", "seed"):
            _check(_whole(getattr(self, name), 0), name, "a whole number of at least 0", getattr(self, name))
        for name in ("blocks", "bottleneck", "latents"):
            value = getattr(self, name)
            _check(value is None or _whole(value, 1), name, "a whole number of at least 1, or none", value)
        clip = self.clip_norm
        _check(clip is None or (_number(clip) and clip > 0), "clip_norm", "a number above 0, or none", clip)
        for name in ("lr", "readout_lr"):
            value = getattr(self, name)
            _check(_number(value) and 0 < value < math.inf, name, "a number above 0", value)
        for name in ("matching", "distillation", "dice"):
            value = getattr(self, name)
            _check(_number(value) and 0 <= value < math.inf, name, "a number of at least 0", value)
        _check(self.matching + self.distillation > 0, "matching and distillation", "not both 0", 0)
        _check(_number(self.noise) and 0 <= self.noise <= 1, "noise", "from 0 to 1", self.noise)
        _check(_number(self.keep) and 0 < self.keep <= 1, "keep", "above 0 and at most 1", self.keep)
        for name, choices in (("readout", ReadOut), ("schedule", Schedule), ("placement", Placement)):
            value = getattr(self, name)
            _check(value in get_args(choices), name, f"one of {', '.join(get_args(choices))}", value)
        if self.readout == "learned":
            _check(self.distillation > 0, "distillation", "above 0 when the read-out is learned", self.distillation)

    def adapter_sizes(self, image_width: int) -> AdaAVConfig:
        """Size of every adapter for an image tower of the given width."""
        bottleneck = self.bottleneck or (64 if image_width >= 512 else 32)
        return AdaAVConfig(bottleneck=bottleneck, latents=self.latents or max(1, bottleneck // 2))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values with a format number; `from_dict` restores it."""
        return {"format": CONFIG_FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Rebuild a configuration; another format and unknown or missing keys are refused by name."""
        if not isinstance(values, dict):
            raise InputError(
                f"the training configuration must be a JSON object, got {type(values).__name__}; restore it."
            )
        values = dict(values)
        number = values.pop("format", None)
        if number != CONFIG_FORMAT:
            raise InputError(f"a training configuration must have format {CONFIG_FORMAT}, got {number!r}; train again.")
        parts = {"pixel_matching": MatchingConfig, "mining": MiningConfig, "labels": LabelConfig}
        _check_keys(cls, values, "training")
        for name, kind in parts.items():
            _check_keys(kind, values[name], name)
            values[name] = kind(**values[name])
        return cls(**values)


PRESETS: dict[str, TrainConfig] = {
    "paper": TrainConfig(
        preset="paper",
        steps=10_000,
        batch=8,
        lr=1e-4,
        warmup=0,
        clip_norm=None,
        readout="cosine",
        matching=1.0,
        pixel_matching=MatchingConfig(ssd_scale="mean"),  # summed, SSD drowns NCC and leaves hardly any triplet active
        mining=MiningConfig(source="image"),
        distillation=0.0,
        keep=1.0,
        checkpoint_every=500,
    ),
    "moca": TrainConfig(bottleneck=64, latents=32, pixel_matching=MatchingConfig(ssd_scale="mean")),
}
"""paper: MoCA (arXiv 2403.14203) section 4: Adam 1e-4 with cosine decay, batch 8, 10,000 iterations, margin
0.3, image-kNN positives, shuffled negatives, last six blocks. moca: what `docs/learning.md` found to work."""


def preset(name: str, **changes: Any) -> TrainConfig:
    """A preset with some values changed. Raises InputError for an unknown preset or value."""
    if name not in PRESETS:
        raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}; choose one of them.")
    if unknown := changes.keys() - {item.name for item in fields(TrainConfig)}:
        raise InputError(f"{', '.join(sorted(unknown))} is no training setting; see `moca train --help`.")
    return replace(PRESETS[name], **changes)
