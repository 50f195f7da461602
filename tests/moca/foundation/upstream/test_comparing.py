"""Differences, originals that cannot be imported whole, and SAM's original, which is installed for development."""

import sys
import types

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.foundation.upstream.comparing import difference, is_installed, original
from moca.foundation.upstream.inputs import drawn_frame, drawn_sounds


def test_the_largest_difference_counts_and_is_good_up_to_what_is_allowed():
    found = difference("x", torch.tensor([1.0, 2.0]), np.array([1.0, 2.5]), allowed=0.5)
    assert found.largest == 0.5 and found.good
    assert str(found) == "x: largest difference 0.5 (at most 0.5 is rounding)"
    assert not difference("x", torch.ones(2), torch.zeros(2), allowed=0.5).good


@pytest.mark.parametrize("theirs", [np.zeros(3), np.array([0.0, np.nan]), np.array([0.0, np.inf])])
def test_other_shapes_and_numbers_that_are_not_finite_are_infinitely_far(theirs):
    found = difference("x", np.zeros(2), theirs, allowed=1.0)
    assert found.largest == float("inf") and not found.good


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose __init__ needs what is not installed."""
    folder = tmp_path / "halfway"
    folder.mkdir()
    (folder / "__init__.py").write_text("import torchvision_of_nobody")
    (folder / "core.py").write_text("from .other import VALUE")
    (folder / "other.py").write_text("VALUE = 7")
    (folder / "broken.py").write_text("import torchvision_of_nobody")
    monkeypatch.syspath_prepend(tmp_path)
    return "halfway"


def test_a_package_is_imported_without_what_its_own_init_needs(package):
    before = set(sys.modules)
    with original(package, "core") as (core,):
        assert core.VALUE == 7 and "halfway.other" in sys.modules
    assert not {name for name in set(sys.modules) - before if name.startswith(package)}
    assert is_installed(package) and not is_installed("nobody_has_this")


def test_what_cannot_be_imported_is_refused(package):
    rule = r"^halfway must be importable to be compared with, got No module named "
    with pytest.raises(InputError, match=rule), original(package, "broken"):
        pass
    rule = r"^nobody_has_this must be installed to be compared with"
    with pytest.raises(InputError, match=rule), original("nobody_has_this", "core"):
        pass
    assert not any(name.startswith(package) for name in sys.modules)


def test_a_package_that_is_imported_already_is_taken_as_it_is(monkeypatch):
    whole, part = types.ModuleType("whole"), types.ModuleType("whole.part")
    monkeypatch.setitem(sys.modules, "whole", whole)
    monkeypatch.setitem(sys.modules, "whole.part", part)
    with original("whole", "part") as (found,):
        assert found is part
    assert sys.modules["whole"] is whole


def test_drawn_inputs_are_the_same_every_time_and_not_flat():
    frame, sounds = drawn_frame(30, 40), drawn_sounds(0.1, 16_000)
    assert frame.shape == (30, 40, 3) and frame.dtype == np.uint8 and frame.std() > 20
    assert sounds.shape == (2, 1600) and sounds.dtype == np.float32 and np.abs(sounds).max() <= 1
    assert np.array_equal(frame, drawn_frame(30, 40)) and not np.array_equal(frame, drawn_frame(30, 40, seed=1))
