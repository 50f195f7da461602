"""BatchNorms of a trained conv stem folded into its convolutions."""

from dataclasses import replace

import torch
from torch import nn

from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind


@torch.no_grad()
def fold_batchnorm(model: ImageBind) -> ImageBind:
    """A copy for shipping whose conv stems have their BatchNorms folded into the convolutions.

    Equal to `model` in eval mode. Refuses a model that has no BatchNorm.
    """
    if model.config.stem != "conv" or model.config.folded:
        state = "already folded" if model.config.folded else f"of stem {model.config.stem!r}"
        raise InputError(f"only an unfolded model with stem 'conv' can be folded, got one {state}; use it as it is.")
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    for modality, stem in model.modality_preprocessors.items():
        prefix = f"modality_preprocessors.{modality}.rgbt_stem.proj"
        layers = stem.rgbt_stem.proj
        for i, norm in enumerate(layers):
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            tensors[f"{prefix}.{i - 1}.weight"] = layers[i - 1].weight * scale[:, None, None, None]
            tensors[f"{prefix}.{i - 1}.bias"] = norm.bias - norm.running_mean * scale
            for name in norm.state_dict():
                del tensors[f"{prefix}.{i}.{name}"]
    with torch.device("meta"):
        folded = ImageBind(replace(model.config, folded=True))
    folded.load_state_dict(tensors, strict=True, assign=True)
    return folded.eval()
