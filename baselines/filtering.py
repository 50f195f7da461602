"""ImageBind as a filter: which cut-out regions of a picture go with a sound.

A region is cut out along its box and stretched to ImageBind's square, so that none of it is lost (ImageBind's own
preparation would keep the centre square). Of a region with a mask, everything else in its box is painted over with
the mean colour, unless the plain box is asked for. The cosine is read the way the encoder was trained: of the class
token, or, for an encoder that learned through its patches, the mean of its best ones; see `ImageBind.presence`.
Letters: N regions, E joint embedding, H x W the picture.
Source: MoCA (arXiv 2403.14203), section 4.1; how regions are cut out is not said there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from moca.core.frames import CLIP_MEAN
from moca.core.maps import mask_boxes, pixels_between
from moca.core.step import Step
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from moca.pipeline.comparing import presences
from moca.segmentation.relative import Comparison, SoundBank

BATCH_CROPS = 32  # crops computed at a time; it changes memory, not results
MEAN_COLOUR = np.round(np.array(CLIP_MEAN) * 255).astype(np.uint8)


class SoundFilter:
    """Cosines of cut-out regions with a sound, by a frozen ImageBind on the device it is on."""

    def __init__(self, encoder: ImageBind, bank: SoundBank | None = None) -> None:
        self.encoder, self.bank = encoder.eval().requires_grad_(False), bank

    @property
    def image_size(self) -> int:
        """Side in pixels of what the encoder looks at."""
        return self.encoder.config.image_size

    @torch.inference_mode()
    def hear(self, steps: Sequence[Step]) -> Tensor:
        """Audio embeddings (B, E) of steps that all have sound, on the encoder's device."""
        config = self.encoder.config.log_mel
        waves = [torch.from_numpy(np.ascontiguousarray(step.audio, np.float32)) for step in steps]
        mels = torch.cat([log_mel(wave[None], config) for wave in waves])
        return self.encoder.embed_audio(mels.to(self._like.device, self._like.dtype))

    @torch.inference_mode()
    def cosines(self, crops: Sequence[np.ndarray], sound: Tensor) -> np.ndarray:
        """Cosine of every crop with one sound, (N,) float32 in [-1, 1]; no crops give none.

        crops: RGB uint8 of any sizes. sound: (E,), a row of `hear`.
        """
        cosines = [
            self.encoder.presence(tokens, sound.expand(len(tokens), -1)).float().cpu() for tokens in self._seen(crops)
        ]
        return torch.cat(cosines).numpy() if cosines else np.zeros(0, np.float32)

    @torch.inference_mode()
    def compare(self, crops: Sequence[np.ndarray], sound: Tensor) -> Comparison:
        """Crops beside one sound and the bank, which must be there: what `cosines` says, of every sound."""
        heard = torch.cat([torch.from_numpy(self.bank.embeddings).to(sound), self.encoder.audio_direction(sound[None])])
        found = [presences(self.encoder, tokens, heard).float().cpu() for tokens in self._seen(crops)]
        cosines = torch.cat(found).numpy() if found else np.zeros((0, len(heard)), np.float32)
        return Comparison(own=cosines[:, -1], others=cosines[:, :-1])

    def _seen(self, crops: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """Final image tokens of crops, batch by batch."""
        tower = self.encoder.image_tower
        for start in range(0, len(crops), BATCH_CROPS):
            pixels = preprocess_frames(crops[start : start + BATCH_CROPS], self.image_size, fit="stretch")
            yield tower(tower.tokens(pixels.to(self._like.device, self._like.dtype)))

    @property
    def _like(self) -> Tensor:
        return next(self.encoder.parameters())


def cut_boxes(picture: np.ndarray, boxes: np.ndarray, margin: float = 0.0) -> list[np.ndarray]:
    """What lies in each box (N, 4), in pixels of a picture (H, W, 3) uint8: crops of at least one pixel.

    margin: share of a box's sides that is added on every side, as far as the picture goes.
    """
    height, width = picture.shape[:2]
    crops = []
    for x0, y0, x1, y1 in np.asarray(boxes, np.float64).reshape(-1, 4):
        wide, high = margin * (x1 - x0), margin * (y1 - y0)
        rows, columns = pixels_between(y0 - high, y1 + high, height), pixels_between(x0 - wide, x1 + wide, width)
        crops.append(picture[rows, columns])
    return crops


def cut_masks(picture: np.ndarray, masks: np.ndarray, *, crop: str = "masked", margin: float = 0.0) -> list[np.ndarray]:
    """What lies in each mask (N, H, W) bool, none of them empty, cut out along the mask's box.

    crop: "masked" paints what is not in the mask with the mean colour; "box" leaves it.
    """
    boxes = mask_boxes(masks)
    if crop == "box":
        return cut_boxes(picture, boxes, margin)
    crops = []
    for mask, box in zip(masks, boxes, strict=True):
        painted = np.where(mask[..., None], picture, MEAN_COLOUR)
        crops += cut_boxes(painted, box[None], margin)
    return crops


def nothing_agrees(best: float, threshold: float) -> str:
    """Why no region is kept."""
    return f"nothing agrees with the sound: best cosine {best:.2f}, below {threshold:.2f}"
