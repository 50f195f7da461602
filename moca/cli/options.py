"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from moca.errors import InputError

PROPOSALS = Annotated[str | None, typer.Option(help="Mask proposals: none, boxes or grid.")]
RULE = Annotated[str | None, typer.Option(help="How proposals are matched: iou, cover or agreement.")]
MATCH = Annotated[float | None, typer.Option(help="What the rule must exceed, from 0 to below 1.")]
UNMATCHED = Annotated[str | None, typer.Option(help="Where no proposal matches: coarse or empty.")]
METHOD = Annotated[str, typer.Option(help="moca, or a comparison method: at-gdino-sam, owod-bind, sam-bind, yours.")]
SETTINGS = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the method; may be repeated.")
]


def parsed_settings(settings: Sequence[str] | None, example: str) -> dict[str, Any]:
    """key=value pairs, as they are typed after --set; example: one that is right, for the refusal."""
    from moca.core.settings import parse_value

    found = {}
    for text in settings or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InputError(f"--set must be key=value, got {text!r}; e.g. --set {example}.")
        found[name.strip()] = parse_value(value.strip())
    return found
