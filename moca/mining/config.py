"""How neighbours are found and negatives drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moca.core.settings import Settings, setting

Source = Literal["image", "audio", "both"]
Index = Literal["auto", "flat", "ivf"]


@dataclass(frozen=True, kw_only=True)
class MiningConfig(Settings):
    """Who may be a positive and who a negative. Source: MoCA (arXiv 2403.14203) section 3.2, which gives no K."""

    neighbours: int = setting(
        20,
        help="Positives are drawn from so many neighbours (K).",
        least=1,
        hint="20 is the default",
        option=True,
    )
    source: Source = setting(
        "image",
        help="Whose likeness makes neighbours: that of the pictures (image, the paper), of the sounds (audio), or of "
        "both in equal parts.",
        shown="mining",
        option=True,
    )
    exclude_same_video: bool = setting(
        False,
        help="Frames of the anchor's own video are neither positives nor negatives; the paper does not mention it.",
        option=True,
    )
    hard_negatives: bool = setting(
        False,
        help="The negative is the most similar allowed frame of the batch, not a random one as in the paper.",
        option=True,
    )
    index: Index = setting(
        "auto", help="Search every row (flat, exact), only the nearest lists of rows (ivf), or by size (auto)."
    )
