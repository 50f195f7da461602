"""Grounding DINO: boxes of what some words name.

A published Grounding DINO is a folder with `config.json` (model_type "grounding-dino" or "mm-grounding-dino"),
`model.safetensors`, `preprocessor_config.json` and BERT's tokenizer (`tokenizer.json` or `vocab.txt`). Its prompt is
"phrase . phrase ."; the model itself keeps phrases apart by the numbers of its marks. Letters: B prompts, Q boxes of
a prompt, T tokens, P phrases.
Source: Liu et al., Grounding DINO, ECCV 2024 (sub-sentence prompts: section 3.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    GroundingDinoForObjectDetection,
    MMGroundingDinoForObjectDetection,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from moca.core.frames import check_frames
from moca.errors import InputError
from moca.foundation.boxes import corners, cut_to_frame, nms
from moca.foundation.grounding_dino.prompts import (
    Prompt,
    check_tokenizer,
    load_tokenizer,
    prompts_of,
    tokenizer_documents,
)
from moca.foundation.pretrained import Kind, find_source, load_pretrained, read_config, save_pretrained
from moca.foundation.reading import READING_FILE, normalised, read_reading, reading_document
from moca.foundation.roles import Boxes, Frames

PIXEL_MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in [0, 1]
PIXEL_STD = (0.229, 0.224, 0.225)
MODELS = {"grounding-dino": GroundingDinoForObjectDetection, "mm-grounding-dino": MMGroundingDinoForObjectDetection}
KIND = Kind(
    name="grounding",
    types=tuple(MODELS),
    example="IDEA-Research/grounding-dino-tiny",
    spare=("model.text_backbone.pooler.", "model.text_backbone.embeddings.position_ids"),
)
PUBLISHED_SIDES = (800, 1333)


class GroundingDino:
    """A frozen Grounding DINO that finds what words name, in batches, on the device its model is on.

    model: with a Swin backbone; is frozen and put in eval mode. tokenizer: BERT's, or one whose marks have BERT's
    numbers. sides: pixels of the short side of a frame as it is read, and the most of its long side; None takes the
    side that the backbone is made for, for both. Published models read (800, 1333), which `load_grounding` finds in
    their folder.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, sides: tuple[int, int] | None = None
    ):
        check_tokenizer(tokenizer, model.config.text_config.vocab_size)
        self.sides = _checked_sides(model, sides)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    def detect(
        self,
        frames: Frames,
        words: Sequence[Sequence[str]],
        *,
        box_threshold: float = 0.35,
        text_threshold: float = 0.25,
        nms_iou: float | None = None,
        batch: int = 4,
    ) -> list[Boxes]:
        """Boxes of every frame for its own words, best first; no frames give [], no words no boxes.

        words: phrases of every frame, such as ["dog", "acoustic guitar"], of any case. More than one prompt holds
        (256 tokens of published models) are asked in several. A box scores what its best token does, which must be
        above box_threshold, and is labelled with the phrase, as given, of best mean probability among those with a
        token above text_threshold; without such a phrase it is left out. nms_iou: the largest overlap of two boxes of
        a frame that are both kept, whatever their labels; None keeps all, as published. batch: prompts computed at a
        time, of frames that are equally large; it changes memory, not results. Boxes are cut to the frame.
        """
        _check_settings(box_threshold, text_threshold, nms_iou, batch)
        check_frames(frames)
        jobs = self._jobs(frames, words)
        parts = [[_no_boxes()] for _ in range(len(frames))]
        for some in _batches(jobs, frames, batch):
            chances, boxes = self._answers([frames[i] for i, _ in some], [prompt for _, prompt in some])
            for (i, prompt), chance, box in zip(some, chances, boxes, strict=True):
                parts[i].append(_chosen(frames[i].shape[:2], prompt, chance, box, box_threshold, text_threshold))
        return [_merged(part, nms_iou) for part in parts]

    def _jobs(self, frames: Frames, words: Sequence[Sequence[str]]) -> list[tuple[int, Prompt]]:
        """The number of a frame and a prompt for it, for all that is to be asked; checks before anything is run."""
        if len(words) != len(frames):
            raise InputError(f"words must be one list a frame, {len(frames)} in all, got {len(words)}; match them.")
        config = self.model.config
        longest = config.text_config.max_position_embeddings
        jobs = []
        for i, phrases in enumerate(words):
            for prompt in prompts_of(phrases, self.tokenizer, config.max_text_len, longest):
                _check_shape(self.model, frames[i].shape[:2], self.sides)
                jobs.append((i, prompt))
        return jobs

    @torch.inference_mode()
    def _answers(self, frames: list[np.ndarray], prompts: list[Prompt]) -> tuple[np.ndarray, np.ndarray]:
        """Probability of every token (B, Q, T), 0 for absent ones, and boxes (B, Q, 4) cx, cy, w, h in [0, 1]."""
        pixels = preprocess_frames(frames, self.sides).to(self.model.device, self.model.dtype)
        ids = torch.zeros(len(prompts), max(len(prompt.ids) for prompt in prompts), dtype=torch.long)
        present = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt.ids)] = torch.tensor(prompt.ids)
            present[row, : len(prompt.ids)] = 1
        ids, present = ids.to(pixels.device), present.to(pixels.device)
        found = self.model(pixel_values=pixels, input_ids=ids, attention_mask=present)
        return found.logits.float().sigmoid().cpu().numpy(), found.pred_boxes.float().cpu().numpy()


def fitted_size(height: int, width: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Height and width to which a frame is resized: its short side to the first of `sides` or, where its long side
    would get longer than the second, to what keeps within; rounded as published."""
    short, long = min(height, width), max(height, width)
    target = sides[0] if long / short * sides[0] <= sides[1] else sides[1] * short / long
    low = round(target)
    high = long if short == low else int(target * long / short)
    return (low, high) if height <= width else (high, low)


def preprocess_frames(frames: Sequence[np.ndarray], sides: tuple[int, int]) -> Tensor:
    """Frames of one size as Grounding DINO reads them: bilinear to `fitted_size`, ImageNet statistics.

    Returns float32 (B, 3, height, width).
    """
    height, width = fitted_size(*frames[0].shape[:2], sides)
    bilinear = Image.Resampling.BILINEAR
    small = [np.asarray(Image.fromarray(frame).resize((width, height), bilinear)) for frame in frames]
    return normalised(torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255, PIXEL_MEAN, PIXEL_STD)


def load_grounding(
    name: str | Path = "mini", *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> GroundingDino:
    """A frozen Grounding DINO.

    name: "mini" (bundled), a name of `moca weights list`, a folder in the published format, or a hub id such as
    "IDEA-Research/grounding-dino-tiny", which is downloaded once. dtype: float32 or bfloat16, what is computed in. Only
    safetensors and the tables of the tokenizer are read, so nothing stored in a file is ever executed. Raises
    InputError, in one line, for a model or a tokenizer that is not there, is damaged, or is not Grounding DINO's.
    """
    source = find_source(name, KIND)
    config = read_config(source, KIND)
    _check_backbone(source, config)
    sides = _read_sides(source)
    tokenizer = load_tokenizer(source, KIND)
    model = load_pretrained(MODELS[config["model_type"]], source, KIND, dtype=dtype)
    return GroundingDino(model.to(device), tokenizer, sides=sides)


def save_grounding(
    folder: str | Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    dtype: torch.dtype = torch.float32,
    sides: tuple[int, int] | None = None,
) -> None:
    """Write a model and its tokenizer into a folder, which is created, in the format that `load_grounding` reads.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. sides: see
    `GroundingDino`; pass those that the model was loaded with. All files are complete before any of them replaces an
    older one.
    """
    check_tokenizer(tokenizer, model.config.text_config.vocab_size)
    short, long = _checked_sides(model, sides)
    size = {"shortest_edge": short, "longest_edge": long}
    reading = reading_document(size, PIXEL_MEAN, PIXEL_STD, image_processor_type="GroundingDinoImageProcessor")
    save_pretrained(folder, model, dtype=dtype, documents={READING_FILE: reading, **tokenizer_documents(tokenizer)})


def _batches(jobs: list[tuple[int, Prompt]], frames: Frames, batch: int) -> Iterator[list[tuple[int, Prompt]]]:
    """At most `batch` jobs at a time, of frames of one shape, so that no frame is padded because of another."""

    def shape_of(job: tuple[int, Prompt]) -> tuple[int, ...]:
        return frames[job[0]].shape

    for _, group in groupby(sorted(jobs, key=shape_of), key=shape_of):
        alike = list(group)
        for start in range(0, len(alike), batch):
            yield alike[start : start + batch]


def _chosen(
    shape: tuple[int, int],
    prompt: Prompt,
    chances: np.ndarray,
    boxes: np.ndarray,
    box_threshold: float,
    text_threshold: float,
) -> Boxes:
    """Of the answers (Q, T), (Q, 4) to one prompt about a frame (H, W): those to keep, in its pixels."""
    scores = chances.max(axis=1)
    own = [chances[:, start:stop] for start, stop in prompt.spans]
    means = np.stack([each.mean(axis=1) for each in own], axis=1)
    means[np.stack([each.max(axis=1) for each in own], axis=1) <= text_threshold] = -1
    best = means.argmax(axis=1)
    height, width = shape
    xyxy, inside = cut_to_frame(corners(boxes) * (width, height, width, height), height, width)
    kept = np.flatnonzero(inside & (scores > box_threshold) & (means.max(axis=1) >= 0))
    return Boxes(xyxy=xyxy[kept], scores=scores[kept], labels=tuple(prompt.phrases[best[i]] for i in kept))


def _merged(parts: list[Boxes], nms_iou: float | None) -> Boxes:
    """All boxes of a frame, best first."""
    xyxy, scores = np.concatenate([part.xyxy for part in parts]), np.concatenate([part.scores for part in parts])
    labels = [label for part in parts for label in part.labels]
    kept = np.argsort(-scores, kind="stable") if nms_iou is None else nms(xyxy, scores, nms_iou)
    return Boxes(xyxy=xyxy[kept], scores=scores[kept], labels=tuple(labels[i] for i in kept))


def _no_boxes() -> Boxes:
    return Boxes(xyxy=np.empty((0, 4), np.float32), scores=np.empty(0, np.float32), labels=())


def _check_backbone(source: str, config: dict) -> None:
    backbone = config.get("backbone_config")
    found = backbone.get("model_type") if isinstance(backbone, dict) else None
    if found != "swin":
        raise InputError(
            f"{source} must have a backbone of type 'swin', got {found!r}; use a model such as {KIND.example}."
        )


def _read_sides(source: str) -> tuple[int, int]:
    """The sides that preprocessor_config.json of a source names; the published ones where there is none."""
    size = read_reading(source, KIND, PIXEL_MEAN, PIXEL_STD).get("size")
    if size is None:
        return PUBLISHED_SIDES
    if not isinstance(size, dict) or {"shortest_edge", "longest_edge"} - set(size):
        raise InputError(
            f"size in {READING_FILE} of {source} must name shortest_edge and longest_edge, got {size}; restore it."
        )
    return size["shortest_edge"], size["longest_edge"]


def _checked_sides(model: PreTrainedModel, sides: tuple[int, int] | None) -> tuple[int, int]:
    if sides is None:
        return (model.config.backbone_config.image_size,) * 2
    short, long = sides
    if not (isinstance(short, int) and isinstance(long, int) and 1 <= short <= long):
        raise InputError(f"sides must be two whole numbers of pixels, the short one first, got {sides}; change them.")
    return short, long


def _check_shape(model: PreTrainedModel, shape: tuple[int, int], sides: tuple[int, int]) -> None:
    """InputError for a frame so narrow that it has fewer places than the model has boxes."""
    config = model.config
    swin, size = config.backbone_config, fitted_size(*shape, sides)
    steps = [swin.patch_size * 2 ** (stage - 1) for stage in swin.out_indices]
    while len(steps) < config.num_feature_levels:
        steps.append(2 * steps[-1])
    places = sum(-(-size[0] // step) * -(-size[1] // step) for step in steps)
    if places < config.num_queries:
        raise InputError(
            f"a frame must have at least {config.num_queries} places to look at when it is read, got {places} for "
            f"{shape[0]} x {shape[1]} pixels; cut it to a shape that is less narrow."
        )


def _check_settings(box_threshold: float, text_threshold: float, nms_iou: float | None, batch: int) -> None:
    for name, value in (("box_threshold", box_threshold), ("text_threshold", text_threshold), ("nms_iou", nms_iou)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} must be from 0 to 1, got {value}; change it.")
    if batch < 1:
        raise InputError(f"batch must be at least 1 prompt, got {batch}; raise it.")
