"""SAM: masks of whatever a box or a point shows. Also SAM-HQ, the same model with finer masks.

A published SAM is a folder in the `transformers` format (model_type "sam", "sam_hq", "sam2" or "sam2_video") or one of
the three official `.pth` files. Source: Kirillov et al., Segment Anything, ICCV 2023; Ke et al., Segment Anything in
High Quality, NeurIPS 2023.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, SamConfig, SamHQModel, SamModel

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD
from moca.errors import InputError
from moca.foundation.preprocessor_file import PREPROCESSOR_FILE, preprocessor_document, read_preprocessor
from moca.foundation.pretrained import load_pretrained, read_config, save_pretrained
from moca.foundation.published import Kind, find_source
from moca.foundation.sam import sam2
from moca.foundation.sam.official import load_official
from moca.foundation.sam.prompted import Encoded, PromptedMasks, computed_in
from moca.foundation.sam.sam2 import Sam2

KIND = Kind(role="masks", types=("sam", "sam_hq"), example="facebook/sam-vit-base")
OFFICIAL_SUFFIXES = (".pth", ".pt")


class Sam(PromptedMasks):
    """A frozen SAM or SAM-HQ. The long side of a frame fills the model's input, the rest is padded.

    model: frozen and put in eval mode; frames and prompts follow its device and the types of its parts.
    """

    def __init__(self, model: SamModel | SamHQModel):
        side, other = (part.image_size for part in (model.config.vision_config, model.config.prompt_encoder_config))
        if side != other:
            raise InputError(
                f"a SAM's vision_config and prompt_encoder_config must have one image_size, got {side} and {other}; "
                "correct its configuration."
            )
        super().__init__(model, side=side)

    @staticmethod
    def preprocessor(config: SamConfig) -> dict:
        """What preprocessor_config.json says of how a model of this configuration reads pictures."""
        side = config.vision_config.image_size
        small = config.prompt_encoder_config.image_embedding_size * 4
        others = {
            "image_processor_type": "SamImageProcessor",
            "processor_class": "SamProcessor",
            "do_convert_rgb": True,
            "pad_size": {"height": side, "width": side},
            "mask_size": {"longest_edge": small},
            "mask_pad_size": {"height": small, "width": small},
        }
        return preprocessor_document({"longest_edge": side}, IMAGENET_MEAN, IMAGENET_STD, **others)

    def _fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        scale = self.side / max(size)
        return max(int(size[0] * scale + 0.5), 1), max(int(size[1] * scale + 0.5), 1)

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        embeddings = self.model.get_image_embeddings(pixels)
        if isinstance(embeddings, Tensor):
            return [embeddings]
        embedding, intermediate = embeddings  # SAM-HQ's decoder also reads what its first global block has seen
        return [embedding, *intermediate[:1]]

    def _decoded_with(self, maps: tuple[Tensor, ...]) -> dict:
        if isinstance(self.model, SamHQModel):
            return {"hq_token_only": False, "intermediate_embeddings": list(maps)}
        return {}

    def _enlarged(self, logits: Tensor, encoded: Encoded) -> Tensor:
        square = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        height, width = encoded.resized
        return functional.interpolate(square[..., :height, :width], encoded.size, mode="bilinear", align_corners=False)


MODELS: dict[str, tuple[type[PromptedMasks], type[PreTrainedModel], Kind]] = {
    "sam": (Sam, SamModel, KIND),
    "sam_hq": (Sam, SamHQModel, KIND),
    **{name: (Sam2, sam2.Sam2Model, sam2.KIND) for name in sam2.KIND.types},
}


def load_sam(
    name: str | Path = "mini",
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    config: SamConfig | None = None,
) -> Sam | Sam2:
    """A frozen SAM, SAM-HQ or SAM 2, by what its configuration says.

    name: "mini" (bundled), a name of `moca weights list` such as "sam-vit-base", a folder in the published format, a
    hub id such as "facebook/sam-vit-base", which is downloaded once, or an official checkpoint such as
    `sam_vit_b_01ec64.pth`. dtype: float32 or bfloat16, what images
    and masks are computed in; prompts are always encoded in float32. config: what an official checkpoint holds that is
    none of SAM-B, SAM-L and SAM-H. Nothing stored in a file is ever executed. Raises InputError, in one line, for a
    model that is not there, is damaged, or is not a SAM.
    """
    official = Path(name).suffix in OFFICIAL_SUFFIXES and not Path(name).is_dir()
    source = str(name) if official else find_source(name, KIND)
    if Path(source).suffix in OFFICIAL_SUFFIXES and not Path(source).is_dir():
        return Sam(computed_in(load_official(source, config), dtype).to(device))
    if config is not None:
        raise InputError("config must be None unless name is an official .pth file, got a configuration; leave it out.")
    wrapper, model_class, kind = MODELS[read_config(source, replace(KIND, types=tuple(MODELS)))["model_type"]]
    stated = read_preprocessor(source, kind, IMAGENET_MEAN, IMAGENET_STD)
    model = load_pretrained(model_class, source, kind, dtype=torch.float32)
    size = wrapper.preprocessor(model.config)["size"]
    if stated.get("size", size) != size:
        raise InputError(
            f"{source} must have its model's size, {size}, in {PREPROCESSOR_FILE}, got {stated['size']}; restore it."
        )
    return wrapper(computed_in(model, dtype).to(device))


def save_sam(folder: str | Path, model: PreTrainedModel, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model into a folder, which is created, in the published format that `load_sam` reads.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. All files are
    complete before any of them replaces an older one.
    """
    preprocessor = MODELS[model.config.model_type][0].preprocessor(model.config)
    save_pretrained(folder, model, dtype=dtype, documents={PREPROCESSOR_FILE: preprocessor})
