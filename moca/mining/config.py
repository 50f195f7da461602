"""How neighbours are found and negatives drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from moca.errors import InputError

Source = Literal["image", "audio", "both"]
Index = Literal["auto", "flat", "ivf"]


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Who may be a positive and who a negative. Source: MoCA (arXiv 2403.14203) section 3.2, which gives no K."""

    neighbours: int = 20
    """K, the length of every row's list of positives; at least 1."""
    source: Source = "image"
    """Whose likeness counts: "image" (the paper), "audio", or "both" in equal parts."""
    exclude_same_video: bool = False
    """Frames of the anchor's own video are neither positives nor negatives; the paper does not mention it."""
    hard_negatives: bool = False
    """The negative is the most similar allowed row of the batch (True) or a random one (False, the paper)."""
    index: Index = "auto"
    """Search every row ("flat", exact), only the nearest lists of rows ("ivf"), or by size ("auto")."""

    def __post_init__(self) -> None:
        if not isinstance(self.neighbours, int) or isinstance(self.neighbours, bool) or self.neighbours < 1:
            raise InputError(
                f"neighbours must be a whole number of at least 1, got {self.neighbours!r}; 20 is the default."
            )
        for name, choices in (("source", Source), ("index", Index)):
            value = getattr(self, name)
            if value not in get_args(choices):
                allowed = ", ".join(repr(choice) for choice in get_args(choices))
                raise InputError(f"{name} must be one of {allowed}, got {value!r}; choose one of them.")
        for name in ("exclude_same_video", "hard_negatives"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise InputError(f"{name} must be true or false, got {value!r}; choose one of them.")
