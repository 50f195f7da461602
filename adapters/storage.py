"""Adapters on disk: adapters.safetensors (the numbers) beside adapters.json (everything needed to use them).

Adapters fit one frozen encoder only, so the record carries that encoder's fingerprint, and loading refuses
any other. All checks come before anything is built.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import AdapterError
from .frozen import Tower
from .record import FORMAT, RECORD, WEIGHTS, AdapterRecord, TowerSizes, read_record, require_file
from .towers import AdaptedTowers


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
            f"adapters in {folder}/ fit towers of {record.sizes}, got {sizes}; "
            "load them with the encoder they belong to."
        )
    state = _read_weights(folder / WEIGHTS, record)
    record.plan.check(image.depth, audio.depth)
    _check_tensors(folder / WEIGHTS, state, _expected_shapes(record))
    towers = AdaptedTowers(image, audio, record.plan, record.config, readout=record.readout, prefix_dtype=prefix_dtype)
    towers.load_state_dict(state, strict=True)
    return towers


def _read_weights(path: Path, record: AdapterRecord) -> dict[str, Tensor]:
    require_file(path)
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
    one_adapter = {
        "latents": (latents, width),
        "audio_down.weight": (width, audio),
        "audio_down.bias": (width,),
        "image_down.weight": (width, image),
        "image_down.bias": (width,),
        "up.weight": (image, width),
        "up.bias": (image,),
    }
    shapes = {
        f"adapters.{block}.{name}": shape for block in record.plan.image_blocks for name, shape in one_adapter.items()
    }
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
