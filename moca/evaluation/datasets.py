"""Data sets by name, each with the protocol that measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moca.errors import InputError
from moca.evaluation.controls import Clip
from moca.evaluation.protocols.protocol import EvaluationProtocol

DATA = ("s4", "ms3", "avss", "vggss")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Clips of one data set. about: what they are, as JSON values. notes: what a reader should know of them."""

    clips: Sequence[Clip]
    protocol: EvaluationProtocol
    about: dict[str, Any]
    notes: tuple[str, ...] = field(default=())


def read_data(
    name: str,
    root: str | Path,
    *,
    split: str = "test",
    tagger: str | Path | None = None,
    device: str = "auto",
) -> Data:
    """One data set from its folder, or a stage's, every file checked to be there.

    name: s4 or ms3 (AVSBench), avss (AVSBench-semantic) or vggss (VGG-SS, whose clips are all test clips; those that
    are missing are noted, not refused). tagger: for avss, names the sound where the method gives a segment no label of
    a class, see `moca.segmentation.labelling.labeller_for`; None leaves such segments out. device: the tagger's.
    """
    if name not in DATA:
        raise InputError(f"data must be one of {', '.join(DATA)}, got {name!r}; pass one of them with --data.")
    about = {"name": name, "split": split, "root": Path(root).resolve().name}
    if name == "vggss":
        return _vggss(root, split, about)
    if name == "avss":
        from moca.data.avss import read_avss

        clips, classes = read_avss(root, split=split)
        return Data(clips=clips, protocol=_semantic(classes.names, tagger, device), about=about)
    from moca.data.avsbench import read_avsbench
    from moca.evaluation.protocols.segmentation import Segmentation

    return Data(clips=read_avsbench(root, subset=name, split=split), protocol=Segmentation(), about=about)


def _semantic(names: Sequence[str], tagger: str | Path | None, device: str) -> EvaluationProtocol:
    from moca.evaluation.protocols.semantic import Semantic
    from moca.segmentation.labelling import labeller_for

    if tagger is None:
        return Semantic(names)
    labeller = labeller_for(names, tagger, device=device)
    return Semantic(names, labeller=labeller, labels=f"{labeller.how}; tagger: {Path(tagger).name}")


def _vggss(root: str | Path, split: str, about: dict[str, Any]) -> Data:
    from moca.data.vggss import read_vggss, vggss_paths
    from moca.evaluation.protocols.localisation import Localisation, ceiling

    if split != "test":
        raise InputError(f"vggss has test clips only, got split {split!r}; leave --split out.")
    found = read_vggss(*vggss_paths(root))
    best = ceiling(found.clips)
    notes = (
        f"cIoU always chooses half of the picture: with these boxes no heat map reaches more than IoU@0.5 "
        f"{best['iou_at_50']:.3f} and AUC {best['auc']:.3f}; the AP of pixels has no such limit.",
    )
    if found.missing:
        listed = len(found.clips) + len(found.missing)
        notes += (f"{len(found.missing)} of {listed} annotated clips are not there and are left out.",)
    return Data(clips=found.clips, protocol=Localisation(), about={**about, "missing": len(found.missing)}, notes=notes)


def read_silent(root: str | Path) -> dict[str, Sequence[Clip]]:
    """By name, the clips of a stage in which nothing that is seen sounds: silence, noise and off-screen sound.

    Raises InputError, in one line, where root has none of them.
    """
    from moca.data.avsbench import read_avsbench
    from moca.stage.writing import EXTRAS

    folders = {name: Path(root) / name for name in EXTRAS}
    found = {name: read_avsbench(folder) for name, folder in folders.items() if folder.is_dir()}
    if not found:
        raise InputError(
            f"false positives are counted in the folders {', '.join(EXTRAS)}, {root} has none of them; write them with "
            "moca stage --extras N."
        )
    return found
