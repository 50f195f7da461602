"""SAM 2 on single pictures, with the same prompts and masks as SAM.

The published folders (`facebook/sam2.1-hiera-tiny` and others) are of type "sam2_video": their image part is read,
their memory of earlier frames is not. Source: Ravi et al., SAM 2: Segment Anything in Images and Videos, ICLR 2025.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional
from transformers import Sam2Config, Sam2Model

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD
from moca.foundation.preprocessor_file import preprocessor_document
from moca.foundation.published import Kind
from moca.foundation.sam.prompted import Encoded, PromptedMasks

KIND = Kind(
    role="masks",
    types=("sam2", "sam2_video"),
    example="facebook/sam2.1-hiera-tiny",
    spare=(
        "memory_",
        "mask_downsample.",
        "no_memory_positional_encoding",
        "no_object_pointer",
        "object_pointer_proj.",
        "occlusion_spatial_embedding_parameter",
        "temporal_positional_encoding_projection_layer.",
    ),
)


class Sam2(PromptedMasks):
    """A frozen SAM 2. A frame is stretched to the square that the model reads.

    model: frozen and put in eval mode; frames and prompts follow its device and the types of its parts. A box gives
    the single mask where that is stable, the best of three otherwise, as the reference code does.
    """

    def __init__(self, model: Sam2Model):
        super().__init__(model, side=model.config.prompt_encoder_config.image_size)

    @staticmethod
    def preprocessor(config: Sam2Config) -> dict:
        """What preprocessor_config.json says of how a model of this configuration reads pictures."""
        side, patch = config.prompt_encoder_config.image_size, config.prompt_encoder_config.patch_size
        others = {
            "image_processor_type": "Sam2ImageProcessor",
            "processor_class": "Sam2Processor",
            "do_convert_rgb": True,
            "mask_size": {"height": side // patch * 4, "width": side // patch * 4},
        }
        square = {"height": side, "width": side}
        return preprocessor_document(square, IMAGENET_MEAN, IMAGENET_STD, **others) | {"do_pad": False}

    def _fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.side, self.side

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        return self.model.get_image_embeddings(pixels)[::-1]  # the embedding last, fine maps before it

    def _decoded_with(self, maps: tuple[Tensor, ...]) -> dict:
        return {"high_resolution_features": list(maps[::-1])}

    def _enlarged(self, logits: Tensor, encoded: Encoded) -> Tensor:
        return functional.interpolate(logits, encoded.size, mode="bilinear", align_corners=False)
