"""Fixtures every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"reference material is not here ({folder.name}/ beside the checkout); users do not have it")
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder with golden vectors of the official models and metrics."""
    return _shared_folder("reference")


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder with a few real clips."""
    return _shared_folder("media")


@pytest.fixture(scope="session")
def banks_home(tmp_path_factory) -> Path:
    """Where tests keep banks of other sounds."""
    return tmp_path_factory.mktemp("banks-home")


@pytest.fixture(autouse=True)
def _banks_of_tests(monkeypatch, banks_home):
    """Banks that tests make are not left in the user's cache."""
    monkeypatch.setattr("moca.pipeline.bank.weights_home", lambda: banks_home)
