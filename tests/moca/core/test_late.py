"""Names of a package that are imported late are where they are said to be."""

import subprocess
import sys
from importlib import import_module

import pytest

from moca.core.late import late_names

LATE = ("moca.evaluation", "moca.reproduce", "moca.stage")


@pytest.mark.parametrize("package", LATE)
def test_every_name_is_there_and_another_is_not(package):
    module = import_module(package)
    assert len(module.__all__) > 3
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError) as caught:
        _ = module.nothing
    assert str(caught.value) == f"module {package!r} has no attribute 'nothing'"


@pytest.mark.parametrize("package", LATE)
def test_no_name_is_hidden_by_a_module_of_that_name(package):
    module = import_module(package)
    assert not set(module._MODULES) & {path.split(".")[0] for path in module._MODULES.values()}


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, moca.stage; sys.exit('moca.stage.writing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = "import sys; from moca.stage import write_stage; sys.exit('moca.stage.writing' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_module_that_fails_says_so_itself():
    with pytest.raises(ModuleNotFoundError, match=r"moca\.core\.absent"):
        late_names("moca.core", {"name": "absent"})("name")
