"""The weights that an untrained ImageBind starts with."""

import math

import torch
from torch import nn

from moca.foundation.imagebind.layers import Attention, LogitScale, PositionTable, Stem, TwoFrameConv


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw every weight anew, in place.

    Linear layers Xavier-uniform with zero bias, class token and positions normal with deviation D^-0.5,
    convolutions uniform as PyTorch's. Source: ImageBind helpers.py, multimodal_preprocessors.py.
    """
    draw = {"generator": generator}
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, **draw)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | TwoFrameConv):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), **draw)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Attention):
            nn.init.xavier_uniform_(module.in_proj_weight, **draw)
            nn.init.zeros_(module.in_proj_bias)
            for extra in (module.bias_k, module.bias_v):
                if extra is not None:
                    nn.init.xavier_normal_(extra, **draw)
        elif isinstance(module, Stem):
            width = module.cls_token.shape[-1]
            nn.init.normal_(module.cls_token, std=width**-0.5, **draw)
        elif isinstance(module, PositionTable):
            nn.init.normal_(module.pos_embed, std=module.pos_embed.shape[-1] ** -0.5, **draw)
        elif isinstance(module, LogitScale):
            module.log_logit_scale.fill_(math.log(module.start))
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            module.reset_parameters()
