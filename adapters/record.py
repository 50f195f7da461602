"""adapters.json: everything needed to use the numbers of adapters.safetensors beside it."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .adaav import AdaAVConfig
from .errors import AdapterError
from .frozen import Tower
from .plan import Plan

FORMAT = 2
WEIGHTS = "adapters.safetensors"
RECORD = "adapters.json"


@dataclass(frozen=True, kw_only=True)
class TowerSizes:
    """Shape of the two towers that a set of adapters sits between."""

    image_width: int
    image_depth: int
    audio_width: int
    audio_depth: int

    @classmethod
    def of(cls, image: Tower, audio: Tower) -> "TowerSizes":
        """The shape of two towers."""
        return cls(
            image_width=image.width,
            image_depth=image.depth,
            audio_width=audio.width,
            audio_depth=audio.depth,
        )

    def __str__(self) -> str:
        return (
            f"image width {self.image_width} depth {self.image_depth} "
            f"and audio width {self.audio_width} depth {self.audio_depth}"
        )


@dataclass(frozen=True, kw_only=True)
class AdapterRecord:
    """Content of adapters.json."""

    plan: Plan
    """Which image block listens to which audio block."""
    config: AdaAVConfig
    """Size of every adapter."""
    sizes: TowerSizes
    """Shape of the towers."""
    readout: int | None
    """Width of the features that the read-out scores, or None for adapters without one."""
    fingerprint: str
    """The frozen encoder the adapters were trained on, as `fingerprint` names it."""
    weights_sha256: str
    """SHA-256 of adapters.safetensors: the two files belong together."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Whatever the writer wants to keep, as JSON: reading, data, licence, steps."""


def read_record(folder: str | Path) -> AdapterRecord:
    """Read and check adapters.json in `folder`. Raises AdapterError."""
    path = Path(folder) / RECORD
    require_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AdapterError(f"{path} is not JSON ({error}); save it again.") from None
    if not isinstance(content, dict):
        raise AdapterError(f"{path} must hold a JSON object, got a {type(content).__name__}; save it again.")
    number = content.pop("format", None)
    if number != FORMAT:
        raise AdapterError(
            f"{path} must have format {FORMAT}, got {number!r}; use the version of this package that wrote it."
        )
    content = _checked_keys(path, "", content, AdapterRecord)
    for name, kind in (("fingerprint", str), ("weights_sha256", str), ("extra", dict)):
        if not isinstance(content[name], kind):
            raise AdapterError(f"{path}: {name} must be a {kind.__name__}, got {content[name]!r}; save it again.")
    width = content["readout"]
    if width is not None and (not isinstance(width, int) or isinstance(width, bool) or width < 1):
        raise AdapterError(f"{path}: readout must be null or a width of at least 1, got {width!r}; save it again.")
    parts = {
        name: kind(**_checked_keys(path, f"{name}.", content[name], kind))
        for name, kind in (("plan", Plan), ("config", AdaAVConfig), ("sizes", TowerSizes))
    }
    return AdapterRecord(**{**content, **parts})


def require_file(path: Path) -> None:
    """AdapterError where a file of a folder of adapters is missing."""
    if not path.is_file():
        raise AdapterError(
            f"{path} is missing (a folder of adapters holds {WEIGHTS} and {RECORD}); "
            "give the folder that training wrote."
        )


def _checked_keys(path: Path, prefix: str, content: Any, kind: type) -> dict[str, Any]:
    """`content` as keyword arguments of the dataclass `kind`: exactly its fields, no more and no less."""
    if not isinstance(content, dict):
        raise AdapterError(f"{path}: {prefix.rstrip('.')} must be an object, got {content!r}; save it again.")
    known = {f.name for f in fields(kind)}
    unknown, absent = sorted(content.keys() - known), sorted(known - content.keys())
    if unknown or absent:
        problem = "unknown key " + prefix + unknown[0] if unknown else "missing key " + prefix + absent[0]
        raise AdapterError(f"{path}: {problem} (allowed and required: {', '.join(sorted(known))}); save it again.")
    return content
