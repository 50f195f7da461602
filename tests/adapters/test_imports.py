"""What can be imported without torch, and that nothing is lost by importing late."""

import subprocess
import sys

import pytest

import moca.adapters


@pytest.mark.parametrize(
    "line", ["from moca.adapters.plan import Placement", "from moca.adapters import make_plan, AdapterError"]
)
def test_plans_and_errors_need_no_torch(line):
    code = f"import sys; {line}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_towers_do_need_it():
    code = "import sys; from moca.adapters import AdaptedTowers; sys.exit('torch' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_name_is_where_it_is_said_to_be():
    assert sorted(moca.adapters._MODULES) == sorted(moca.adapters.__all__)
    for name in moca.adapters.__all__:
        assert getattr(moca.adapters, name) is not None and name in dir(moca.adapters)
    with pytest.raises(AttributeError, match=r"module 'moca\.adapters' has no attribute 'adapters_off'"):
        _ = moca.adapters.adapters_off
