"""Published weights that lie in the weights folder of this machine, and files to try them on."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moca.errors import InputError
from moca.foundation.manifest import find_entry
from moca.foundation.upstream.examples import EXAMPLES, example_files

MEDIA = Path(__file__).resolve().parents[2].parent / "shared" / "media"


@pytest.fixture
def fetched():
    """fetched(name): a model of the manifest that is here; the test is skipped, saying why, where it is not."""

    def entry_of(name: str):
        entry = find_entry(name)
        if not entry.is_here:
            pytest.skip(f"{name} is not in {entry.place.parent}; run moca weights fetch {name}")
        return entry

    return entry_of


@pytest.fixture(scope="session")
def examples() -> Path:
    """ImageBind's six example files: in $MOCA_EXAMPLES, or beside the checkout."""
    folder = Path(os.environ.get("MOCA_EXAMPLES", MEDIA))
    try:
        example_files(folder)
    except InputError as error:
        pytest.skip(f"{error} Then set MOCA_EXAMPLES to their folder.")
    return folder


@pytest.fixture
def pictures(examples) -> dict[str, np.ndarray]:
    """Dog, car and bird, RGB uint8 (H, W, 3)."""
    found, _ = example_files(examples)
    return {name: np.asarray(Image.open(path).convert("RGB")) for name, path in zip(EXAMPLES, found, strict=True)}


@pytest.fixture
def sounds(examples) -> dict[str, np.ndarray]:
    """Two seconds of each sound, mono float32 at 16 kHz."""
    from moca.data.audio import read_wav

    _, found = example_files(examples)
    return {name: read_wav(path)[: 2 * 16_000] for name, path in zip(EXAMPLES, found, strict=True)}
