"""Two frozen transformer towers with adapters between their blocks.

Shape legend: B batch, La audio tokens, Lv image tokens, Da audio width, Dv image width.

Nothing before the first adapted image block, and nothing in the audio tower, depends on a trainable number.
So a run is cut in three: `hear` (audio, frozen), `prefix` (image, frozen) and `suffix` (image, adapted).
The frozen parts run once per input, keep no graph, and may be cached; only the suffix is run per (image,
audio) pair. Cut or uncut, the numbers are the same to the last bit.
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .adaav import AdaAV
from .errors import AdapterError
from .frozen import AudioContext, Tower
from .last_block import check_reading, read_last_blocks, without_high_norms
from .plan import Plan
from .readings import LAST_BLOCKS, Reading, SelfSelf
from .sizes import AdaAVConfig

READOUT_SCALE = 10.0  # unit features and a read-out of moderate length then reach saturated logits
READOUT_START = -2.0  # most of a picture is silent


class AdaptedTowers(nn.Module):
    """A frozen image tower whose planned blocks listen to a frozen audio tower.

    In an adapted block (MoCA, arXiv 2403.14203, section 3.1), with one AdaAV used twice:

        Y_v  = X_v + MHA(X_v) + AdaAV(X_a, X_v)
        X_v' = Y_v + MLP(Y_v) + AdaAV(Y_a, Y_v)

    Only the adapters are parameters of this module: `parameters()`, `state_dict()`, `train()` and `.to()` see
    nothing else. The towers stay with the encoder that owns them, so move both: `encoder.to(device)` and
    `adapted.to(device)`. A tower that is an `nn.Module` is frozen here (no gradients, evaluation mode).

    image, audio: towers. plan: which blocks meet. config: adapter size. prefix_dtype: run the frozen parts
    (`prefix`, `hear`) under autocast in this dtype, for example torch.bfloat16, and hand their results on
    in the adapters' dtype; None leaves precision alone. generator: source of the initial values (the global
    one if None). Raises AdapterError when the plan asks for a block that a tower does not have.
    """

    def __init__(
        self,
        image: Tower,
        audio: Tower,
        plan: Plan,
        config: AdaAVConfig | None = None,
        *,
        readout: int | None = None,
        prefix_dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        plan.check(image.depth, audio.depth)
        self.plan = plan
        self.config = config or AdaAVConfig()
        self.prefix_dtype = prefix_dtype
        self._towers = (image, audio)  # a plain tuple: nn.Module does not register what is inside
        self._heard_by = dict(zip(plan.image_blocks, plan.audio_blocks, strict=True))
        self.adapters = nn.ModuleDict(
            {
                str(block): AdaAV(
                    image.width,
                    audio.width,
                    self.config.bottleneck,
                    self.config.latents,
                    generator=generator,
                )
                for block in plan.image_blocks
            }
        )
        self.readout = None if readout is None else nn.Parameter(_untrained_readout(readout))
        for tower in self._towers:
            if isinstance(tower, nn.Module):
                tower.requires_grad_(False).eval()

    @property
    def image(self) -> Tower:
        return self._towers[0]

    @property
    def audio(self) -> Tower:
        return self._towers[1]

    @torch.no_grad()
    def hear(self, mels: Tensor) -> AudioContext:
        """Run the audio tower. mels: its input for B audios. Returns their context, without a graph."""
        wanted = set(self.plan.audio_blocks)
        pairs = {}
        with self._frozen_precision(mels):
            x = self.audio.tokens(mels)
            for block in range(self.audio.depth):
                y = x + self.audio.attend(block, x)
                if block in wanted:
                    pairs[block] = (self._hand_on(x), self._hand_on(y))
                x = y + self.audio.feed(block, y)
        return AudioContext(pairs=pairs, tokens=self._hand_on(x))

    @torch.no_grad()
    def prefix(self, pixels: Tensor) -> Tensor:
        """Run the image tower up to its first adapted block. pixels: the tower's input for B images.

        Returns the tokens (B, Lv, Dv) that enter that block, without a graph. With the first block adapted,
        this is the stem alone.
        """
        with self._frozen_precision(pixels):
            x = self.image.tokens(pixels)
            for block in range(self.plan.image_blocks[0]):
                x = self._plain_block(block, x)
        return self._hand_on(x)

    def suffix(
        self,
        tokens: Tensor,
        context: AudioContext,
        *,
        reading: Reading = "token",
        guide: Tensor | None = None,
        self_self: SelfSelf = "query",
        high_norm: float | None = None,
        adapted: bool = True,
    ) -> Tensor:
        """Run the image tower from its first adapted block to its end; differentiable in the adapters only.

        tokens: (B, Lv, Dv) from `prefix`. context: B audios, one per image (see `AudioContext.select`).
        reading: see `Reading`; a block that is replaced by its value path keeps its adapter, if it has one:
        values(X_v) + AdaAV(X_a, X_v), of which "proxy" takes the average, and "clear" has its self-self attention in
        the place of the values. guide: for "proxy", (B, M, M) weights, see `last_block.affinity`; M may be another
        square than the tower's own grid. self_self: what "clear" compares tokens by. high_norm: limit above which
        tokens are replaced before the last blocks, see `last_block.without_high_norms`; None replaces none.
        adapted: False leaves the adapters out, which gives exactly what the frozen image tower computes.

        Returns (B, Lv, Dv), under "proxy" (B, 1 + M, Dv). Raises AdapterError for another reading, a guide that does
        not fit, or another number of audios.
        """
        check_reading(reading, guide, tokens)
        if len(tokens) != len(context):
            raise AdapterError(
                f"every image needs one audio, got {len(tokens)} images and {len(context)} audios; "
                "repeat or pick audios with context.select(index)."
            )
        first, last = self.plan.image_blocks[0], self.image.depth - LAST_BLOCKS[reading]
        if first > last:
            raise AdapterError(
                f"reading {reading} takes the values of blocks {last} and later, got adapters from block {first} on; "
                f"adapt block {last} too, or choose another reading."
            )

        def added(block: int, x: Tensor) -> Tensor | None:
            """What the adapter of a block adds to its values."""
            if not (adapted and block in self._heard_by):
                return None
            return self.adapters[str(block)](context.pairs[self._heard_by[block]][0], x)

        x = tokens
        for block in range(first, last):
            x = self._block(block, x, context, adapted)
        if high_norm is not None:
            x = without_high_norms(x, high_norm)
        if reading == "token":
            return self._block(last, x, context, adapted)
        return read_last_blocks(self.image, x, reading=reading, guide=guide, self_self=self_self, added=added)

    def forward(self, pixels: Tensor, mels: Tensor, **how: Any) -> Tensor:
        """suffix(prefix(pixels), hear(mels), **how): image tokens (B, Lv, Dv), each image with its own audio."""
        return self.suffix(self.prefix(pixels), self.hear(mels), **how)

    def score(self, features: Tensor) -> Tensor:
        """The read-out: does a location sound? logits = SCALE * (features . w) + b, one vector (w, b) for all.

        features: (..., width) audio-enhanced features of unit length. Returns (...,) logits. The read-out never
        sees the audio, so whatever it tells apart, the adapters put there. Raises AdapterError without one.
        """
        if self.readout is None:
            raise AdapterError("these adapters have no read-out; score their features against the audio embedding.")
        return READOUT_SCALE * (features @ self.readout[:-1]) + self.readout[-1]

    def _block(self, block: int, x: Tensor, context: AudioContext, adapted: bool) -> Tensor:
        if not (adapted and block in self._heard_by):
            return self._plain_block(block, x)
        adapter = self.adapters[str(block)]
        audio_x, audio_y = context.pairs[self._heard_by[block]]
        # The adapter is added last: an exact zero then leaves the frozen sum's bits as they are.
        y = x + self.image.attend(block, x) + adapter(audio_x, x)
        return y + self.image.feed(block, y) + adapter(audio_y, y)

    def _plain_block(self, block: int, x: Tensor) -> Tensor:
        y = x + self.image.attend(block, x)
        return y + self.image.feed(block, y)

    def _frozen_precision(self, inputs: Tensor):
        if self.prefix_dtype is None:
            return nullcontext()
        return torch.autocast(inputs.device.type, dtype=self.prefix_dtype)

    def _hand_on(self, tokens: Tensor) -> Tensor:
        if self.prefix_dtype is None:
            return tokens
        return tokens.to(next(self.parameters()).dtype)


def _untrained_readout(width: int) -> Tensor:
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise AdapterError(f"readout must be None or a width of at least 1, got {width!r}; give the features' width.")
    vector = torch.zeros(width + 1)
    vector[-1] = READOUT_START
    return vector


def count_trainable(towers: nn.Module) -> int:
    """Number of parameters that an optimiser would change."""
    return sum(parameter.numel() for parameter in towers.parameters() if parameter.requires_grad)
