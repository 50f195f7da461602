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
from transformers import (
    GroundingDinoForObjectDetection,
    MMGroundingDinoForObjectDetection,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD, check_frames
from moca.errors import InputError
from moca.foundation.boxes import corners, cut_to_frame, nms
from moca.foundation.grounding_dino.fitting import check_shape, checked_sides, preprocess_frames, read_sides
from moca.foundation.grounding_dino.prompts import (
    Prompt,
    check_tokenizer,
    load_tokenizer,
    prompts_of,
    tokenizer_documents,
)
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE, preprocessor_document
from moca.foundation.pretrained import load_pretrained, read_config, save_pretrained
from moca.foundation.published import Kind, find_source
from moca.foundation.roles import Boxes, Frames

MODELS = {"grounding-dino": GroundingDinoForObjectDetection, "mm-grounding-dino": MMGroundingDinoForObjectDetection}
KIND = Kind(
    role="words",
    types=tuple(MODELS),
    example="IDEA-Research/grounding-dino-tiny",
    spare=("model.text_backbone.pooler.", "model.text_backbone.embeddings.position_ids"),
)


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
        self.sides = checked_sides(model, sides)
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
                check_shape(self.model, frames[i].shape[:2], self.sides)
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
        answers = self.model(pixel_values=pixels, input_ids=ids, attention_mask=present)
        return answers.logits.float().sigmoid().cpu().numpy(), answers.pred_boxes.float().cpu().numpy()


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
    sides = read_sides(source, KIND)
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
    short, long = checked_sides(model, sides)
    size = {"shortest_edge": short, "longest_edge": long}
    preprocessor = preprocessor_document(
        size, IMAGENET_MEAN, IMAGENET_STD, image_processor_type="GroundingDinoImageProcessor"
    )
    documents = {PREPROCESSOR_FILE: preprocessor, **tokenizer_documents(tokenizer)}
    save_pretrained(folder, model, dtype=dtype, documents=documents)


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
    means = np.stack([chance.mean(axis=1) for chance in own], axis=1)
    means[np.stack([chance.max(axis=1) for chance in own], axis=1) <= text_threshold] = -1
    best = means.argmax(axis=1)
    height, width = shape
    xyxy, inside = cut_to_frame(corners(boxes) * (width, height, width, height), height, width)
    chosen = np.flatnonzero(inside & (scores > box_threshold) & (means.max(axis=1) >= 0))
    return Boxes(xyxy=xyxy[chosen], scores=scores[chosen], labels=tuple(prompt.phrases[best[i]] for i in chosen))


def _merged(parts: list[Boxes], nms_iou: float | None) -> Boxes:
    """All boxes of a frame, best first."""
    xyxy, scores = np.concatenate([part.xyxy for part in parts]), np.concatenate([part.scores for part in parts])
    labels = [label for part in parts for label in part.labels]
    order = np.argsort(-scores, kind="stable") if nms_iou is None else nms(xyxy, scores, nms_iou)
    return Boxes(xyxy=xyxy[order], scores=scores[order], labels=tuple(labels[i] for i in order))


def _no_boxes() -> Boxes:
    return Boxes(xyxy=np.empty((0, 4), np.float32), scores=np.empty(0, np.float32), labels=())


def _check_backbone(source: str, config: dict) -> None:
    backbone = config.get("backbone_config")
    backbone_type = backbone.get("model_type") if isinstance(backbone, dict) else None
    if backbone_type != "swin":
        raise InputError(
            f"{source} must have a backbone of type 'swin', got {backbone_type!r}; use a model such as {KIND.example}."
        )


def _check_settings(box_threshold: float, text_threshold: float, nms_iou: float | None, batch: int) -> None:
    for name, value in (("box_threshold", box_threshold), ("text_threshold", text_threshold), ("nms_iou", nms_iou)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} must be from 0 to 1, got {value}; change it.")
    if batch < 1:
        raise InputError(f"batch must be at least 1 prompt, got {batch}; raise it.")
