"""ImageBind weights on disk: the official checkpoint, and this project's own folders.

A folder holds `config.json` (format number, kind, configuration) and `model.safetensors`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from moca.core.files import written_together
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.slim import SLIM_SUFFIX, read_slim, read_towers
from moca.foundation.published import named_source
from moca.foundation.state_dicts import check_fit, require_file

FORMAT = 1
KIND = "imagebind"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
STORED_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def load_imagebind(
    name: str | Path = BUNDLED, config: ImageBindConfig | None = None, *, device: str | torch.device = "cpu"
) -> ImageBind:
    """A frozen model in eval mode, float32.

    name: "mini" (bundled), a name of `moca weights list`, a folder written by `save_imagebind`, which carries its
    configuration, or an official checkpoint such as `imagebind_huge.pth` (a plain state dict) or the slim copy of one
    (.safetensors, see `slim`), which are read as `config`, ImageBind-Huge unless given. A checkpoint is memory-mapped
    and only its image and audio tensors are kept; matrices of a slim copy stay in bfloat16 in its file, and are widened
    to float32 while they are used. Nothing stored in a file is ever executed. Raises InputError, in one line, when a
    file is missing, damaged or does not fit the configuration.
    """
    path = named_source(name, "encoder") or Path(name)
    if path.is_dir():
        stored = _read_config(path / CONFIG_FILE)
        if config is not None and config != stored:
            raise InputError(f"{path} was saved with another configuration than the one given; leave config out.")
        return _assemble(stored, _read_safetensors(path / WEIGHTS_FILE), path / WEIGHTS_FILE).to(device)
    config = config or ImageBindConfig.huge()
    if path.suffix == SLIM_SUFFIX:
        tensors, origin = read_slim(path)
        model = _assemble(config, tensors, path, as_stored=True)
        model.rounded_from = origin
        return model.to(device)
    tensors = read_towers(path)
    return _assemble(config, tensors, path).to(device)


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
    with written_together(folder / WEIGHTS_FILE, folder / CONFIG_FILE) as (weights_file, config_file):
        save_file(tensors, weights_file, metadata={"format": "pt"})
        config_file.write_text(text, encoding="utf-8")


def _assemble(
    config: ImageBindConfig, tensors: dict[str, Tensor], source: Path, *, as_stored: bool = False
) -> ImageBind:
    """Give the tensors to a model built without memory of its own; every name and shape must fit.

    as_stored: leave their types as they are.
    """
    with torch.device("meta"):
        model = ImageBind(config)
    wanted = model.state_dict()
    check_fit(source, tensors, wanted, "image and audio tensors of its configuration")
    # `to` copies nothing when the type already fits, so a memory-mapped file stays mapped.
    fitting = {name: tensors[name] if as_stored else tensors[name].to(wanted[name].dtype) for name in wanted}
    model.load_state_dict(fitting, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    require_file(path, "the weights")
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} must be a complete safetensors file, got a damaged one; restore it.") from error


def _read_config(path: Path) -> ImageBindConfig:
    require_file(path, "the model's configuration")
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
