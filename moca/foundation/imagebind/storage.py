"""ImageBind weights on disk: the official checkpoint, and this project's own folders.

A folder holds `config.json` (format number, kind, configuration) and `model.safetensors`.
"""

import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind

FORMAT = 1
KIND = "imagebind"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MODALITIES = ("vision", "audio")
STORED_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def load_imagebind(path: str | Path, config: ImageBindConfig | None = None) -> ImageBind:
    """A frozen model in eval mode, float32 on the CPU.

    path: a folder written by `save_imagebind`, which carries its configuration, or an official checkpoint
    such as `imagebind_huge.pth` (a plain state dict), which is read as `config`, ImageBind-Huge unless given.
    A checkpoint is memory-mapped and only its image and audio tensors are kept. Nothing stored in a file is
    ever executed. Raises InputError when a file is missing, damaged or does not fit the configuration.
    """
    path = Path(path)
    if path.is_dir():
        stored = _read_config(path / CONFIG_FILE)
        if config is not None and config != stored:
            raise InputError(f"{path} was saved with another configuration than the one given; leave config out.")
        return _assemble(stored, _read_safetensors(path / WEIGHTS_FILE), path / WEIGHTS_FILE)
    config = config or ImageBindConfig.huge()
    kept = {name: tensor for name, tensor in read_checkpoint(path).items() if _modality(name) in MODALITIES}
    return _assemble(config, kept, path)


def save_imagebind(folder: str | Path, model: ImageBind, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model's weights and configuration into a folder, which is created.

    dtype: how parameters are stored; float16 halves the file and loads back as float32. Buffers (the logit
    scale, batch statistics) keep their precision. Both files are written completely before either
    replaces an older one.
    """
    if dtype not in STORED_TYPES:
        raise InputError(f"dtype must be float32, float16 or bfloat16, got {dtype}; choose one of them.")
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        stored = tensor.detach().to("cpu", dtype if name in parameters else tensor.dtype).contiguous()
        if not stored.isfinite().all():
            raise InputError(
                f"{name} must be finite in {str(dtype).removeprefix('torch.')}, got values that are not; "
                "store float32, or mend the training."
            )
        tensors[name] = stored
    document = {"format": FORMAT, "kind": KIND, "config": model.config.to_json()}
    text = json.dumps(document, indent=2) + "\n"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_together(
        {
            folder / WEIGHTS_FILE: lambda target: save_file(tensors, target, metadata={"format": "pt"}),
            folder / CONFIG_FILE: lambda target: target.write_text(text, encoding="utf-8"),
        }
    )


def _write_together(writers: dict[Path, Callable[[Path], object]]) -> None:
    """Write each file under a temporary name beside its target; rename once all are complete."""
    temporary = {target: target.with_name(f".{target.name}.{os.getpid()}.tmp") for target in writers}
    try:
        for target, write in writers.items():
            write(temporary[target])
        for target, written in temporary.items():
            written.replace(target)
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


def _modality(name: str) -> str:
    """The modality an official key belongs to: its second part."""
    return name.split(".")[1] if name.count(".") else ""


def _assemble(config: ImageBindConfig, tensors: dict[str, Tensor], source: Path) -> ImageBind:
    """Give the tensors to a model built without memory of its own; every name and shape must fit."""
    with torch.device("meta"):
        model = ImageBind(config)
    wanted = model.state_dict()
    check_fit(source, tensors, wanted, "image and audio tensors of its configuration")
    # `to` copies nothing when the type already fits, so a memory-mapped file stays mapped.
    fitting = {name: tensors[name].to(wanted[name].dtype) for name in wanted}
    model.load_state_dict(fitting, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def check_fit(source: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Refuse tensors of a file that are not, by name and shape, exactly those wanted; what: which those are."""
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "unknown": [name for name in tensors if name not in wanted],
        "of another shape": [
            f"{name} {list(tensors[name].shape)} instead of {list(wanted[name].shape)}"
            for name in wanted
            if name in tensors and tensors[name].shape != wanted[name].shape
        ],
    }
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(
                f"{source} must hold exactly the {len(wanted)} {what}, got {len(names)} {problem}: "
                f"{', '.join(names[:3])}{more}; use the right file or configuration."
            )


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise InputError(f"{what} must be an existing file, got {path}, which is not there; check the path.")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a `torch.save` file, memory-mapped."""
    _require_file(path, "the checkpoint")
    rule = f"{path} must be a PyTorch checkpoint that maps names to tensors"
    try:
        tensors = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise InputError(f"{rule}, got other objects, which are never loaded; download it again.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{rule}, got a damaged or different file; download it again.") from error
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise InputError(f"{rule}, got a {type(tensors).__name__} with something else in it; use the plain weights.")
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    _require_file(path, "the weights")
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} must be a complete safetensors file, got a damaged one; restore it.") from error


def _read_config(path: Path) -> ImageBindConfig:
    _require_file(path, "the model's configuration")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} must be a JSON document, got something else; restore it.") from error
    if not isinstance(document, dict) or set(document) != {"format", "kind", "config"}:
        raise InputError(f"{path} must be an object with exactly format, kind and config; restore it.")
    if document["kind"] != KIND:
        raise InputError(f"{path} must be of kind {KIND!r}, got {document['kind']!r}; use an ImageBind folder.")
    if document["format"] != FORMAT:
        raise InputError(f"{path} must have format {FORMAT}, got {document['format']!r}; update MoCA-AVS.")
    return ImageBindConfig.read(document["config"])
