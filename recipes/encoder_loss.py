"""What is contrasted with what when frames learn from their sounds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from moca.foundation.imagebind.model import ImageBind


def contrast(similarity: Tensor, sounding: Tensor, log_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE over a batch, similarity (B images, B sounds); silent rows only serve as negatives."""
    logits = log_scale.exp().clamp(max=100) * similarity
    target = torch.arange(len(logits))
    to_audio = F.cross_entropy(logits, target, reduction="none")
    to_image = F.cross_entropy(logits.T, target, reduction="none")
    return ((to_audio + to_image) / 2)[sounding].mean()


def similarities(model: ImageBind, tokens: Tensor, audio: Tensor, helped: bool) -> list[Tensor]:
    """What is contrasted, each (B images, B sounds): by patches, or by class token and at first their mean."""
    if model.config.pooling == "dense":
        return [model.pooled_similarity(model.project_image(tokens).float(), audio)]
    similarities = [model.class_direction(tokens) @ audio.T]
    if helped:
        similarities.append(F.normalize(model.project_image(tokens).mean(1), dim=-1) @ audio.T)
    return similarities
