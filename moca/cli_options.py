"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

PROPOSALS = Annotated[str | None, typer.Option(help="Mask proposals: none, boxes or grid.")]
RULE = Annotated[str | None, typer.Option(help="What of a proposal and the coarse mask counts: iou or cover.")]
MATCH = Annotated[float | None, typer.Option(help="What the rule must exceed for a proposal to match.")]
UNMATCHED = Annotated[str | None, typer.Option(help="Where no proposal matches: coarse or empty.")]
