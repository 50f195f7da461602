"""Published packages that are compared with, without what only their own __init__ needs."""

import importlib
import importlib.util
import sys
import types

import pytest


@pytest.fixture
def bare_module():
    """bare_module(name): a module of an installed package, imported without the package's own __init__.

    stand_ins: modules by name that take the place of others meanwhile. Afterwards everything is as it was.
    """
    before, touched = {}, set()

    def load(name: str, stand_ins: dict[str, types.ModuleType] | None = None) -> types.ModuleType:
        package, stand_ins = name.split(".")[0], stand_ins or {}
        touched.update({package, *(other.split(".")[0] for other in stand_ins)})
        for known in [known for known in sys.modules if known.split(".")[0] in touched]:
            before[known] = sys.modules.pop(known)
        parent = types.ModuleType(package)
        parent.__path__ = list(importlib.util.find_spec(package).submodule_search_locations)
        sys.modules.update({package: parent, **stand_ins})
        return importlib.import_module(name)

    yield load
    for known in [known for known in sys.modules if known.split(".")[0] in touched]:
        del sys.modules[known]
    sys.modules.update(before)
