"""The same model with parts taken away: what `moca evaluate` compares a result with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moca.segmenter import Segmenter

OPENED = ("heat_low", "gate", "gate_frozen")
"""Settings whose lowest value is no model's calibration but a wish to see everything."""


def variants_of(segmenter: Segmenter, model: str | Path) -> dict[str, Segmenter]:
    """Variants by name: the encoder without adapters, and what snapping or mask proposals alone are worth.

    model: what the segmenter was loaded from. A model with mask proposals is also run without them, and so is its
    frozen encoder; one that snaps coarse masks to edges has its frozen encoder snapped, too. Gates that are open, and
    heat that is not clipped, are so in the variants as well.
    """
    proposer = segmenter.pipeline.proposer
    bare = Segmenter.load(model, adapters=None, proposals="none", device=str(segmenter.device))

    opened = {name: -1.0 for name in OPENED if getattr(segmenter.config, name) == -1.0}
    bare = Segmenter(bare.pipeline, config=replace(bare.config, **opened), device=bare.device)

    def frozen(**settings: object) -> Segmenter:
        return Segmenter(bare.pipeline, config=replace(bare.config, **settings), device=bare.device)

    snaps = segmenter.config.refine and not bare.config.refine
    if proposer is None:
        return {"frozen encoder": bare, **({"frozen encoder, snapped": frozen(refine=True)} if snaps else {})}
    parts = {name: value for name, value in segmenter.pipeline.fingerprints.items() if name in ("masks", "objects")}
    prints = {**bare.pipeline.fingerprints, **parts}
    proposing = replace(bare.pipeline, proposer=proposer, fingerprints=prints)
    alone = replace(
        segmenter.pipeline,
        proposer=None,
        fingerprints={name: value for name, value in segmenter.pipeline.fingerprints.items() if name not in parts},
    )
    return {
        "without proposals": Segmenter(alone, config=segmenter.config, device=segmenter.device),
        "frozen encoder": Segmenter(
            proposing, config=replace(bare.config, refine=segmenter.config.refine), device=bare.device
        ),
        "frozen encoder, without proposals": frozen(refine=segmenter.config.refine),
    }
