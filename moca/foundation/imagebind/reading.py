"""Settings of how patch features are read from the end of an image tower."""

from __future__ import annotations

from dataclasses import dataclass

from moca.adapters.readings import Reading, SelfSelf
from moca.core.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class PatchReading(Settings):
    """How patch features are read; formulas and sources are in `moca.adapters.last_block`."""

    reading: Reading = setting(
        "token",
        help="How patches are read from the last block: its tokens (token), its values (value, MaskCLIP; value2, of "
        "two blocks), values averaged by self-self attention (clear, ClearCLIP) or by how alike patches are to DINO "
        "(proxy, ProxyCLIP). By default the model's own.",
        option=True,
    )
    proxy_beta: float = setting(
        1.2, help="Of proxy: patches count as alike above this multiple of their mean cosine.", least=0
    )
    proxy_gamma: float = setting(3.0, help="Of proxy: how much more the most alike patches count.", above=0)
    clear_by: SelfSelf = setting("query", help="Of clear: what tokens are compared by.")
    high_norm: float | None = setting(
        None,
        help="Patch tokens whose norm is above this multiple of the picture's median become the mean of their "
        "neighbours before the last block (SC-CLIP); none leaves them.",
        above=1,
    )
