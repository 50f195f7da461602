"""OWLv2 asked for objects of any kind: boxes ranked by its objectness, without words.

A published OWLv2 is a folder with `config.json` (model_type "owlv2"), `model.safetensors` and
`preprocessor_config.json`. Only its picture tower and the heads for boxes and objectness are run. Letters: B frames,
S side of the square that is read, G patches per side, N = G * G boxes.
Source: Minderer et al., Scaling Open-Vocabulary Object Detection, NeurIPS 2023 (objectness: section 3.2).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from transformers import Owlv2ForObjectDetection

from moca.core.frames import CLIP_MEAN, CLIP_STD, check_frames
from moca.errors import InputError
from moca.foundation.boxes import corners, cut_to_frame, nms
from moca.foundation.preprocessing import normalised
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE, preprocessor_document, read_preprocessor
from moca.foundation.pretrained import load_pretrained, read_config, save_pretrained
from moca.foundation.published import Kind, find_source
from moca.foundation.roles import Boxes, Frames

KIND = Kind(
    role="objects",
    types=("owlv2",),
    example="google/owlv2-base-patch16-ensemble",
    # What answers to words, which is never run, and numbers that some files hold and all models count themselves.
    spare=(
        *(f"owlv2.{part}" for part in ("text_model.", "text_projection.", "visual_projection.", "logit_scale")),
        *("class_head.", "owlv2.vision_model.embeddings.position_ids"),
    ),
)


class Owlv2Objects:
    """A frozen OWLv2 that finds objects in frames, in batches, on the device its model is on.

    model: is frozen and put in eval mode. image_size: side S in pixels of the square that a frame is fitted into, a
    multiple of the patch; None takes the model's own, any other has its positions interpolated.
    """

    def __init__(self, model: Owlv2ForObjectDetection, *, image_size: int | None = None):
        vision = model.config.vision_config
        size, patch = vision.image_size if image_size is None else image_size, vision.patch_size
        if size < 1 or size % patch:
            raise InputError(f"image_size must be a multiple of the patch ({patch} pixels), got {size}; change it.")
        self.model = model.eval().requires_grad_(False)
        self.image_size = size
        # Counted anew in float32: the model's own is of the dtype it computes in, and 8 bits are 4 pixels of 960.
        self._bias = model.compute_box_bias(size // patch, size // patch)

    def detect(
        self,
        frames: Frames,
        *,
        threshold: float = 0.1,
        limit: int = 100,
        nms_iou: float | None = 0.7,
        batch: int = 8,
    ) -> list[Boxes]:
        """Boxes of every frame, best first, without labels; no frames give [].

        threshold: the least objectness, in [0, 1]. limit: the most boxes of a frame. nms_iou: the largest overlap of
        two boxes that are both kept; None keeps all. batch: frames computed at a time; it changes memory, not results.
        Boxes are cut to the frame; those that lie outside it are left out.
        """
        _check_settings(threshold, limit, nms_iou, batch)
        check_frames(frames)
        boxes_of_frames = []
        for start in range(0, len(frames), batch):
            part = frames[start : start + batch]
            for frame, scores, boxes in zip(part, *self._answers(part), strict=True):
                boxes_of_frames.append(_chosen(frame.shape[:2], scores, boxes, threshold, limit, nms_iou))
        return boxes_of_frames

    @torch.inference_mode()
    def _answers(self, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
        """Objectness (B, N) and boxes (B, N, 4): centres and sides as shares of the square; both float32."""
        pixels = preprocess_frames(frames, self.image_size).to(self.model.device, self.model.dtype)
        patches = self.model.image_embedder(pixels, interpolate_pos_encoding=True)[0].flatten(1, 2)
        scores = self.model.objectness_predictor(patches).float().sigmoid()
        boxes = (self.model.box_head(patches).float() + self._bias.to(patches.device)).sigmoid()
        return scores.cpu().numpy(), boxes.cpu().numpy()


def preprocess_frames(frames: Frames, size: int) -> Tensor:
    """Frames as OWLv2 reads them: black to the right or below up to a square, resized, CLIP's statistics.

    Returns float32 (B, 3, size, size). Published weights are evaluated with black padding; see
    https://github.com/huggingface/transformers/pull/41938.
    """
    pixels = torch.zeros(len(frames), 3, size, size)
    for i, frame in enumerate(frames):
        height, width = frame.shape[:2]
        resize = _resizing(max(height, width), size)
        channels = torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1) / 255
        # Black adds nothing to a weighted sum, so that the padding need not be there.
        pixels[i] = resize[:, :height] @ channels @ resize[:, :width].T
    return normalised(pixels, CLIP_MEAN, CLIP_STD)


@lru_cache(maxsize=8)
def _resizing(side: int, size: int) -> Tensor:
    """The matrix (size, side) float32 that resizes one axis as scikit-image does, with which OWLv2 was published.

    Where pixels get fewer, they are blurred first, by a Gaussian of (side / size - 1) / 2 pixels; then interpolated
    linearly, pixels being areas. Both steps are linear in each axis, so that they are read off the identity.
    """
    blurred = ndimage.gaussian_filter(np.eye(side), (max(0, (side / size - 1) / 2), 0), mode="mirror")
    resized = ndimage.zoom(blurred, (size / side, 1), order=1, mode="mirror", grid_mode=True)
    return torch.from_numpy(resized).float()


def load_objects(
    name: str | Path = "mini",
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    image_size: int | None = None,
) -> Owlv2Objects:
    """A frozen OWLv2.

    name: "mini" (bundled), a name of `moca weights list`, a folder in the published format, or a hub id such as
    "google/owlv2-base-patch16-ensemble", which is downloaded once. dtype: float32 or bfloat16, what is computed in.
    image_size: see `Owlv2Objects`. Only safetensors are read, so nothing stored in a file is ever executed; weights
    of the text tower may be missing. Raises InputError, in one line, for a model that is not there, is damaged, or is
    not an OWLv2.
    """
    source = find_source(name, KIND)
    read_config(source, KIND)
    read_preprocessor(source, KIND, CLIP_MEAN, CLIP_STD)
    model = load_pretrained(Owlv2ForObjectDetection, source, KIND, dtype=dtype)
    return Owlv2Objects(model.to(device), image_size=image_size)


def save_objects(folder: str | Path, model: Owlv2ForObjectDetection, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model into a folder, which is created, in the published format that `load_objects` reads.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. All files are
    complete before any of them replaces an older one.
    """
    size = model.config.vision_config.image_size
    square = {"height": size, "width": size}
    preprocessor = preprocessor_document(square, CLIP_MEAN, CLIP_STD, image_processor_type="Owlv2ImageProcessor")
    save_pretrained(folder, model, dtype=dtype, documents={PREPROCESSOR_FILE: preprocessor})


def _chosen(
    shape: tuple[int, int],
    scores: np.ndarray,
    boxes: np.ndarray,
    threshold: float,
    limit: int,
    nms_iou: float | None,
) -> Boxes:
    """Of the answers (N,), (N, 4) for a frame of shape (H, W): those to keep, in its pixels, best first."""
    wanted = scores >= threshold
    xyxy, inside = cut_to_frame(corners(boxes[wanted]) * max(shape), *shape)
    xyxy, scores = xyxy[inside], scores[wanted][inside]
    order = np.argsort(-scores, kind="stable") if nms_iou is None else nms(xyxy, scores, nms_iou)
    return Boxes(xyxy=xyxy[order[:limit]], scores=scores[order[:limit]])


def _check_settings(threshold: float, limit: int, nms_iou: float | None, batch: int) -> None:
    for name, value in (("threshold", threshold), ("nms_iou", nms_iou)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} must be from 0 to 1, got {value}; change it.")
    for name, value, unit in (("limit", limit, "box"), ("batch", batch, "frame")):
        if value < 1:
            raise InputError(f"{name} must be at least 1 {unit}, got {value}; raise it.")
