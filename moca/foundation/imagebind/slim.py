"""Slim copies of ImageBind checkpoints: the image and audio towers alone, their matrices in bfloat16.

A copy is one safetensors file with the official names. Matrices of linear layers, nearly all of the numbers, are
rounded to bfloat16; vectors, positions and stems keep float32. Its metadata has the fingerprint of the float32
original, which adapters are bound to, and the SHA-256 of its own tensors. It is written a tensor at a time, from a
memory-mapped original, and read memory-mapped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from moca.adapters import fingerprint
from moca.core.files import written_whole
from moca.core.progress import Progress, silent
from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.state_dicts import check_fit, read_checkpoint, require_file

MODALITIES = ("vision", "audio")
SLIM_SUFFIX = ".safetensors"
KIND = "imagebind-slim-1"
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}
"""Types by their names in a safetensors header."""
UNWRITTEN = "0" * 64
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SlimCopy:
    """What `slim_imagebind` wrote."""

    path: Path
    bytes: int
    fingerprint: str
    """Of the float32 original."""


def read_towers(path: Path) -> dict[str, Tensor]:
    """The image and audio tensors of an official checkpoint by name, memory-mapped; other modalities are left out."""
    return {key: tensor for key, tensor in read_checkpoint(path).items() if _modality(key) in MODALITIES}


def slim_imagebind(
    source: Path, target: Path, config: ImageBindConfig | None = None, *, progress: Progress = silent
) -> SlimCopy:
    """Write the slim copy of an official checkpoint; source is left as it is.

    config: what source holds; None for ImageBind-Huge. Of the tensors one at a time is in memory besides what the
    system keeps of the mapped source and can let go. The copy is whole or not there. Raises InputError, before anything
    is written, for a source that is missing, damaged or another model's, or holds values that are not finite.
    """
    tensors = read_towers(source)
    with torch.device("meta"):
        wanted = ImageBind(config or ImageBindConfig.huge()).state_dict()
    check_fit(source, tensors, wanted, "image and audio tensors of its configuration")
    for name in wanted:
        if not tensors[name].isfinite().all():
            raise InputError(f"{name} of {source} must be finite, got values that are not; fetch the checkpoint again.")
    origin = fingerprint({name: tensors[name] for name in wanted})
    types = {name: torch.bfloat16 if tensor.ndim == 2 else torch.float32 for name, tensor in wanted.items()}
    header = _header({name: (types[name], tuple(tensor.shape)) for name, tensor in wanted.items()}, origin)
    digest = hashlib.sha256()
    with written_whole(target) as part, part.open("wb") as file:
        file.write(header)
        for done, name in enumerate(wanted):
            progress("slimming", done, len(wanted))
            block = tensors[name].to(types[name]).contiguous().reshape(-1).view(torch.uint8).numpy()
            digest.update(block)
            file.write(block)
        file.seek(header.index(UNWRITTEN.encode()))
        file.write(digest.hexdigest().encode())
    return SlimCopy(path=target, bytes=target.stat().st_size, fingerprint=origin)


def read_slim(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a slim copy by name, memory-mapped and as they are stored, and the original's fingerprint.

    Raises InputError, in one line, for a file that is missing, damaged or something else.
    """
    require_file(path, "the slim copy")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} must be a complete safetensors file, got a damaged one; make it again.") from error
    return tensors, _origin(path, metadata)


def slim_fault(path: Path, *, progress: Progress = silent) -> str | None:
    """What is wrong with a slim copy, in a line: None where all of it is as it was written."""
    try:
        read_slim(path)
    except InputError as error:
        return str(error)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        wanted = json.loads(file.read(length))["__metadata__"]["sha256"]
        digest, total = hashlib.sha256(), path.stat().st_size
        while block := file.read(BLOCK):
            digest.update(block)
            progress("checking", file.tell(), total)
    if digest.hexdigest() == wanted:
        return None
    return f"the tensors of {path} must have SHA-256 {wanted}, got {digest.hexdigest()}"


def _header(tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], origin: str) -> bytes:
    """The beginning of a safetensors file: the length of a JSON object, and the object, padded to eight bytes."""
    document: dict[str, dict] = {
        "__metadata__": {"format": "pt", "kind": KIND, "fingerprint": origin, "sha256": UNWRITTEN}
    }
    start = 0
    for name, (dtype, shape) in tensors.items():
        end = start + dtype.itemsize * torch.Size(shape).numel()
        document[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _origin(path: Path, metadata: Mapping[str, str]) -> str:
    if metadata.get("kind") != KIND or "fingerprint" not in metadata:
        raise InputError(
            f"{path} must be a slim copy of an ImageBind checkpoint ({KIND}), got another safetensors file; make one "
            "with moca weights slim."
        )
    return metadata["fingerprint"]


def _modality(name: str) -> str:
    """The modality an official key belongs to: its second part."""
    return name.split(".")[1] if name.count(".") else ""
