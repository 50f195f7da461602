"""The frozen models of some roles: loaded, fingerprinted, and what may be done with their results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from moca.adapters import fingerprint
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, load_role, loader_of
from moca.foundation.manifest import UNSTATED, bundled_weights, fetched_entry, read_manifest
from moca.pipeline.card import read_card


def load_models(
    entries: Mapping[str, str], device: Any, *, seed: int | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The models of some roles, and the fingerprint of each by its role; see `ImageBind.fingerprints` for a slim copy.

    entries: by role, what `load_role` takes. seed: of random weights at the models' published sizes, without any file;
    None for the trained ones. Raises InputError as `load_role` does, and for a model without a torch module.
    """
    if seed is None:
        loaded = {role: load_role(role, name, device=device) for role, name in entries.items()}
    else:
        from moca.foundation.random_parts import random_part  # every kind of model comes with it

        loaded = {role: random_part(role, name, seed=seed, device=device) for role, name in entries.items()}
    prints: dict[str, str] = {}
    for role, model in loaded.items():
        known = getattr(model, "fingerprints", None) if role == "encoder" else None  # a slim copy has two
        prints |= known or {role: _print_of(role, entries[role], model)}
    return loaded, prints


def _print_of(role: str, name: str, model: Any) -> str:
    """The fingerprint of a loaded model: of its weights, or of its class where it has none."""
    module = getattr(model, "model", model)
    if not isinstance(module, nn.Module):
        loader = loader_of(role, name)
        raise InputError(
            f"{role} {name} must be, or have as its `model`, a torch module that fingerprints are made of, got "
            f"{type(model).__name__} with {type(module).__name__}; mend {loader.__module__}:{loader.__qualname__}."
        )
    if state := module.state_dict():
        return fingerprint(state)
    kind = type(model)
    return hashlib.sha256(f"{kind.__module__}:{kind.__qualname__} {name}".encode()).hexdigest()[:16]


def licences(entries: Mapping[str, str]) -> list[str]:
    """What may be done with results of some models, a phrase each, the bundled ones together first.

    entries: by role. A folder is passed over: the card that names it says what its results may be used for.
    """
    stated = {}
    if BUNDLED in entries.values():
        stated[BUNDLED] = read_card(bundled_weights() / BUNDLED, BUNDLED)["licence"]
    for role, name in entries.items():
        if name != BUNDLED and not Path(name).is_absolute():
            entry = None if "/" in name and name not in read_manifest() else fetched_entry(name, role)
            stated[name] = entry.licence if entry else UNSTATED
    return [f"{name}: {licence}" for name, licence in stated.items()]
