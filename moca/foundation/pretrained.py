"""Models of `transformers` from a folder, the hub or the bundled mini zoo: found, checked, loaded, saved whole.

A published model is a folder with `config.json` and `model.safetensors`. Nothing else is read as weights, so
nothing stored in a file is ever executed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import cached_file, logging

from moca.core.files import written_together
from moca.errors import InputError
from moca.foundation.published import Kind

COMPUTED_TYPES = (torch.float32, torch.bfloat16)
STORED_TYPES = (torch.float32, torch.float16, torch.bfloat16)
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
_ALONE = threading.RLock()


def read_config(source: str, kind: Kind) -> dict:
    """config.json of a source; InputError when it is not there or is another kind of model's."""
    config = read_document(source, CONFIG_FILE, kind)
    if config is None and Path(source).is_dir():
        raise InputError(
            f"{source} must hold a {CONFIG_FILE}, which is not there; use a folder like that of {kind.example}."
        )
    if config is None:
        raise InputError(
            f"{kind.name} {source} must be a folder or a model of the hub, got one that is neither here nor within "
            "reach; check the name and the connection, or use mini."
        )
    if config.get("model_type") not in kind.types:
        wanted = " or ".join(repr(name) for name in kind.types)
        raise InputError(
            f"{source} must be a model of type {wanted}, got {config.get('model_type')!r}; use one such as "
            f"{kind.example}."
        )
    return config


def read_document(source: str, name: str, kind: Kind) -> dict | None:
    """A JSON object of a folder or a hub repository; None where it is not there or out of reach."""
    try:
        with quiet():
            path = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    except OSError:
        path = None
    if path is None:
        return None
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InputError(f"{name} of {source} must be a JSON object, got something else; restore it.")
    return document


def load_pretrained(
    model_class: type[PreTrainedModel], source: str, kind: Kind, *, dtype: torch.dtype, **options: object
) -> PreTrainedModel:
    """The frozen model of a source in eval mode on the CPU; call `read_config` first.

    dtype: float32 or bfloat16, what is computed in. options: passed on to `from_pretrained`. Raises InputError, in
    one line, where the weights are not there, are damaged, or are not exactly those of the configuration.
    """
    if dtype not in COMPUTED_TYPES:
        raise InputError(f"dtype must be float32 or bfloat16, got {dtype}; choose one of them.")
    rule = f"{source} must hold exactly the weights of its {CONFIG_FILE} in {WEIGHTS_FILE}"
    try:
        # Fetched first, so that a download shows its progress and the silence below hides nothing.
        cached_file(source, WEIGHTS_FILE, _raise_exceptions_for_missing_entries=False)
        with quiet():
            # Built in float32: another type would be the default of the whole process meanwhile, and so of whatever
            # other threads compute.
            model, report = model_class.from_pretrained(
                source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
    except OSError:
        raise InputError(f"{rule}, which is not there (no other format is read); restore or convert it.") from None
    except (SafetensorError, StrictDataclassError, RuntimeError, ValueError, TypeError, KeyError):
        raise InputError(f"{rule}, got a damaged file, or one that does not fit it; restore it.") from None
    for problem, keys in (("missing", report["missing_keys"]), ("unknown", report["unexpected_keys"])):
        if names := sorted(key for key in keys if not key.startswith(kind.spare)):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(f"{rule}, got {problem} ones: {names[0]}{more}; restore it.")
    return model.to(dtype).eval().requires_grad_(False)


def save_pretrained(
    folder: str | Path,
    model: PreTrainedModel,
    *,
    dtype: torch.dtype = torch.float32,
    documents: dict[str, dict] | None = None,
) -> None:
    """Write a model into a folder, which is created, in the published format.

    dtype: how weights are stored; float16 halves the file and is computed in float32 once loaded. documents: more
    JSON files by name. All files are complete before any of them replaces an older one.
    """
    if dtype not in STORED_TYPES:
        raise InputError(f"dtype must be float32, float16 or bfloat16, got {dtype}; choose one of them.")
    for name, tensor in model.state_dict().items():
        if not tensor.to(dtype).isfinite().all():
            raise InputError(
                f"{name} must be finite in {str(dtype).removeprefix('torch.')}, got values that are not; "
                "store float32, or mend the training."
            )
    folder, texts = (
        Path(folder),
        {name: json.dumps(value, indent=2) + "\n" for name, value in (documents or {}).items()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".partial-") as temporary:
        with quiet():
            deepcopy(model).to("cpu", dtype).save_pretrained(temporary)
        targets = [folder / name for name in (WEIGHTS_FILE, CONFIG_FILE, *texts)]
        with written_together(*targets) as (weights_file, config_file, *document_files):
            (Path(temporary) / WEIGHTS_FILE).replace(weights_file)
            (Path(temporary) / CONFIG_FILE).replace(config_file)
            for path, text in zip(document_files, texts.values(), strict=True):
                path.write_text(text, encoding="utf-8")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, no reports and no retries on the screen: what matters is raised.

    How loud the libraries are, and how they build a model, is switched for the whole process, so one thread at a time
    is in here; another one waits.
    """
    with _ALONE:
        loggings, bars = (logging, hub_logging), logging.is_progress_bar_enabled()
        before = [library.get_verbosity() for library in loggings]
        for library in loggings:
            library.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            for library, verbosity in zip(loggings, before, strict=True):
                library.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
