"""One ImageBind tower, opened up block by block.

Shape letters: B samples, L = 1 + N tokens (class token first), D width, M mel bins, T frames.
"""

from typing import get_args

import torch
from torch import Tensor, nn

from moca.adapters.last_block import check_reading, read_last_blocks, without_high_norms
from moca.adapters.readings import LAST_BLOCKS, Reading, SelfSelf
from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.layers import Stem, Trunk, keep_some


class ImageBindTower(nn.Module):
    """One modality's stem and trunk, block by block: what `moca.adapters.Tower` asks for."""

    def __init__(self, stem: Stem, trunk: Trunk, config: ImageBindConfig, *, audio: bool):
        super().__init__()
        self.stem, self.trunk, self.config, self.audio = stem, trunk, config, audio
        self.training = stem.training

    @property
    def width(self) -> int:
        """Width D of the tokens."""
        return self.stem.cls_token.shape[-1]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.trunk.blocks)

    def tokens(self, inputs: Tensor, *, keep: float | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Tokens entering block 0, (B, L, D), class token first.

        inputs: images (B, 3, H, W), two-frame clips (B, 3, 2, H, W), or log-mels (B, 1, M, T).
        keep: share of the patch tokens to keep, drawn at random from `generator`; for faster training.
        """
        (self._check_mels if self.audio else self._check_pixels)(inputs)
        x = self.trunk.pre_transformer_layer(self.stem(inputs))
        return x if keep is None else keep_some(x, keep, generator)

    def attend(self, block: int, x: Tensor) -> Tensor:
        """Attention branch of a block, (B, L, D), without adding x."""
        return self.trunk.blocks[block].attend(x)

    def feed(self, block: int, x: Tensor) -> Tensor:
        """MLP branch of a block, (B, L, D), without adding x."""
        return self.trunk.blocks[block].feed(x)

    def values(self, block: int, x: Tensor) -> Tensor:
        """Value path of a block's attention, (B, L, D): no token sees another, x is not added."""
        return self.trunk.blocks[block].values(x)

    def self_self_attend(self, block: int, x: Tensor, by: SelfSelf) -> Tensor:
        """Attention branch of a block with tokens compared by their queries, keys or values, x not added."""
        if by not in get_args(SelfSelf):
            raise InputError(
                f"self-self attention must be by one of {', '.join(get_args(SelfSelf))}, got {by!r}; choose one."
            )
        return self.trunk.blocks[block].self_self_attend(x, by)

    def forward(
        self,
        x: Tensor,
        *,
        reading: Reading = "token",
        guide: Tensor | None = None,
        self_self: SelfSelf = "query",
        high_norm: float | None = None,
    ) -> Tensor:
        """All blocks: tokens from `tokens` -> (B, L, D), under reading "proxy" (B, 1 + M, D).

        reading, guide, self_self, high_norm: how the last blocks are run; see `moca.adapters.AdaptedTowers.suffix`,
        which does the same with adapters.
        """
        if reading not in get_args(Reading):
            raise InputError(f"reading must be one of {', '.join(get_args(Reading))}, got {reading!r}; choose one.")
        check_reading(reading, guide, x)
        last = self.depth - LAST_BLOCKS[reading]
        for block in self.trunk.blocks[:last]:
            x = block(x)
        if high_norm is not None:
            x = without_high_norms(x, high_norm)
        if reading == "token":
            return self.trunk.blocks[last](x)
        return read_last_blocks(self, x, reading=reading, guide=guide, self_self=self_self)

    def _check_pixels(self, pixels: Tensor) -> None:
        shape, patch = tuple(pixels.shape), self.config.patch
        still = pixels.ndim == 4
        clip = pixels.ndim == 5 and shape[2] == 2 and self.config.stem == "patch"
        if not (still or clip) or shape[1] != 3:
            clips = " or (B, 3, 2, H, W)" if self.config.stem == "patch" else ""
            raise InputError(f"images must have shape (B, 3, H, W){clips}, got {shape}; reshape them.")
        if shape[-1] != shape[-2] or shape[-1] % patch or shape[-1] == 0:
            raise InputError(
                f"images must be square with a side that is a multiple of {patch} pixels, "
                f"got {shape[-2]} x {shape[-1]}; use preprocess_frames."
            )

    def _check_mels(self, mels: Tensor) -> None:
        wanted = (1, self.config.log_mel.mel_bins, self.config.log_mel.target_frames)
        if mels.ndim != 4 or tuple(mels.shape[1:]) != wanted:
            rule = ", ".join(map(str, wanted))
            raise InputError(
                f"log-mels must have shape (B, {rule}), got {tuple(mels.shape)}; "
                "use log_mel with the model's own settings."
            )
