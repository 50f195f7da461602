"""ImageBind's image and audio towers, written from the published description.

Two transformers whose embeddings share one space. `ImageBindConfig.huge()` has exactly the keys and shapes
of the official checkpoint's image and audio part; smaller variants (see `ImageBindConfig.mini()`) use the
same classes. `moca.foundation.imagebind.weights` reads and writes the weights.

Shape letters: B samples, S clips per sample, A sounds, L = 1 + N tokens (class token first), D width,
E joint embedding, M mel bins, T frames.
"""

import math

import torch
from torch import Tensor, nn

from moca.adapters import fingerprint
from moca.foundation.imagebind.config import TOP_SHARE, ImageBindConfig
from moca.foundation.imagebind.initialising import initialise
from moca.foundation.imagebind.layers import (
    NORM_EPS,
    Linear,
    LogitScale,
    Normalise,
    PatchProjection,
    SelectToken,
    Stem,
    Trunk,
    TwoFrameConv,
    conv_stem,
)
from moca.foundation.imagebind.tower import ImageBindTower


class ImageBind(nn.Module):
    """The image tower, the audio tower and the heads into their joint space.

    Parameters have the official names. Runs in float32 or bfloat16; embeddings are always at least float32.
    """

    def __init__(self, config: ImageBindConfig):
        super().__init__()
        self.config = c = config
        self.rounded_from: str | None = None  # fingerprint of the weights that these were rounded from
        if c.stem == "patch":
            # Index 1, because the official container starts with the frame repeater.
            image_proj = nn.Sequential(nn.Identity(), TwoFrameConv(c.image_width, c.patch))
            audio_proj = nn.Conv2d(1, c.audio_width, c.audio_patch, stride=c.audio_stride, bias=False)
        else:
            image_proj = conv_stem(3, c.image_width, folded=c.folded)
            audio_proj = conv_stem(1, c.audio_width, folded=c.folded)
        image_patches = PatchProjection(image_proj, nn.Identity())
        audio_patches = PatchProjection(audio_proj, nn.LayerNorm(c.audio_width))
        self.modality_preprocessors = nn.ModuleDict(
            {
                "vision": Stem(image_patches, c.image_grid, c.image_width),
                "audio": Stem(audio_patches, c.audio_grid, c.audio_width),
            }
        )
        self.modality_trunks = nn.ModuleDict(
            {
                "vision": Trunk(c.image_width, c.image_blocks, c.image_heads, c.mlp_ratio, audio=False),
                "audio": Trunk(c.audio_width, c.audio_blocks, c.audio_heads, c.mlp_ratio, audio=True),
            }
        )
        widths = {"vision": c.image_width, "audio": c.audio_width}
        self.modality_heads = nn.ModuleDict({m: _head(width, c.embed_dim) for m, width in widths.items()})
        self.modality_postprocessors = nn.ModuleDict(
            {"vision": Normalise(), "audio": nn.Sequential(Normalise(), LogitScale(c.audio_scale))}
        )
        initialise(self)

    @property
    def fingerprints(self) -> dict[str, str]:
        """What results made with it name: "encoder", the weights that adapters are bound to, and, where these are a
        slim copy, whose numbers are rounded, "encoder_slim", the copy's own."""
        own = fingerprint(self.state_dict())
        return {"encoder": own} if self.rounded_from is None else {"encoder": self.rounded_from, "encoder_slim": own}

    @property
    def image_tower(self) -> ImageBindTower:
        """The image tower; it shares this model's parameters."""
        return self._tower("vision")

    @property
    def audio_tower(self) -> ImageBindTower:
        """The audio tower; it shares this model's parameters."""
        return self._tower("audio")

    def _tower(self, modality: str) -> ImageBindTower:
        # Made on demand: as a child it would list every parameter under a second name.
        stem, trunk = self.modality_preprocessors[modality], self.modality_trunks[modality]
        return ImageBindTower(stem, trunk, self.config, audio=modality == "audio")

    def embed_image(self, pixels: Tensor) -> Tensor:
        """Image embeddings (B, E).

        pixels: normalised (B, 3, H, W), L2-normed result; or with clips (B, S, 3, H, W) or
        (B, S, 3, 2, H, W): the mean over S, not normed again (official). With `pooling="dense"` no class
        token was trained: the embedding is then the normed mean of the patch features.
        """
        if pixels.ndim > 4:
            return self._embed_picture(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2]).mean(1)
        return self._embed_picture(pixels)

    def _embed_picture(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) or (B, 3, 2, H, W) -> (B, E), L2-normed."""
        post = self.modality_postprocessors["vision"]
        if self.config.pooling == "dense":
            return post(self.embed_patches(pixels).mean(1))
        tower = self.image_tower
        return post(self.modality_heads["vision"](tower(tower.tokens(pixels))))

    def embed_audio(self, mels: Tensor) -> Tensor:
        """Audio embeddings (B, E) with the norm exp(log_logit_scale), 20 officially.

        mels: (B, 1, M, T), or with clips (B, S, 1, M, T): the mean over S of the scaled embeddings, whose
        norm is below 20. See `audio_direction` for cosines.
        """
        if mels.ndim == 5:
            return self.embed_audio(mels.flatten(0, 1)).unflatten(0, mels.shape[:2]).mean(1)
        tower = self.audio_tower
        embedded = self.modality_heads["audio"](tower(tower.tokens(mels)))
        return self.modality_postprocessors["audio"](embedded)

    def class_direction(self, tokens: Tensor) -> Tensor:
        """L2-normed class-token embeddings (B, E) of final image tokens (B, 1 + N, D)."""
        return self.modality_postprocessors["vision"](self.modality_heads["vision"](tokens))

    def audio_direction(self, heard: Tensor) -> Tensor:
        """L2-normed audio embeddings (A, E) from final audio tokens (A, L, D) or embeddings (A, E)."""
        embedded = self.modality_heads["audio"](heard) if heard.ndim == 3 else heard
        return self.modality_postprocessors["audio"][0](embedded)

    def read_image(
        self, pixels: Tensor, *, keep: float | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Final image tokens (B, 1 + N, D), read as `config.reading` says.

        keep and generator as in `ImageBindTower.tokens`.
        """
        tower = self.image_tower
        return tower(tower.tokens(pixels, keep=keep, generator=generator), reading=self.config.reading)

    def project_image(self, tokens: Tensor) -> Tensor:
        """Final tokens (B, 1 + N, D) -> L2-normed patch features (B, N, E) in the joint space.

        Applies the image head to every patch token, which is this project's use, not an official one.
        """
        norm, _, matrix = self.modality_heads["vision"]
        return self.modality_postprocessors["vision"](matrix(norm(tokens[:, 1:])))

    def embed_patches(
        self, pixels: Tensor, *, keep: float | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """`project_image` of `read_image`: (B, 3, H, W) -> (B, N, E)."""
        return self.project_image(self.read_image(pixels, keep=keep, generator=generator))

    def agreement(self, patches: Tensor, audio: Tensor) -> Tensor:
        """Cosines (B, A, N) of patch features (B, N, E) with audio embeddings (A, E), in [-1, 1]."""
        patches = self.modality_postprocessors["vision"](patches)
        return torch.einsum("bne,ae->ban", patches, self.audio_direction(audio))

    def presence(self, tokens: Tensor, audio: Tensor) -> Tensor:
        """Does anything in a picture go with a sound? (B,) in [-1, 1], read the way the towers were trained.

        tokens: final image tokens (B, 1 + N, D), as "token" reads them; audio: one embedding per picture (B, E). With
        pooling "class" the cosine of the class token, with "dense" the mean of the highest 2.5% of the patches'.
        """
        if self.config.pooling == "class":
            return (self.class_direction(tokens) * self.audio_direction(audio)).sum(-1)
        cosines = torch.einsum("bne,be->bn", self.project_image(tokens), self.audio_direction(audio))
        return cosines.topk(max(1, round(TOP_SHARE * cosines.shape[1])), dim=1).values.mean(1)

    def pooled_similarity(self, patches: Tensor, audio: Tensor) -> Tensor:
        """One number per image and sound, (B, A) in [-1, 1]: the soft maximum of `agreement` over patches.

        tau * log(mean(exp(cos / tau))): the maximum as tau -> 0, the mean as tau -> infinity. This is
        dense pooling; for a model trained by its class token, compare `embed_image` with `audio_direction`.
        """
        cosines, tau = self.agreement(patches, audio), self.config.temperature
        return tau * (torch.logsumexp(cosines / tau, dim=-1) - math.log(cosines.shape[-1]))


def _head(width: int, embed_dim: int) -> nn.Sequential:
    norm = nn.LayerNorm(width, eps=NORM_EPS)
    return nn.Sequential(norm, SelectToken(), Linear(width, embed_dim, bias=False))


def random_imagebind(config: ImageBindConfig, seed: int) -> ImageBind:
    """An untrained model in eval mode; the same seed gives the same weights.

    The global generator is neither used nor changed.
    """
    with torch.device("meta"):
        model = ImageBind(config)
    model.to_empty(device="cpu")
    initialise(model, torch.Generator().manual_seed(seed))
    return model.eval()
