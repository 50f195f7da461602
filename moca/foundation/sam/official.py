"""The official SAM checkpoints: their names for tensors, and those of `transformers`.

SAM-B, SAM-L and SAM-H are plain state dicts of 314, 482 or 594 tensors. `transformers` holds one more, a second name of
the random matrix by which positions are encoded. Source: Segment Anything's own build_sam.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import SamConfig, SamModel

from moca.errors import InputError
from moca.foundation.pretrained import quiet
from moca.foundation.state_dicts import check_fit, read_checkpoint

SIZES = {  # width, blocks, heads and the blocks that attend globally, of image encoders
    "B": (768, 12, 12, (2, 5, 8, 11)),
    "L": (1024, 24, 16, (5, 11, 17, 23)),
    "H": (1280, 32, 16, (7, 15, 23, 31)),
}
POSITIONS = "image_encoder.pos_embed"
MATRIX, MATRIX_COPY = (
    "prompt_encoder.shared_embedding.positional_embedding",
    "shared_image_embedding.positional_embedding",
)
# Beginnings of names, the official one and that of transformers; * is a number. The first that fits is the one.
NAMES = (
    *((f"image_encoder.blocks.*.norm{i}", f"vision_encoder.layers.*.layer_norm{i}") for i in (1, 2)),
    ("image_encoder.blocks.*", "vision_encoder.layers.*"),
    ("image_encoder.patch_embed.proj", "vision_encoder.patch_embed.projection"),
    *(
        (f"image_encoder.neck.{i}", f"vision_encoder.neck.{name}")
        for i, name in enumerate(("conv1", "layer_norm1", "conv2", "layer_norm2"))
    ),
    ("image_encoder", "vision_encoder"),
    *(
        (f"prompt_encoder.mask_downscaling.{i}", f"prompt_encoder.mask_embed.{name}")
        for i, name in ((0, "conv1"), (1, "layer_norm1"), (3, "conv2"), (4, "layer_norm2"), (6, "conv3"))
    ),
    ("prompt_encoder.point_embeddings", "prompt_encoder.point_embed"),
    ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", MATRIX),
    *(
        (f"mask_decoder.transformer.layers.*.norm{i}", f"mask_decoder.transformer.layers.*.layer_norm{i}")
        for i in (1, 2, 3, 4)
    ),
    ("mask_decoder.transformer.norm_final_attn", "mask_decoder.transformer.layer_norm_final_attn"),
    *(
        (f"mask_decoder.output_upscaling.{i}", f"mask_decoder.upscale_{name}")
        for i, name in ((0, "conv1"), (1, "layer_norm"), (3, "conv2"))
    ),
    *(
        (f"mask_decoder.{head}.layers.{i}", f"mask_decoder.{head}.{name}")
        for head in ("output_hypernetworks_mlps.*", "iou_prediction_head")
        for i, name in enumerate(("proj_in", "layers.0", "proj_out"))
    ),
)


def _rules(names: list[tuple[str, str]]) -> list[tuple[re.Pattern, str]]:
    """From the first name of each pair to the second, up to the end of a part."""
    return [(re.compile(re.escape(a).replace(r"\*", r"(\d+)") + r"(?=\.|$)"), b.replace("*", r"\1")) for a, b in names]


TO_TRANSFORMERS = _rules([(official, ours) for official, ours in NAMES])
TO_OFFICIAL = _rules([(ours, official) for official, ours in NAMES])


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An official state dict under the names of `transformers`, with the second name that it has for one tensor."""
    named = {_renamed(name, TO_TRANSFORMERS): tensor for name, tensor in state.items()}
    return {**named, MATRIX_COPY: named[MATRIX]} if MATRIX in named else named


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of `SamModel` under the official names: what `to_transformers` undoes."""
    return {_renamed(name, TO_OFFICIAL): tensor for name, tensor in state.items() if name != MATRIX_COPY}


def _renamed(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, replacement in rules:
        if match := pattern.match(name):
            return match.expand(replacement) + name[match.end() :]
    return name


def official_config(size: str) -> SamConfig:
    """The configuration of SAM-B, SAM-L or SAM-H: size is "B", "L" or "H"."""
    width, blocks, heads, global_blocks = SIZES[size]
    return SamConfig(
        vision_config={
            "hidden_size": width,
            "num_hidden_layers": blocks,
            "num_attention_heads": heads,
            "global_attn_indexes": list(global_blocks),
        }
    )


def load_official(path: str | Path, config: SamConfig | None = None) -> SamModel:
    """The frozen model of an official checkpoint, float32 on the CPU, which maps its file into memory.

    config: what the file holds; None tells SAM-B, SAM-L and SAM-H apart by the width of the image encoder. Nothing
    stored in the file is executed. Raises InputError, in one line, for a file that is missing, damaged or another's.
    """
    path = Path(path)
    state = read_checkpoint(path)
    config = config or official_config(_size(path, state))
    with torch.device("meta"):
        model = SamModel(config)
    wanted = model.state_dict()
    check_fit(path, state, to_official(wanted), "tensors of its SAM")
    given = {name: tensor.to(wanted[name].dtype) for name, tensor in to_transformers(state).items()}
    model.load_state_dict(given, strict=True, assign=True)
    with quiet():  # the library ties nothing while another thread loads a model
        model.tie_weights()  # one matrix under both names again
    return model.eval().requires_grad_(False)


def official_size(path: str | Path) -> str:
    """Which of SAM's sizes an official checkpoint holds: "B", "L" or "H"; InputError for none of them."""
    return _size(Path(path), read_checkpoint(Path(path)))


def _size(path: Path, state: Mapping[str, Tensor]) -> str:
    """Which of `SIZES` a state dict is."""
    rule = f"{path} must be the state dict of SAM-B, SAM-L or SAM-H"
    if POSITIONS not in state:
        raise InputError(f"{rule}, got one without {POSITIONS}; use an official SAM file or a transformers folder.")
    width = state[POSITIONS].shape[-1]
    for size, (known, *_) in SIZES.items():
        if width == known:
            return size
    known = ", ".join(str(known) for known, *_ in SIZES.values())
    raise InputError(f"{rule} with an image encoder of width {known}, got {width}; use one of them or give config.")
