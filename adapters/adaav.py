"""AdaAV: the audio-visual adapter, the only part of the method that is trained.

Shape legend: B batch, La audio tokens, Lv image tokens, Da audio width, Dv image width, m latents,
r bottleneck width.

The paper (MoCA, arXiv 2403.14203, section 3.1) fixes the steps: latents compress the audio, image tokens read
the latents, then a bottleneck. It does not say how the audio width meets the image width, whether attention
is projected, or how large m and r are. A projection at full width would not fit in the stated 1.3 M
parameters, so both kinds of token enter the bottleneck first and meet there.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .sizes import check_sizes


class AdaAV(nn.Module):
    """What the audio adds to every image token of one block.

        A = audio_down(norm(X_a)), V = image_down(norm(X_v))      both in width r
        L = latents + softmax(latents A^T / sqrt(r)) A     latents compress the audio
        V = V + softmax(V L^T / sqrt(r)) L                 image tokens read the latents
        AdaAV(X_a, X_v) = up(gelu(V))

    norm is layer normalisation without parameters: tokens of a residual stream grow from block to block, and a
    few channels of a large transformer are hundreds of times larger than the rest, which would leave the
    latents one token to attend to. The attentions have no projections of their own and one head, as in LAVISH;
    they are scaled by 1 / sqrt(r), so that a wider bottleneck does not make them sharper. The image token
    stays in V, so what is added depends on both. `up` (weight and bias) starts at zero: an untrained adapter
    returns exact zeros. The other values start so that everything inside has about unit variance.

    One adapter serves a block twice (after attention, after the MLP). Parameters:
    (Da + 1) r + (Dv + 1) r + (r + 1) Dv + m r, which is 216,448 for Da 768, Dv 1280, r 64, m 32.
    """

    def __init__(
        self,
        image_width: int,
        audio_width: int,
        bottleneck: int = 64,
        latents: int = 32,
        *,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_sizes(image_width=image_width, audio_width=audio_width, bottleneck=bottleneck, latents=latents)
        # skip_init leaves the global random state alone; `reset` fills every value.
        self.latents = nn.Parameter(torch.empty(latents, bottleneck))
        self.audio_down = nn.utils.skip_init(nn.Linear, audio_width, bottleneck)
        self.image_down = nn.utils.skip_init(nn.Linear, image_width, bottleneck)
        self.up = nn.utils.skip_init(nn.Linear, bottleneck, image_width)
        self.reset(generator)

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Set every parameter to its starting value; the output is zero afterwards."""
        nn.init.normal_(self.latents, generator=generator)
        for down in (self.audio_down, self.image_down):
            nn.init.normal_(down.weight, std=down.in_features**-0.5, generator=generator)
            nn.init.zeros_(down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def compress(self, audio: Tensor) -> Tensor:
        """Latents after reading the audio tokens. audio: (B, La, Da). Returns (B, m, r)."""
        tokens = self.audio_down(_norm(audio))
        latents = self.latents.to(tokens.dtype).expand(len(tokens), -1, -1)
        return latents + _read(latents, tokens)

    def forward(self, audio: Tensor, image: Tensor) -> Tensor:
        """audio: (B, La, Da), image: (B, Lv, Dv). Returns what to add to the image tokens, (B, Lv, Dv)."""
        latents = self.compress(audio)
        tokens = self.image_down(_norm(image))
        return self.up(F.gelu(tokens + _read(tokens, latents)))


def _norm(tokens: Tensor) -> Tensor:
    """Each token with mean 0 and variance 1 over its channels; no parameters."""
    return F.layer_norm(tokens, tokens.shape[-1:])


def _read(queries: Tensor, memory: Tensor) -> Tensor:
    """softmax(queries memory^T / sqrt(r)) memory, for queries (B, Q, r) and memory (B, K, r)."""
    weights = queries @ memory.transpose(1, 2) * queries.shape[-1] ** -0.5
    return weights.softmax(-1) @ memory
