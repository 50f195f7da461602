"""What `moca doctor --crosscheck` compares: fetched models whose original package is installed, and the examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from moca.cli.checks import Check
from moca.errors import InputError
from moca.foundation.imagebind.weights import load_imagebind
from moca.foundation.manifest import Entry, read_manifest, weights_home
from moca.foundation.upstream import examples as published
from moca.foundation.upstream import grounding_dino, imagebind, sam
from moca.foundation.upstream.comparing import Difference, is_installed

ADVICE = "pip install --no-deps 'moca-avs[upstream]', or see docs/real-weights.md"


def crosschecks(examples: Path | None) -> Iterator[Check]:
    """One check after the other: those that cannot be made are good, and say why they were left out.

    examples: folder of ImageBind's six example files, or None. Raises InputError, before anything is loaded, where some
    of them are missing.
    """
    if examples is not None:
        published.example_files(examples)
    entries = read_manifest()
    towers = entries["imagebind-huge"]
    compare = imagebind.compare_imagebind
    yield from _against(towers, imagebind.PACKAGE, lambda entry: compare(entry.place, examples=examples))
    for entry in entries.values():
        if entry.role == "masks":
            yield from _against(entry, sam.PACKAGE, lambda entry: sam.compare_sam(entry.place))
    for name, (file, config) in grounding_dino.ORIGINALS.items():
        yield from _grounding(entries[name], weights_home() / file, config)
    if examples is not None:
        yield _published(towers, examples)


def _against(entry: Entry, package: str, compare: Callable[[Entry], list[Difference]]) -> Iterator[Check]:
    """A model against its original; what is not here, and what is not installed, is left out."""
    if entry.missing():
        yield _left_out(entry.name, f"{entry.place} is not here; run moca weights fetch {entry.name}")
    elif not is_installed(package):
        yield _left_out(entry.name, f"{package} is not installed; {ADVICE}")
    else:
        yield from _compared(entry.name, package, lambda: compare(entry))


def _grounding(entry: Entry, checkpoint: Path, config: str) -> Iterator[Check]:
    """Grounding DINO's original reads its own checkpoint, which is not the converted one that is fetched."""
    if entry.missing():
        yield _left_out(entry.name, f"{entry.place} is not here; run moca weights fetch {entry.name}")
    elif not is_installed(grounding_dino.PACKAGE):
        yield _left_out(entry.name, f"{grounding_dino.PACKAGE} is not installed; {ADVICE}")
    elif not checkpoint.is_file():
        yield _left_out(
            entry.name, f"its original {checkpoint.name} is not in {checkpoint.parent}; put it there by hand"
        )
    else:
        compare = grounding_dino.compare_grounding
        yield from _compared(entry.name, grounding_dino.PACKAGE, lambda: compare(entry.name, checkpoint, config))


def _compared(name: str, package: str, compare: Callable[[], list[Difference]]) -> Iterator[Check]:
    try:
        found = compare()
    except InputError as error:  # the package is there and cannot be imported
        yield _left_out(name, str(error))
        return
    for each in found:
        yield Check(name=name, good=each.good, said=f"against {package}, {each}", advice=REPORT)


REPORT = "please report this line with the versions above"


def _published(entry: Entry, folder: Path) -> Check:
    """The table that ImageBind's README prints, beside ours."""
    if not entry.is_here:
        return _left_out("examples", f"{entry.name} is not here; run moca weights fetch {entry.name}")
    model = load_imagebind(entry.name)
    ours = published.agreement_table(*published.example_embeddings(model, folder))
    theirs = np.array(published.PUBLISHED)
    far = float(np.abs(ours - theirs).max())
    copied = ", slim copy" if model.rounded_from else ""
    said = (
        f"ImageBind's README {published.table_text(theirs)}, ours {published.table_text(ours)}{copied}: largest "
        f"difference {far:.2g} (at most {published.ALLOWED:.0g} is rounding)"
    )
    return Check(name="examples", good=far <= published.ALLOWED, said=said, advice=REPORT)


def _left_out(name: str, why: str) -> Check:
    return Check(name=name, good=True, said=why, left_out=True)
