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

from moca.core.changing import changed, setting_names
from moca.core.method import Method
from moca.core.settings import Settings, check_value, rule_of, setting
from moca.errors import InputError
from moca.foundation.imagebind.reading import PatchReading
from moca.segmentation.config import MATCH, ProposalConfig, SegmentConfig

GROUP = "moca.methods"
OWN = "moca"


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
    preset: Literal["model", "paper"] = setting(
        "model",
        help="What is not given is as suits the model (model), or as the paper has it where it says so: absolute "
        "scores, its thresholds, proposals by their IoU, its crops in the methods compared with (paper).",
        option=True,
    )
    calibration: str | None = setting(
        None, help="File of moca calibrate: gates, level and heat range for this very model.", option=True
    )
    bank: str | None = setting(
        None,
        help="Folder of videos or sounds that are the other sounds which a step's own is compared with; none takes "
        "synthesised ones.",
        option=True,
    )


OWN_SETTINGS: dict[str, tuple[type[Settings], str]] = {
    **{name: (Loading, name) for name in setting_names(Loading())},
    "proposals": (ProposalConfig, "kind"),
    **{name: (ProposalConfig, name) for name in ("rule", "match", "unmatched", "delta", "crop_batch")},
    **{name: (PatchReading, name) for name in setting_names(PatchReading())},
    **{name: (SegmentConfig, name) for name in setting_names(SegmentConfig())},
}
"""Settings of "moca": keywords of `Segmenter.load`, each with the group and the field that declares it."""


PAPER: dict[str, Any] = {
    "scores": "absolute",
    "gate_rank": 0.0,
    "proposals": "boxes",
    "rule": "iou",
    "match": MATCH["iou"],
    "unmatched": "coarse",
}
"""What the preset "paper" makes of the settings of "moca" that are not given."""


def method_names() -> tuple[str, ...]:
    """Names that `load_method` takes: "moca", and those of installed packages in alphabetical order."""
    return (OWN, *sorted(_installed()))


def load_method(
    name: str, model: str | Path = "mini", *, device: str = "auto", settings: Mapping[str, Any] | None = None
) -> Method:
    """A method ready to segment with.

    name: one of `method_names()`. model: a name of the catalogue, or what else the method knows; of "moca" also the
    folder of a training run. device: "auto" takes a GPU when there is one. settings: by name; of "moca" those of
    `OWN_SETTINGS`, where adapters None is the frozen encoder alone; of another method the fields of its configuration.
    "preset", of any method, is "model" or "paper": what those that are not given are.
    Raises InputError, in one line, for a name or a setting that is not known, or a value of another type or out of
    range, before anything is loaded.
    """
    settings = dict(settings or {})
    check_value(Loading, "preset", preset := settings.pop("preset", "model"))
    if name == OWN:
        settings = _as_in_the_paper(settings) if preset == "paper" else settings
        from moca.segmenter import Segmenter  # imported late, as below: torch comes with them, and help needs neither

        return Segmenter.load(model, device=device, **_checked_own(settings))
    method = _class_of(name)
    of_model = hasattr(method, "defaults") and preset != "paper"
    base = method.defaults(str(model)) if of_model else method.config_class()
    _check_known(name, settings, setting_names(base))
    config = changed(base, settings)
    from moca.core.device import resolve_device

    return method.load(str(model), device=resolve_device(device), config=config)


def own_settings(
    loading: Mapping[str, Any],
    proposing: Mapping[str, Any],
    segmentation: Mapping[str, Any],
    reading: Mapping[str, Any] | None = None,
    *,
    adapters: Path | None = None,
    frozen: bool = False,
    method: str = OWN,
) -> dict[str, Any]:
    """Settings for `load_method`, from values of the groups of "moca" by field, as its options give them.

    adapters: a folder to take instead of the model's own; frozen: none at all. method: whose they are to be. Raises
    InputError for both, and for what the method does not have, by the option's name.
    """
    if frozen and adapters is not None:
        raise InputError("--frozen and --adapters exclude each other; give one of them.")
    given = {Loading: loading, ProposalConfig: proposing, PatchReading: reading or {}, SegmentConfig: segmentation}
    settings = {key: given[group][field] for key, (group, field) in OWN_SETTINGS.items() if field in given[group]}
    if frozen or adapters is not None:
        settings["adapters"] = None if frozen else str(adapters)
    if method != OWN and settings:
        known = setting_names(_class_of(method).config_class())
        if unknown := [_flag(key, frozen) for key in settings if key not in known]:
            raise InputError(
                f"{', '.join(unknown)} is not for method {method}, whose settings are {', '.join(known)}; leave it "
                "out, or change those with --set."
            )
    return settings


def _as_in_the_paper(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of "moca" with those of the paper where none are given; a model that is to make no proposals has none of
    their rules."""
    base = (
        PAPER
        if settings.get("proposals", "boxes") not in (None, "none")
        else {"scores": PAPER["scores"], "gate_rank": 0.0}
    )
    if settings.get("rule", "iou") != "iou":
        base = {name: value for name, value in base.items() if name != "match"}
    return {**base, **settings}


def _flag(key: str, frozen: bool) -> str:
    """The option that gives a setting of "moca"."""
    if key == "adapters":
        return "--frozen" if frozen else "--adapters"
    group, field = OWN_SETTINGS[key]
    return f"--{(rule_of(group, field).shown or field).replace('_', '-')}"


def _checked_own(settings: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `Segmenter.load`, each known, of a right type and in its range."""
    _check_known(OWN, settings, list(OWN_SETTINGS))
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    if "proposals" in settings:
        # To `Segmenter.load` None is the model's own; here it was typed, as "none".
        settings["proposals"] = settings["proposals"] or "none"
    for key, value in settings.items():
        check_value(*OWN_SETTINGS[key], value)
    return settings


def _check_known(name: str, settings: Mapping[str, Any], known: list[str]) -> None:
    if unknown := [key for key in settings if key not in known]:
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
        method = entry.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"method {name} must be importable as {entry.value}, which fails ({error}); install its package again."
        ) from None
    if absent := [part for part in ("config_class", "load") if not hasattr(method, part)]:
        raise InputError(
            f"method {name} must be a class with config_class and load, got {entry.value} without "
            f"{' and '.join(absent)}; mend its package."
        )
    return method


def _installed() -> dict[str, EntryPoint]:
    """Entry points of the group by name; InputError where two packages bring different methods of one name."""
    methods: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = methods.setdefault(entry.name, entry)
        if entry.name == OWN or other.value != entry.value:
            taken = "this package's own" if entry.name == OWN else other.value
            raise InputError(
                f"a method must have a name of its own, got {entry.name} from {entry.value} beside {taken}; "
                "uninstall one of the packages."
            )
    return methods
