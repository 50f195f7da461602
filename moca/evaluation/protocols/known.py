"""Protocols by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moca.errors import InputError
from moca.evaluation.protocols.localisation import Localisation
from moca.evaluation.protocols.protocol import EvaluationProtocol
from moca.evaluation.protocols.segmentation import Segmentation
from moca.evaluation.protocols.semantic import Semantic


def restored(settings: Mapping[str, Any]) -> EvaluationProtocol:
    """The protocol that stored results were made with, from its `settings`; it computes, but scores no clips.

    Raises InputError, in one line, for a name that is not known.
    """
    arguments = dict(settings)
    return protocol_class(arguments.pop("name", None))(**arguments)


def protocol_class(name: str | None) -> Callable[..., EvaluationProtocol]:
    """The class behind a name; raises InputError, in one line, for another."""
    known = {kind.name: kind for kind in (Segmentation, Semantic, Localisation)}
    if name not in known:
        raise InputError(f"protocol must be one of {', '.join(known)}, got {name!r}; choose one of them.")
    return known[name]
