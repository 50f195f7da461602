"""Published models without their weights: their architectures at full size, filled with random numbers.

What they find means nothing; what they cost is what the real ones cost. Nothing is read from a file but the bundled
models' configurations. Sizes are those of the published configurations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import (
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2TextConfig,
    Owlv2VisionConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ViTConfig,
    ViTModel,
)

from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, ROLES
from moca.foundation.dino import Dino
from moca.foundation.manifest import bundled_weights
from moca.foundation.owlv2 import Owlv2Objects
from moca.foundation.pretrained import quiet
from moca.foundation.sam.official import official_config
from moca.foundation.sam.sam import MODELS

DEVIATION = 0.02
"""Of every matrix: what these models' own code starts them with."""


def dino_config(width: int, heads: int, patch: int) -> ViTConfig:
    """DINO's ViT-S (384, 6) or ViT-B (768, 12) with patches of 8 or 16 pixels."""
    return ViTConfig(hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width, patch_size=patch)


def owlv2_config(size: str) -> Owlv2Config:
    """OWLv2 "base" (960 px) or "large" (1008 px)."""
    if size == "base":
        vision, words, projection = Owlv2VisionConfig(image_size=960), Owlv2TextConfig(), 512
    else:
        vision = Owlv2VisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=1008,
            patch_size=14,
        )
        words, projection = Owlv2TextConfig(hidden_size=768, intermediate_size=3072), 768
    return Owlv2Config(vision_config=vision, text_config=words, projection_dim=projection)


CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "dino-vits16": lambda: dino_config(384, 6, 16),
    "dino-vits8": lambda: dino_config(384, 6, 8),
    "dino-vitb16": lambda: dino_config(768, 12, 16),
    "dino-vitb8": lambda: dino_config(768, 12, 8),
    "sam-vit-base": lambda: official_config("B"),
    "sam-vit-large": lambda: official_config("L"),
    "sam-vit-huge": lambda: official_config("H"),
    "owlv2-base": lambda: owlv2_config("base"),
    "owlv2-base-ensemble": lambda: owlv2_config("base"),
    "owlv2-large-ensemble": lambda: owlv2_config("large"),
}
"""By name in the manifest, the published configuration of what a row segments with besides its encoder."""


def random_part(role: str, name: str, *, seed: int, device: str | torch.device = "cpu") -> Any:
    """An untrained model of a role in its published size, as `load_role` gives the trained one.

    name: one of CONFIGS, or "mini" for the bundled model's size. The same seed gives the same weights; the global
    generator is neither used nor changed. Raises InputError for a name whose size is not known here.
    """
    kind, wrap = _class_of(role)
    if name == BUNDLED:
        config = kind.config_class.from_pretrained(bundled_weights() / BUNDLED / ROLES[role].folder)
    elif name in CONFIGS:
        config = CONFIGS[name]()
    else:
        raise InputError(
            f"random weights are for {role} of a known size ({', '.join(CONFIGS)}), got {name}; choose another row, or "
            "weights trained."
        )
    return wrap(random_model(kind, config, seed=seed).to(device))


def random_model(kind: type[PreTrainedModel], config: PreTrainedConfig, *, seed: int) -> PreTrainedModel:
    """A model of `transformers` with random weights, in eval mode on the CPU."""
    options = {"add_pooling_layer": False} if kind is ViTModel else {}
    with torch.device("meta"):
        wanted = kind(config, **options).state_dict()
    draw = torch.Generator().manual_seed(seed)
    state = {name: _drawn(name, tensor, draw) for name, tensor in wanted.items()}
    with quiet():
        model = kind.from_pretrained(None, config=config, state_dict=state, **options)
        model.tie_weights()  # numbers that have two names were drawn twice
    return model.eval().requires_grad_(False)


def _drawn(name: str, like: Tensor, draw: torch.Generator) -> Tensor:
    """Norms start as the identity, other vectors at 0, the rest is normal; a positional matrix has deviation 1."""
    if not like.is_floating_point():
        return torch.arange(like.numel()).reshape(like.shape).to(like.dtype)
    if like.ndim < 2:
        return torch.full(like.shape, float("norm" in name and name.endswith("weight")))
    deviation = 1.0 if name.endswith("positional_embedding") else DEVIATION
    return torch.randn(like.shape, generator=draw).mul_(deviation)


def _class_of(role: str) -> tuple[type[PreTrainedModel], Callable[[Any], Any]]:
    """The class of a role's published models, and what wraps one."""
    wrapper, sam, _ = MODELS["sam"]
    known = {"images": (ViTModel, Dino), "masks": (sam, wrapper), "objects": (Owlv2ForObjectDetection, Owlv2Objects)}
    if role not in known:
        raise InputError(f"random weights are for {', '.join(known)}, got {role}; use trained ones.")
    return known[role]
