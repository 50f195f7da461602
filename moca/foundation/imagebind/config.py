"""Sizes and choices of an ImageBind model, and their JSON form."""

from dataclasses import dataclass
from typing import Any, Literal

from moca.core.settings import Settings, setting
from moca.errors import InputError
from moca.media.logmel import LogMelConfig

Stem = Literal["patch", "conv"]
Pooling = Literal["class", "dense"]
OwnReading = Literal["token", "value", "value2", "clear"]
"""Readings that need no other model; see `moca.adapters.Reading`."""
CONV_STEM_STRIDE = 8
TOP_SHARE = 0.025
"""Patches that speak for a picture: the best of them, 5 of 14 x 14, 6 of 16 x 16."""


@dataclass(frozen=True, kw_only=True)
class ImageBindConfig(Settings):
    """Everything needed to build the image and the audio tower; the defaults are ImageBind-Huge."""

    image_size: int = setting(
        224, help="Side of the square pictures the positional table is made for, in pixels.", least=1, hint="correct it"
    )
    patch: int = setting(14, help="Side of an image patch, in pixels.", least=1, hint="correct it")
    image_width: int = setting(1280, help="Width of the image tokens.", least=1, hint="correct it")
    image_blocks: int = setting(32, help="Depth of the image tower.", least=1, hint="correct it")
    image_heads: int = setting(16, help="Attention heads per image block.", least=1, hint="correct it")
    audio_patch: int = setting(
        16, help="Side of an audio patch, in mel bins and in frames.", least=1, hint="correct it"
    )
    audio_stride: int = setting(
        10, help="Distance between two audio patches; below audio_patch they overlap.", least=1, hint="correct it"
    )
    audio_width: int = setting(768, help="Width of the audio tokens.", least=1, hint="correct it")
    audio_blocks: int = setting(12, help="Depth of the audio tower.", least=1, hint="correct it")
    audio_heads: int = setting(12, help="Attention heads per audio block.", least=1, hint="correct it")
    mlp_ratio: int = setting(4, help="Hidden width of a block's MLP over the token width.", least=1, hint="correct it")
    embed_dim: int = setting(1024, help="Width of the joint embedding.", least=1, hint="correct it")
    stem: Stem = setting(
        "patch",
        help="One strided convolution (patch, official) or a stack of strided 3x3 ones (conv, small models).",
        hint="correct it",
    )
    folded: bool = setting(
        False,
        help="Only for a conv stem: its batch normalisation has been folded into the convolutions.",
        hint="correct it",
    )
    pooling: Pooling = setting(
        "class",
        help="What the towers were trained through: the image's class token (official) or its patches (dense).",
        hint="correct it",
    )
    reading: OwnReading = setting(
        "token",
        help="How patch features are read where a model's card says nothing else; see `PatchReading`.",
        hint="correct it",
    )
    temperature: float = setting(
        0.1,
        help="Softness of dense pooling: towards 0 the best patch decides, towards infinity the mean does.",
        above=0,
        hint="correct it",
    )
    audio_scale: float = setting(
        20.0,
        help="Norm an audio embedding starts with; the weights carry the real value, at most 100 is used.",
        above=0,
        hint="correct it",
    )
    log_mel: LogMelConfig = setting(
        default_factory=LogMelConfig, help="How sounds become the audio tower's input.", hint="correct it"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in ("image", "audio"):
            width, heads = getattr(self, f"{kind}_width"), getattr(self, f"{kind}_heads")
            if width % heads:
                raise InputError(f"{kind}_width must be a multiple of {kind}_heads ({heads}), got {width}; change one.")
        self._check_grids()

    def _check_grids(self) -> None:
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
        """The small model, trained on Soundstage through its class token: 14 x 14 patches of 8 pixels, 1 s of sound."""
        return cls(
            image_size=112, patch=8, image_width=128, image_blocks=6, image_heads=4,
            audio_patch=8, audio_stride=8, audio_width=128, audio_blocks=4, audio_heads=4,
            embed_dim=128, stem="conv",
            log_mel=LogMelConfig(mel_bins=64, target_frames=96),
        )  # fmt: skip

    @classmethod
    def read(cls, values: Any) -> "ImageBindConfig":
        """Rebuild a configuration from its JSON form; unknown and missing keys are refused by name."""
        return cls.from_json(values, title="ImageBind", advice="restore config.json")
