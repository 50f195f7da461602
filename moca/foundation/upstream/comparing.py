"""How far two answers to one question are apart, and original packages as they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch

from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that both compute."""

    what: str
    """In words, such as "image embedding"."""
    largest: float
    """The largest absolute difference; infinite where the shapes differ or a number is not finite."""
    allowed: float
    """What rounding may make of it."""
    unit: str = ""
    """What is said after the number."""

    @property
    def good(self) -> bool:
        """Whether it is no more than rounding."""
        return self.largest <= self.allowed

    def __str__(self) -> str:
        return f"{self.what}: largest difference {self.largest:.2g}{self.unit} (at most {self.allowed:.0g} is rounding)"


def difference(what: str, ours: object, theirs: object, *, allowed: float) -> Difference:
    """Of two arrays or tensors of any type."""
    ours, theirs = (np.asarray(torch.as_tensor(each).detach().cpu().double()) for each in (ours, theirs))
    far = np.abs(ours - theirs).max(initial=0.0) if ours.shape == theirs.shape else np.inf
    return Difference(what=what, largest=float(far) if np.isfinite(far) else np.inf, allowed=allowed)


def is_installed(package: str) -> bool:
    """Whether a package is there, which need not mean that it can be imported."""
    return package in sys.modules or importlib.util.find_spec(package) is not None


@contextmanager
def original(package: str, *modules: str) -> Iterator[tuple[ModuleType, ...]]:
    """Modules of an original package, such as original("segment_anything", "build_sam").

    Where the package's own __init__ needs what is not installed (torchvision, for most), the modules are imported
    without it, and forgotten afterwards. Raises InputError where that does not help either.
    """
    names = [f"{package}.{module}" for module in modules]
    try:
        loaded = tuple(importlib.import_module(name) for name in names)
    except ImportError:
        with _bare(package):
            try:
                loaded = tuple(importlib.import_module(name) for name in names)
            except ImportError as error:
                raise InputError(
                    f"{package} must be importable to be compared with, got {error}; install what it needs, or leave "
                    "it out."
                ) from None
            yield loaded
        return
    yield loaded


@contextmanager
def _bare(package: str) -> Iterator[None]:
    """Meanwhile the package is a module without content, in which its submodules are found."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{package} must be installed to be compared with, which it is not; see the extra upstream.")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == package}
    stand_in = ModuleType(package)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
        sys.modules.update(before)
