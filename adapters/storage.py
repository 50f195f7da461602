"""Adapters on disk: adapters.safetensors (the numbers) beside adapters.json (everything needed to use them).

Adapters fit one frozen encoder only, so the record carries that encoder's fingerprint, and loading refuses
any other. All checks come before anything is built.
"""

import array
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .adaav import AdaAVConfig
from .errors import AdapterError
from .plan import Plan
from .towers import AdaptedTowers, Tower

FORMAT = 2
WEIGHTS = "adapters.safetensors"
RECORD = "adapters.json"
FINGERPRINT_VALUES = 4096
"""Values of each tensor that enter a fingerprint, at most."""


@dataclass(frozen=True, kw_only=True)
class TowerSizes:
    """Shape of the two towers that a set of adapters sits between."""

    image_width: int
    image_depth: int
    audio_width: int
    audio_depth: int

    @classmethod
    def of(cls, image: Tower, audio: Tower) -> "TowerSizes":
        return cls(
            image_width=image.width,
            image_depth=image.depth,
            audio_width=audio.width,
            audio_depth=audio.depth,
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


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Name an encoder by its numbers: 16 hex digits of a SHA-256.

    state: named tensors of any dtype and device, for example `encoder.state_dict()`. Names (in sorted order),
    shapes and values count. Values are cast to float32, so that a model stored in fp16 has one fingerprint
    whether it is loaded in fp16 or in fp32; rounding a model to fp16 changes its numbers, hence its
    fingerprint. Of each tensor at most 4096 values, evenly spaced, are read: a full pass over a billion
    values would take longer than loading them. A change that touches none of those values goes unseen.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        digest.update(f"{name}{list(tensor.shape)}".encode())
        values = tensor.reshape(-1)
        step = -(-values.numel() // FINGERPRINT_VALUES) or 1
        numbers = array.array("f", values[::step].float().tolist())
        if sys.byteorder == "big":
            numbers.byteswap()
        digest.update(numbers.tobytes())
    return digest.hexdigest()[:16]


def save_adapters(
    folder: str | Path, towers: AdaptedTowers, *, fingerprint: str, extra: Mapping[str, Any] | None = None
) -> None:
    """Write the adapters of `towers` and their record into `folder` (made if it is not there).

    fingerprint: of the frozen encoder. extra: JSON values to keep with them. Each file is written under a
    temporary name and renamed. Raises AdapterError when `extra` does not fit JSON; then nothing is written.
    """
    folder = Path(folder)
    record = {
        "format": FORMAT,
        "plan": asdict(towers.plan),
        "config": asdict(towers.config),
        "sizes": asdict(TowerSizes.of(towers.image, towers.audio)),
        "readout": None if towers.readout is None else towers.readout.numel() - 1,
        "fingerprint": fingerprint,
        "extra": dict(extra or {}),
    }
    try:
        json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AdapterError(f"extra must hold JSON values only ({error}); drop the others.") from None
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f".{WEIGHTS}.part"
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in towers.state_dict().items()}
    save_file(state, weights)
    record["weights_sha256"] = _sha256(weights)
    text = folder / f".{RECORD}.part"
    text.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(weights, folder / WEIGHTS)
    os.replace(text, folder / RECORD)


def read_record(folder: str | Path) -> AdapterRecord:
    """Read and check adapters.json in `folder`. Raises AdapterError."""
    path = Path(folder) / RECORD
    _require(path)
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


def load_adapters(
    folder: str | Path,
    image: Tower,
    audio: Tower,
    fingerprint: str,
    *,
    prefix_dtype: torch.dtype | None = None,
) -> AdaptedTowers:
    """Rebuild the adapters saved in `folder` between two frozen towers, on the CPU.

    fingerprint: of the encoder these towers belong to. prefix_dtype: see `AdaptedTowers`. Raises
    AdapterError, before the towers are touched, when a file is missing, damaged or of another format, when
    its tensors are not those its record describes, or when the encoder is not the one the adapters were
    trained on.
    """
    folder = Path(folder)
    record = read_record(folder)
    if record.fingerprint != fingerprint:
        raise AdapterError(
            f"adapters in {folder}/ were trained on encoder {record.fingerprint[:8]}, got {fingerprint[:8]}; "
            "load them with the encoder they belong to."
        )
    sizes = TowerSizes.of(image, audio)
    if record.sizes != sizes:
        raise AdapterError(
            f"adapters in {folder}/ fit towers of {_worded(record.sizes)}, got {_worded(sizes)}; "
            "load them with the encoder they belong to."
        )
    state = _read_weights(folder / WEIGHTS, record)
    record.plan.check(image.depth, audio.depth)
    _check_tensors(folder / WEIGHTS, state, _expected_shapes(record))
    towers = AdaptedTowers(image, audio, record.plan, record.config, readout=record.readout, prefix_dtype=prefix_dtype)
    towers.load_state_dict(state, strict=True)
    return towers


def _require(path: Path) -> None:
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


def _read_weights(path: Path, record: AdapterRecord) -> dict[str, Tensor]:
    _require(path)
    if _sha256(path) != record.weights_sha256:
        raise AdapterError(
            f"{path} is damaged or belongs to another {RECORD} (its SHA-256 is not the recorded one); "
            "copy both files again."
        )
    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise AdapterError(f"{path} is not a safetensors file ({error}); save it again.") from None


def _expected_shapes(record: AdapterRecord) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint's tensors. This is the file format: changing it needs a new FORMAT."""
    image, audio = record.sizes.image_width, record.sizes.audio_width
    width, latents = record.config.bottleneck, record.config.latents
    one = {
        "latents": (latents, width),
        "audio_down.weight": (width, audio),
        "audio_down.bias": (width,),
        "image_down.weight": (width, image),
        "image_down.bias": (width,),
        "up.weight": (image, width),
        "up.bias": (image,),
    }
    shapes = {f"adapters.{block}.{name}": shape for block in record.plan.image_blocks for name, shape in one.items()}
    return shapes if record.readout is None else {**shapes, "readout": (record.readout + 1,)}


def _check_tensors(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    if absent := sorted(expected.keys() - state.keys()):
        raise AdapterError(f"{path}: tensor {absent[0]} is missing; save it again.")
    if unknown := sorted(state.keys() - expected.keys()):
        raise AdapterError(f"{path}: tensor {unknown[0]} is not part of its plan; save it again.")
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise AdapterError(
                f"{path}: tensor {name} must have shape {list(shape)}, got {list(state[name].shape)}; save it again."
            )


def _worded(sizes: TowerSizes) -> str:
    return (
        f"image width {sizes.image_width} depth {sizes.image_depth} "
        f"and audio width {sizes.audio_width} depth {sizes.audio_depth}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
