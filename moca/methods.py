"""Methods by name: MoCA itself, and whatever installed packages bring.

A package brings a method by an entry point of the group "moca.methods", name = module:Class. The class has
`config_class`, a frozen dataclass of its settings, and `load`; see `MethodClass`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, Protocol

from moca.core.device import resolve_device
from moca.core.method import Method
from moca.core.settings import Settings, changed, check_value, setting, setting_names
from moca.errors import InputError
from moca.segmentation.config import ProposalConfig, SegmentConfig
from moca.segmenter import Segmenter

GROUP = "moca.methods"
OWN = "moca"
OWN_PROPOSALS = ("proposals", "rule", "match", "unmatched")
"""Keywords of `Segmenter.load` that are fields of `ProposalConfig`; proposals is its kind."""


class MethodClass(Protocol):
    """What an entry point of the group must name.

    Where the defaults depend on the model, the class also has a classmethod `defaults(model)` that returns them; else
    they are those of `config_class`.
    """

    config_class: type
    """A frozen dataclass of settings, each with a default and checked for its range on construction."""

    @classmethod
    def load(cls, model: str, *, device: str, config: Any) -> Method:
        """The method with the weights that a model's name stands for, or InputError in one line."""
        ...


@dataclass(frozen=True, kw_only=True)
class Loading(Settings):
    """What `Segmenter.load` takes besides the settings of segmentation and of mask proposals."""

    adapters: str | None = setting(
        "default", help="Folder of adapters to use instead of the model's own; none is the frozen encoder alone."
    )
    weights: Literal["trained", "random"] = setting(
        "trained", help="trained, or random: the architecture alone.", option=True
    )


def method_names() -> tuple[str, ...]:
    """Names that `load_method` takes: "moca", and those of installed packages in alphabetical order."""
    return (OWN, *sorted(_installed()))


def load_method(
    name: str, model: str | Path = "mini", *, device: str = "auto", settings: Mapping[str, Any] | None = None
) -> Method:
    """A method ready to segment with.

    name: one of `method_names()`. model: "mini", "huge" or what else the method knows; of "moca" also the folder of a
    training run. device: "auto" takes a GPU when there is one. settings: by name; of "moca" the fields of
    `SegmentConfig` and adapters, weights, proposals, rule, match and unmatched of `Segmenter.load`, where adapters
    None is the frozen encoder alone; of another method the fields of its configuration. Raises InputError, in one
    line, for a name or a setting that is not known, or of another type, before anything is loaded.
    """
    asked = dict(settings or {})
    if name == OWN:
        asked = _own_settings(asked)
        return Segmenter.load(model, device=device, **asked)
    entry = _class_of(name)
    base = entry.defaults(str(model)) if hasattr(entry, "defaults") else entry.config_class()
    _check_known(name, asked, setting_names(base))
    config = changed(base, asked)
    return entry.load(str(model), device=resolve_device(device), config=config)


def _own_settings(requested: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `Segmenter.load`, each known, of a right type and in its range."""
    owners = {name: Loading for name in setting_names(Loading())}
    owners |= {name: ProposalConfig for name in OWN_PROPOSALS}
    owners |= {name: SegmentConfig for name in setting_names(SegmentConfig())}
    _check_known(OWN, requested, list(owners))
    requested = {key: str(value) if isinstance(value, Path) else value for key, value in requested.items()}
    if "proposals" in requested:
        # To `Segmenter.load` None is the model's own; here it was typed, as "none".
        requested["proposals"] = requested["proposals"] or "none"
    for key, value in requested.items():
        check_value(owners[key], "kind" if key == "proposals" else key, value)
    return requested


def _check_known(name: str, asked: Mapping[str, Any], known: list[str]) -> None:
    if unknown := [key for key in asked if key not in known]:
        raise InputError(f"{', '.join(unknown)} is not a setting of {name}; its settings are {', '.join(known)}.")


def _class_of(name: str) -> type[MethodClass]:
    """The class that an installed package brings under a name."""
    installed = _installed()
    if name not in installed:
        raise InputError(
            f"method must be one of {', '.join(method_names())}, got {name!r}; choose one of them, or install the "
            "package that brings it."
        )
    entry = installed[name]
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"method {name} must be importable as {entry.value}, which fails ({error}); install its package again."
        ) from None
    if absent := [part for part in ("config_class", "load") if not hasattr(found, part)]:
        raise InputError(
            f"method {name} must be a class with config_class and load, got {entry.value} without "
            f"{' and '.join(absent)}; mend its package."
        )
    return found


def _installed() -> dict[str, EntryPoint]:
    """Entry points of the group by name; InputError where two packages bring different methods of one name."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if entry.name == OWN or other.value != entry.value:
            taken = "this package's own" if entry.name == OWN else other.value
            raise InputError(
                f"a method must have a name of its own, got {entry.name} from {entry.value} beside {taken}; "
                "uninstall one of the packages."
            )
    return found
