"""What a training run depends on, and the two presets: the paper's recipe and ours."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from moca.adapters import AdaAVConfig, Placement, Reading
from moca.core.settings import Settings, setting
from moca.errors import InputError
from moca.mining import MiningConfig

CONFIG_FORMAT = 1
Normalise = Literal["raw", "l2"]
SsdScale = Literal["sum", "mean"]
Search = Literal["scanline", "plane"]
ReadOut = Literal["cosine", "learned"]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True, kw_only=True)
class MatchingConfig(Settings):
    """How two feature maps are matched and how far apart positives and negatives must be."""

    ssd: float = setting(1.0, help="Weight of the squared distance, not 0 together with ncc.", least=0)
    ncc: float = setting(1.0, help="Weight of the correlation term, not 0 together with ssd.", least=0)
    literal_sign: bool = setting(
        False, help="True adds + NCC as the paper prints it; false adds 1 - NCC, which is a cost."
    )
    normalise: Normalise = setting(
        "raw", help="With l2 every pixel's feature gets unit length first; raw takes features as they come."
    )
    ssd_scale: SsdScale = setting(
        "sum", help="SSD summed over channels as in eq. 2, or its mean, which does not grow with the width."
    )
    search: Search = setting(
        "scanline", help="Candidates of a pixel: its own row (scanline, the paper) or the whole map (plane)."
    )
    disparity_range: int | None = setting(
        None,
        help="Largest disparity in pixels (along both axes for plane); none allows all.",
        least=0,
        hint="use none for the whole row",
    )
    margin: float = setting(0.3, help="Margin of the matching loss.", least=0, option=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ssd == 0 and self.ncc == 0:
            raise InputError("ssd and ncc must not both be 0 (every match would cost the same); raise one.")


@dataclass(frozen=True, kw_only=True)
class LabelConfig(Settings):
    """How pseudo-labels are made from the frozen encoder: which patches a sound belongs to; see `pseudo_labels`."""

    reading: Reading | None = setting(
        None,
        help="How the frozen patches are read; none takes the encoder's own way. A class-token encoder needs value2.",
    )
    cosine: float = setting(
        2.0, help="Weight of the patches' agreement with the sound (z-scored over the frame).", least=0
    )
    contrast: float = setting(
        1.0,
        help="Weight of the match contrast (z-scored): matched in frames that sound alike, not in others; 0 leaves it "
        "out.",
        least=0,
    )
    alike: int = setting(10, help="Frames of the most similar sounds that a patch is matched with.", least=1)
    unlike: int = setting(20, help="Frames out of the less similar half that it must not match.", least=1)
    refine: bool = setting(True, help="Snap the region to the picture's edges with GrabCut, which needs no training.")
    raise_threshold: float = setting(
        0.25, help="Added to each frame's Otsu threshold, in standard deviations of its score."
    )
    absent: float = setting(
        5.0,
        help="Percentile of the presence of the frames' own sounds, below which a sound counts as absent.",
        least=0,
        most=100,
    )
    present: float = setting(
        30.0,
        help="The same, above which another clip's sound counts as present; what lies between teaches nothing.",
        least=0,
        most=100,
    )
    other_sounds: int = setting(
        2, help="Sounds of other clips that every frame is labelled for, besides its own.", least=0
    )
    seed: int = setting(
        0,
        help="Seed of which sounds and frames are compared; not the run's, so that runs of several seeds share labels.",
        least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cosine + self.contrast == 0:
            raise InputError("cosine and contrast must not both be 0; raise one.")
        if not self.absent <= self.present:
            raise InputError(f"absent must be at most present, got {self.absent:g} and {self.present:g}; change one.")

    def within(self, frames: int) -> dict[str, int]:
        """What must be lowered, by name and how far, for labels of so few frames of other videos.

        The ratio of frames that are alike and unlike stays. Nothing where no lowering would do.
        """
        if frames < 2:
            return {}
        lower: dict[str, int] = {}
        if self.contrast and self.alike + self.unlike > frames:
            alike = max(1, frames * self.alike // (self.alike + self.unlike))
            lower = {"alike": alike, "unlike": frames - alike}
        return lower | ({"other_sounds": frames} if self.other_sounds > frames else {})


@dataclass(frozen=True, kw_only=True)
class LoopConfig(Settings):
    """How the loop runs, whatever is learnt."""

    steps: int = setting(400, help="Optimiser steps.", least=1, option=True)
    warmup: int = setting(20, help="Steps over which the rate rises linearly.", least=0)
    schedule: Schedule = setting("cosine", help="How the rate falls after the warm-up.")
    clip_norm: float | None = setting(1.0, help="Largest norm of the gradient; none does not clip.", above=0)
    seed: int = setting(0, help="Seed of initial values, batches and negatives.", least=0, option=True)
    checkpoint_every: int = setting(100, help="Steps between checkpoints.", least=1, option=True)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values with a format number; `from_dict` restores it."""
        return {"format": CONFIG_FORMAT, **self.to_json()}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Rebuild a configuration; another format and unknown or missing keys are refused by name."""
        number = values.get("format") if isinstance(values, dict) else CONFIG_FORMAT
        if number != CONFIG_FORMAT:
            raise InputError(f"a training configuration must have format {CONFIG_FORMAT}, got {number!r}; train again.")
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if name != "format"}
        return cls.from_json(values, title="training")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LoopConfig):
    """The loop's settings and what is learnt: all that a run's result depends on besides encoder and videos."""

    preset: str = setting("moca", help="Name of the preset that the values come from; kept for the record.")
    batch: int = setting(16, help="Frames per step, over all devices together.", least=1, option=True)
    lr: float = setting(4e-3, help="Learning rate of the adapters (Adam).", above=0, option=True)
    readout_lr: float = setting(1e-2, help="Learning rate of the read-out.", above=0)
    placement: Placement = setting("last", help="Which image blocks are adapted.", option=True)
    blocks: int | None = setting(
        None,
        help="How many image blocks are adapted; none takes the paper's 6, or two thirds of a shallower trunk.",
        least=1,
        option=True,
    )
    bottleneck: int | None = setting(None, help="Width of the adapters; none takes 64 (ImageBind-Huge) or 32.", least=1)
    latents: int | None = setting(None, help="Latent audio tokens; none takes half the bottleneck.", least=1)
    readout: ReadOut = setting(
        "learned",
        help="How audio-enhanced patches become a score: their cosine with the sound, or one learned vector that does "
        "not hear it, so that only what the adapters put there counts.",
    )
    matching: float = setting(0.0, help="Weight of the pixel matching loss (the paper's).", least=0)
    pixel_matching: MatchingConfig = setting(default_factory=MatchingConfig, help="Cost and margin of pixel matching.")
    mining: MiningConfig = setting(
        default_factory=lambda: MiningConfig(source="audio"), help="Who is a positive and who a negative."
    )
    distillation: float = setting(1.0, help="Weight of the pseudo-label loss.", least=0)
    labels: LabelConfig = setting(default_factory=LabelConfig, help="How the pseudo-labels are made.")
    dice: float = setting(0.5, help="Weight of the overlap (soft Dice) term beside the cross-entropy.", least=0)
    noise: float = setting(
        0.25,
        help="Share of the other sounds that are steady noise instead, which nothing in a picture makes.",
        least=0,
        most=1,
    )
    keep: float = setting(0.5, help="Share of patch tokens the distillation sees in a step.", above=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.matching + self.distillation == 0:
            raise InputError("matching and distillation must not both be 0; raise one.")
        if self.readout == "learned" and not self.distillation > 0:
            raise InputError(
                f"distillation must be above 0 when the read-out is learned, got {self.distillation}; change it."
            )

    def adapter_sizes(self, image_width: int) -> AdaAVConfig:
        """Size of every adapter for an image tower of the given width."""
        bottleneck = self.bottleneck or (64 if image_width >= 512 else 32)
        return AdaAVConfig(bottleneck=bottleneck, latents=self.latents or max(1, bottleneck // 2))


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
        raise InputError(f"--preset must be one of {', '.join(PRESETS)}, got {name!r}; choose one of them.")
    if unknown := changes.keys() - {item.name for item in fields(TrainConfig)}:
        raise InputError(f"{', '.join(sorted(unknown))} is no training setting; see `moca train --help`.")
    return replace(PRESETS[name], **changes)
