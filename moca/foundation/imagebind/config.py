"""Sizes and choices of an ImageBind model, and their JSON form."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from moca.errors import InputError
from moca.media.logmel import LogMelConfig

Stem = Literal["patch", "conv"]
Pooling = Literal["class", "dense"]
Reading = Literal["token", "value", "value2"]
CONV_STEM_STRIDE = 8
TOP_SHARE = 0.025
"""Patches that speak for a picture: the best of them, 5 of 14 x 14, 6 of 16 x 16."""


@dataclass(frozen=True, kw_only=True)
class ImageBindConfig:
    """Everything needed to build the image and the audio tower; the defaults are ImageBind-Huge."""

    image_size: int = 224
    """Side of the square pictures the positional table is made for, in pixels."""
    patch: int = 14
    """Side of an image patch, in pixels."""
    image_width: int = 1280
    """Width of the image tokens."""
    image_blocks: int = 32
    """Depth of the image tower."""
    image_heads: int = 16
    """Attention heads per image block."""
    audio_patch: int = 16
    """Side of an audio patch, in mel bins and in frames."""
    audio_stride: int = 10
    """Distance between two audio patches; below `audio_patch` they overlap."""
    audio_width: int = 768
    """Width of the audio tokens."""
    audio_blocks: int = 12
    """Depth of the audio tower."""
    audio_heads: int = 12
    """Attention heads per audio block."""
    mlp_ratio: int = 4
    """Hidden width of a block's MLP over the token width."""
    embed_dim: int = 1024
    """Width of the joint embedding."""
    stem: Stem = "patch"
    """One strided convolution (patch, official) or a stack of strided 3x3 ones (conv, small models)."""
    folded: bool = False
    """Only for a conv stem: its batch normalisation has been folded into the convolutions."""
    pooling: Pooling = "class"
    """What the towers were trained through: the image's class token (official) or its patches."""
    reading: Reading = "token"
    """How patch features are read: last block's tokens, its value path (MaskCLIP), or that of the last two blocks."""
    temperature: float = 0.1
    """Softness of dense pooling: towards 0 the best patch decides, towards infinity the mean does."""
    audio_scale: float = 20.0
    """Norm an audio embedding starts with; the weights carry the real value, at most 100 is used."""
    log_mel: LogMelConfig = field(default_factory=LogMelConfig)
    """How sounds become the audio tower's input."""

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            if f.type is int and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{f.name} must be a whole number of at least 1, got {value!r}; correct it.")
            if f.type is float and not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise InputError(f"{f.name} must be a number above 0, got {value!r}; correct it.")
            if f.type is bool and not isinstance(value, bool):
                raise InputError(f"{f.name} must be true or false, got {value!r}; correct it.")
            if (choices := get_args(f.type)) and value not in choices:
                known = " or ".join(map(repr, choices))
                raise InputError(f"{f.name} must be {known}, got {value!r}; choose one of them.")
        for kind in ("image", "audio"):
            width, heads = getattr(self, f"{kind}_width"), getattr(self, f"{kind}_heads")
            if width % heads:
                raise InputError(f"{kind}_width must be a multiple of {kind}_heads ({heads}), got {width}; change one.")
        self._check_grids()

    def _check_grids(self):
        if self.image_size % self.patch:
            raise InputError(
                f"image_size must be a multiple of patch ({self.patch}), got {self.image_size}; change one."
            )
        mel = self.log_mel
        if self.stem == "patch":
            if self.folded:
                raise InputError('folded needs stem "conv", got stem "patch"; set folded to false.')
            if min(mel.mel_bins, mel.target_frames) < self.audio_patch:
                raise InputError(
                    f"mel_bins and target_frames must be at least audio_patch ({self.audio_patch}), "
                    f"got {mel.mel_bins} and {mel.target_frames}; raise them."
                )
            return
        strides = {"patch": self.patch, "audio_patch": self.audio_patch, "audio_stride": self.audio_stride}
        for name, value in strides.items():
            if value != CONV_STEM_STRIDE:
                raise InputError(f'{name} must be {CONV_STEM_STRIDE} with stem "conv", got {value}; change one.')
        for name, value in (("mel_bins", mel.mel_bins), ("target_frames", mel.target_frames)):
            if value % CONV_STEM_STRIDE:
                raise InputError(
                    f'{name} must be a multiple of {CONV_STEM_STRIDE} with stem "conv", got {value}; change it.'
                )
        for kind in ("image", "audio"):
            if (width := getattr(self, f"{kind}_width")) % 4:
                raise InputError(f'{kind}_width must be a multiple of 4 with stem "conv", got {width}; change it.')

    @property
    def image_grid(self) -> tuple[int, int]:
        """Rows and columns of image patches at `image_size`."""
        return (self.image_size // self.patch,) * 2

    @property
    def audio_grid(self) -> tuple[int, int]:
        """Audio patches along mel bins (slow axis of the tokens) and along time."""
        sides = (self.log_mel.mel_bins, self.log_mel.target_frames)
        return tuple((side - self.audio_patch) // self.audio_stride + 1 for side in sides)

    @classmethod
    def huge(cls) -> "ImageBindConfig":
        """The released ImageBind-Huge: 632,829,440 image and 86,235,648 audio parameters."""
        return cls()

    @classmethod
    def mini(cls) -> "ImageBindConfig":
        """The small model trained on Soundstage: 112 pixels in 14 x 14 patches, about 1 s of sound."""
        return cls(
            image_size=112, patch=8, image_width=128, image_blocks=6, image_heads=4,
            audio_patch=8, audio_stride=8, audio_width=128, audio_blocks=4, audio_heads=4,
            embed_dim=128, stem="conv", pooling="dense",
            log_mel=LogMelConfig(mel_bins=64, target_frames=96),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` restores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ImageBindConfig":
        """Rebuild a configuration; unknown and missing keys are refused by name."""
        _check_keys(cls, values, "ImageBind")
        _check_keys(LogMelConfig, values["log_mel"], "log_mel")
        return cls(**{**values, "log_mel": LogMelConfig(**values["log_mel"])})


def _check_keys(cls: type, values: Any, title: str) -> None:
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise InputError(f"the {title} configuration must be a JSON object, got {kind}; restore config.json.")
    known = {f.name for f in fields(cls)}
    for problem, names in (("unknown", values.keys() - known), ("missing", known - values.keys())):
        if names:
            listed = ", ".join(sorted(names))
            raise InputError(f"the {title} configuration has {problem} keys: {listed}; restore config.json.")
