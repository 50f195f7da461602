"""The original SAM (package segment_anything) against the model here, with one checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import SamConfig

from moca.foundation.sam.official import official_size
from moca.foundation.sam.sam import load_sam
from moca.foundation.state_dicts import read_checkpoint
from moca.foundation.upstream.comparing import Difference, difference, original
from moca.foundation.upstream.inputs import drawn_frame

PACKAGE = "segment_anything"
BOXES = ((0.1, 0.15, 0.5, 0.7), (0.3, 0.3, 0.9, 0.95), (0.0, 0.0, 1.0, 1.0))
"""Corners as shares of the frame's sides."""


@torch.no_grad()
def compare_sam(checkpoint: Path, *, config: SamConfig | None = None) -> list[Difference]:
    """A drawn frame by both: its embedding, the masks of three boxes and the IoU that each expects them to have.

    checkpoint: an official one. config: what it holds, None for SAM-B, SAM-L or SAM-H. The frame fills the model's
    input along its long side, so that it need not be resized, which only the original's torchvision could do its way.
    """
    ours = load_sam(checkpoint, config=config)
    frame = drawn_frame(ours.side * 3 // 4, ours.side)
    with original(PACKAGE, "build_sam", "modeling") as (build_sam, modeling):
        if config is None:
            theirs = build_sam.sam_model_registry[f"vit_{official_size(checkpoint).lower()}"]()
        else:
            theirs = _of_classes(modeling, config)
        theirs.load_state_dict(read_checkpoint(checkpoint), strict=True, assign=True)
        theirs.eval()
        shown = torch.from_numpy(frame).permute(2, 0, 1).float()
        boxes = np.array(BOXES, np.float32) * np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        record = {"image": shown, "original_size": frame.shape[:2], "boxes": torch.from_numpy(boxes)}
        embeddings: list[Tensor] = []
        theirs.image_encoder.register_forward_hook(lambda module, given, answer: embeddings.append(answer))
        expected = theirs([record], multimask_output=False)[0]
    (encoded,) = ours.encode([frame])
    found = ours.from_boxes(encoded, boxes)
    wrong = float((found.masks != expected["masks"][:, 0].numpy()).mean())
    return [
        difference("embedding of a drawn frame", encoded.maps[0], embeddings[0], allowed=1e-3),
        difference("expected IoU of three boxes", found.scores, expected["iou_predictions"][:, 0], allowed=1e-3),
        Difference(what="masks of three boxes", largest=wrong, allowed=1e-3, unit=" of the pixels"),
    ]


def _of_classes(modeling: Any, config: SamConfig) -> Any:
    """A model of the original's classes with the sizes of a configuration, as its build_sam.py puts one together."""
    vision, prompts, decoder = config.vision_config, config.prompt_encoder_config, config.mask_decoder_config
    grid = vision.image_size // vision.patch_size
    encoder = modeling.ImageEncoderViT(
        img_size=vision.image_size,
        patch_size=vision.patch_size,
        embed_dim=vision.hidden_size,
        depth=vision.num_hidden_layers,
        num_heads=vision.num_attention_heads,
        mlp_ratio=vision.mlp_dim / vision.hidden_size,
        out_chans=vision.output_channels,
        qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=vision.window_size,
        global_attn_indexes=tuple(vision.global_attn_indexes),
    )
    asked = modeling.PromptEncoder(
        prompts.hidden_size, (grid, grid), (prompts.image_size, prompts.image_size), prompts.mask_input_channels
    )
    transformer = modeling.TwoWayTransformer(
        depth=decoder.num_hidden_layers,
        embedding_dim=decoder.hidden_size,
        num_heads=decoder.num_attention_heads,
        mlp_dim=decoder.mlp_dim,
    )
    answers = modeling.MaskDecoder(
        transformer_dim=decoder.hidden_size,
        transformer=transformer,
        num_multimask_outputs=decoder.num_multimask_outputs,
        iou_head_depth=decoder.iou_head_depth,
        iou_head_hidden_dim=decoder.iou_head_hidden_dim,
    )
    return modeling.Sam(encoder, asked, answers)
