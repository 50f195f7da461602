"""What differs between the families of DINO: the network, the size of a place, the tokens before the map, the filter.

All of them read pictures by ImageNet's statistics and give a last layer of tokens, normed: a class token (the pooled
map of a ConvNeXt), registers where there are any, then the map row by row.

| family | network | place | registers | filter |
|---|---|---|---|---|
| DINO | ViT | patch of 8 or 16 | none | bicubic |
| DINOv2 | ViT, layer scale | patch of 14 | none or 4 | bicubic |
| DINOv3 | ViT, rotary positions | patch of 16 | 4 | bilinear |
| DINOv3 | ConvNeXt of S stages | cell of 4 x 2^(S - 1), 32 for four | none | bilinear |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import transformers
from PIL import Image
from transformers import PreTrainedConfig, PreTrainedModel

from moca.errors import InputError

STEM_PX = 4  # a ConvNeXt's stem takes squares of this side, every later stage halves the map


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of published models."""

    model: str
    """Name of its class in `transformers`."""
    processor: str
    """Name of its image processor there."""
    resample: Image.Resampling
    """Pillow's filter, by which its processor resizes pictures."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What its forward pass is given besides the pixels."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    """What its class is given besides the configuration."""

    def model_class(self) -> type[PreTrainedModel]:
        """The class of its models."""
        return getattr(transformers, self.model)

    def patch_px(self, config: PreTrainedConfig) -> int:
        """Side in pixels of what a token of the map stands for."""
        return _side(config, "patch_size")

    def image_px(self, config: PreTrainedConfig) -> int:
        """Side in pixels of the pictures that the configuration names."""
        return _side(config, "image_size")

    def registers(self, config: PreTrainedConfig) -> int:
        """Tokens between the class token and the map."""
        return getattr(config, "num_register_tokens", 0)

    def width(self, config: PreTrainedConfig) -> int:
        """Length of a token."""
        return config.hidden_size


class ConvNextFamily(Family):
    """A convolutional family: the map of its last stage stands for the patches."""

    def patch_px(self, config: PreTrainedConfig) -> int:
        return STEM_PX * 2 ** (config.num_stages - 1)

    def width(self, config: PreTrainedConfig) -> int:
        return config.hidden_sizes[-1]


FAMILIES: dict[str, Family] = {
    "vit": Family(
        model="ViTModel",
        processor="ViTImageProcessor",
        resample=Image.Resampling.BICUBIC,
        options={"interpolate_pos_encoding": True},
        loading={"add_pooling_layer": False},
    ),
    "dinov2": Family(model="Dinov2Model", processor="BitImageProcessor", resample=Image.Resampling.BICUBIC),
    "dinov2_with_registers": Family(
        model="Dinov2WithRegistersModel", processor="BitImageProcessor", resample=Image.Resampling.BICUBIC
    ),
    "dinov3_vit": Family(
        model="DINOv3ViTModel", processor="DINOv3ViTImageProcessor", resample=Image.Resampling.BILINEAR
    ),
    "dinov3_convnext": ConvNextFamily(
        model="DINOv3ConvNextModel", processor="DINOv3ViTImageProcessor", resample=Image.Resampling.BILINEAR
    ),
}
"""Every family by its model_type in config.json."""


def family_of(config: PreTrainedConfig) -> Family:
    """The family of a model by its configuration; InputError where it is none of these."""
    if config.model_type not in FAMILIES:
        raise InputError(f"a DINO must be of type {', '.join(FAMILIES)}, got {config.model_type!r}; use one of these.")
    return FAMILIES[config.model_type]


def _side(config: PreTrainedConfig, name: str) -> int:
    """A side in pixels that a configuration states; InputError for a rectangle."""
    stated = getattr(config, name)
    sides = {stated} if isinstance(stated, int) else set(stated)
    if len(sides) != 1:
        raise InputError(f"{name} of a DINO must be that of a square, got {stated}; use another model.")
    return sides.pop()
