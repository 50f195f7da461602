"""What every SAM shares: frames encoded once, prompts decoded in batches, logits that become masks of the frame.

Letters: N prompts, M masks a prompt, S side in pixels of the model's input, H and W of the frame.
Source: Kirillov et al., Segment Anything, ICCV 2023, and its reference code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD, check_frames, resized
from moca.errors import InputError
from moca.foundation.pretrained import COMPUTED_TYPES
from moca.foundation.roles import Frames, Masks

PIXEL_MEAN = tuple(255 * value for value in IMAGENET_MEAN)
"""Of RGB in 0..255, as SAM's own code has them; folders state them of RGB in [0, 1]."""
PIXEL_STD = tuple(255 * value for value in IMAGENET_STD)
STABILITY_OFFSET = 1.0
IN_FLOAT32 = ("shared_image_embedding", "prompt_encoder")
LOGITS_AT_A_TIME = 2**26  # of full size, a quarter of a GiB


@dataclass(frozen=True, eq=False)
class Encoded:
    """One frame as a model keeps it; of use only to the model that made it."""

    maps: tuple[Tensor, ...]
    """The image embedding (1, C, h, w) and whatever else the mask decoder reads, on the model's device."""
    size: tuple[int, int]
    """(H, W) of the frame."""
    resized: tuple[int, int]
    """(height, width) of the frame within the model's S x S input."""


class PromptedMasks(ABC):
    """A frozen model that is asked for masks, on the device and in the type that the model has.

    model: a SAM of `transformers`, which is frozen and put in eval mode. side: S, taken from the model.
    """

    def __init__(self, model: PreTrainedModel, *, side: int):
        self.model = model.eval().requires_grad_(False)
        self.side = side

    @abstractmethod
    def _fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width within the input that a frame of this size is resized to."""

    @abstractmethod
    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """What is kept of a batch (B, 3, S, S): tensors of B rows."""

    @abstractmethod
    def _decoded_with(self, maps: tuple[Tensor, ...]) -> dict:
        """Arguments of the mask decoder that come from the maps of one frame."""

    @abstractmethod
    def _enlarged(self, logits: Tensor, encoded: Encoded) -> Tensor:
        """Logits (1, M, h, w) of the decoder as (1, M, H, W)."""

    @torch.inference_mode()
    def encode(self, frames: Frames, *, batch: int = 4) -> list[Encoded]:
        """What is kept of every frame: one value each, 4 MiB for a published SAM.

        frames: RGB uint8 (B, H, W, 3), which may be memory-mapped, or a sequence of (H, W, 3) of any sizes.
        batch: frames computed at a time; it changes memory, not results. No frames give an empty list.
        """
        _check_batch(batch, "frame")
        check_frames(frames)
        encoded = []
        for start in range(0, len(frames), batch):
            chunk = frames[start : start + batch]
            fits = [self._fitted(frame.shape[:2]) for frame in chunk]
            pixels = torch.stack([pixels_of(frame, fit, self.side) for frame, fit in zip(chunk, fits, strict=True)])
            maps = self._maps(pixels.to(self.model.device, _dtype(self.model.vision_encoder)))
            maps = [part.to(_dtype(self.model.mask_decoder)) for part in maps]
            for i, (frame, fit) in enumerate(zip(chunk, fits, strict=True)):
                # Copies, so that a frame that is let go frees its memory while others of its batch are kept.
                own = tuple(part[i : i + 1].clone() for part in maps)
                encoded.append(Encoded(own, (frame.shape[0], frame.shape[1]), fit))
        return encoded

    def from_boxes(
        self, encoded: Encoded, boxes: np.ndarray, *, batch: int = 64, stability_offset: float = STABILITY_OFFSET
    ) -> Masks:
        """One mask a box, in their order.

        boxes: (N, 4) x0, y0, x1, y1 in pixels of the frame. batch: prompts decoded at a time; it changes memory, not
        results. stability_offset: stability is the IoU of the mask at logits above +offset and above -offset, 0 for a
        mask that is empty at both. No boxes give no masks.
        """
        boxes = _checked(boxes, 4, "boxes")
        if (boxes[:, :2] > boxes[:, 2:]).any():
            raise InputError("boxes must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, got others; convert them.")
        return self._masks(encoded, boxes, 1, batch, stability_offset)

    def from_points(
        self, encoded: Encoded, points: np.ndarray, *, batch: int = 64, stability_offset: float = STABILITY_OFFSET
    ) -> Masks:
        """Three masks a point, whole, part and subpart in no fixed order: those of point 0 first.

        points: (N, 2) x, y in pixels of the frame, each on something to be segmented. The rest as in `from_boxes`.
        """
        several = self.model.config.mask_decoder_config.num_multimask_outputs
        return self._masks(encoded, _checked(points, 2, "points"), several, batch, stability_offset)

    @torch.inference_mode()
    def _masks(self, encoded: Encoded, prompts: np.ndarray, per_prompt: int, batch: int, offset: float) -> Masks:
        """`per_prompt` masks for every prompt; logits of full size exist for a part of one batch at a time."""
        _check_batch(batch, "prompt")
        height, width = encoded.size
        count = len(prompts) * per_prompt
        masks = np.empty((count, height, width), bool)
        scores, stability = np.empty(count, np.float32), np.empty(count, np.float32)
        step = max(1, LOGITS_AT_A_TIME // max(height * width, self.side**2))
        for start in range(0, len(prompts), batch):
            logits, ious = self._decode(encoded, prompts[start : start + batch], several=per_prompt > 1)
            rows = slice(start * per_prompt, start * per_prompt + len(ious))
            scores[rows] = ious.cpu().numpy()
            for row, part in zip(range(rows.start, rows.stop, step), logits.split(step), strict=True):
                full = self._enlarged(part[None], encoded)[0]
                inside, outside = ((full > level).sum((-2, -1)) for level in (offset, -offset))
                masks[row : row + len(part)] = (full > 0).cpu().numpy()
                stability[row : row + len(part)] = (inside / outside.clamp(min=1)).cpu().numpy()
        return Masks(masks=masks, scores=scores, stability=stability)

    def _decode(self, encoded: Encoded, prompts: np.ndarray, *, several: bool) -> tuple[Tensor, Tensor]:
        """Logits (N * M, h, w) of the decoder and the predicted IoU (N * M,), float32."""
        scale = np.array([r / s for r, s in zip(encoded.resized[::-1], encoded.size[::-1], strict=True)])
        places = np.ascontiguousarray((prompts.reshape(-1, 2) * scale).reshape(prompts.shape), np.float32)
        places = torch.from_numpy(places).to(self.model.device)[None]
        given = {"input_points": None, "input_labels": None, "input_boxes": places, "input_masks": None}
        if prompts.shape[1] == 2:
            labels = torch.ones(1, len(prompts), 1, dtype=torch.int64, device=places.device)
            given |= {"input_points": places[:, :, None], "input_labels": labels, "input_boxes": None}
        sparse, dense = self.model.prompt_encoder(**given)
        grid = self.model.get_image_wide_positional_embeddings()
        dtype = _dtype(self.model.mask_decoder)
        logits, ious, *_ = self.model.mask_decoder(
            image_embeddings=encoded.maps[0],
            image_positional_embeddings=grid.to(dtype),
            sparse_prompt_embeddings=sparse.to(dtype),
            dense_prompt_embeddings=dense.to(dtype),
            multimask_output=several,
            **self._decoded_with(encoded.maps[1:]),
        )
        return logits[0].flatten(0, 1).float(), ious[0].flatten().float()


def pixels_of(frame: np.ndarray, fitted: tuple[int, int], side: int) -> Tensor:
    """A frame (H, W, 3) as a model reads it: float32 (3, side, side).

    It is resized to `fitted` (height, width) with Pillow's bilinear filter, normalised by ImageNet's statistics and
    padded on the right and at the bottom with zeros.
    """
    height, width = fitted
    frame = resized(frame, width, height, by=Image.Resampling.BILINEAR)
    mean, std = (np.array(values, np.float32) for values in (PIXEL_MEAN, PIXEL_STD))
    padded = torch.zeros(3, side, side)
    pixels = (frame.astype(np.float32) - mean) / std
    padded[:, :height, :width] = torch.from_numpy(pixels).permute(2, 0, 1)
    return padded


def computed_in(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """A float32 model with its two large parts, which see the picture, in dtype: float32 or bfloat16.

    Where prompts are encoded stays float32, as bfloat16 knows a corner at 1000 pixels only to four of them.
    """
    if dtype not in COMPUTED_TYPES:
        raise InputError(f"dtype must be float32 or bfloat16, got {dtype}; choose one of them.")
    for name, part in model.named_children():
        if name not in IN_FLOAT32:
            part.to(dtype)
    return model


def _dtype(module: torch.nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _check_batch(batch: int, of: str) -> None:
    if batch < 1:
        raise InputError(f"batch must be at least 1 {of}, got {batch}; raise it.")


def _checked(prompts: np.ndarray, width: int, name: str) -> np.ndarray:
    """Prompts as float64 (N, width)."""
    prompts = np.asarray(prompts, np.float64)
    if prompts.size == 0:
        return prompts.reshape(0, width)
    if prompts.ndim != 2 or prompts.shape[1] != width or not np.isfinite(prompts).all():
        received = "numbers that are not finite" if prompts.shape[1:] == (width,) else f"an array of {prompts.shape}"
        raise InputError(f"{name} must be finite numbers of shape (N, {width}), got {received}; correct them.")
    return prompts
