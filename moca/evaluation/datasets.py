"""The one table of data sets: how each is read, by which protocol it is measured, and what tables show of it.

A new data set is its reader in `moca/data` and a row here. Reading this module loads neither models nor protocols: the
rows do so when they are used, and help texts can list them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from moca.errors import InputError
from moca.segmentation.config import OPEN

if TYPE_CHECKING:
    from moca.evaluation.controls import Clip
    from moca.evaluation.protocols.protocol import EvaluationProtocol

UNCLIPPED = MappingProxyType({"heat_low": -1.0, "gate": OPEN, "gate_frozen": -1.0, "gate_rank": 0.0})
"""Settings of MoCA under which every pixel has a heat of its own. cIoU takes the upper half of a heat map's pixels, and
where more than half share the lowest value, as below the level that masks are shown from, that is the whole frame."""


@dataclass(frozen=True, kw_only=True)
class DiskClips:
    """What a reader finds on disk."""

    clips: Sequence[Clip]
    classes: tuple[str, ...] = ()
    """Names of classes by their number, the background first; () where masks have none."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else the clips are, as JSON values that are kept with results."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know of them."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A row of the table."""

    name: str
    """What `--data` takes."""
    title: str
    """As tables call it."""
    read: Callable[[str | Path, str], DiskClips]
    """The clips of a split, from the data set's folder or a stage's; every file is checked to be there."""
    protocol: Callable[[DiskClips, str | Path | None, str], EvaluationProtocol]
    """How they are measured, from the clips, a tagger and the tagger's device."""
    metrics: tuple[tuple[str, str], ...]
    """Name and title of each metric of the paper's tables, in their order, then what the paper does not give; the first
    one decides trends."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `SegmentConfig` that the protocol needs, whatever the model has; what a user set goes first."""
    splits: tuple[str, ...] = ("train", "val", "test")
    tagged: bool = False
    """Whether the protocol asks a tagger which class sounds, where a method does not say."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Clips of one data set, and how they are measured."""

    clips: Sequence[Clip]
    protocol: EvaluationProtocol
    about: dict[str, Any]
    """What the clips are, as JSON values that are kept with results."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know of them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `SegmentConfig` that the protocol needs; for `evaluate`."""


def _read_avsbench(subset: str, root: str | Path, split: str) -> DiskClips:
    from moca.data.avsbench import read_avsbench

    return DiskClips(clips=read_avsbench(root, subset=subset, split=split))


def _read_avss(root: str | Path, split: str) -> DiskClips:
    from moca.data.avss import read_avss

    clips, classes = read_avss(root, split=split)
    return DiskClips(clips=clips, classes=tuple(classes.names))


def _read_vggss(root: str | Path, split: str) -> DiskClips:
    from moca.data.vggss import read_vggss, vggss_paths
    from moca.evaluation.protocols.localisation import ceiling

    listed = read_vggss(*vggss_paths(root))
    best = ceiling(listed.clips)
    notes = (
        f"cIoU always chooses half of the picture: with these boxes no heat map reaches more than IoU@0.5 "
        f"{best['iou_at_50']:.3f} and AUC {best['auc']:.3f}; the AP of pixels has no such limit.",
    )
    if missing := len(listed.missing):
        notes += (f"{missing} of {len(listed.clips) + missing} annotated clips are not there and are left out.",)
    return DiskClips(clips=listed.clips, about={"missing": missing}, notes=notes)


def _segmentation(clips: DiskClips, tagger: str | Path | None, device: str) -> EvaluationProtocol:
    from moca.evaluation.protocols.segmentation import Segmentation

    return Segmentation()


def _semantic(clips: DiskClips, tagger: str | Path | None, device: str) -> EvaluationProtocol:
    from moca.evaluation.protocols.semantic import Semantic
    from moca.segmentation.labelling import labeller_for

    if tagger is None:
        return Semantic(clips.classes)
    labeller = labeller_for(clips.classes, tagger, device=device)
    return Semantic(clips.classes, labeller=labeller, labels=f"{labeller.how}; tagger: {Path(tagger).name}")


def _localisation(clips: DiskClips, tagger: str | Path | None, device: str) -> EvaluationProtocol:
    from moca.evaluation.protocols.localisation import Localisation

    return Localisation()


SEGMENTED = (("miou_batch4", "mIoU"), ("f_batch4", "F"))
"""AVSBench's own metrics, at its test batch of four videos."""

DATASETS: dict[str, DataSet] = {
    row.name: row
    for row in (
        DataSet(name="s4", title="S4", read=partial(_read_avsbench, "s4"), protocol=_segmentation, metrics=SEGMENTED),
        DataSet(
            name="ms3", title="MS3", read=partial(_read_avsbench, "ms3"), protocol=_segmentation, metrics=SEGMENTED
        ),
        DataSet(
            name="avss",
            title="AVSS",
            read=_read_avss,
            protocol=_semantic,
            metrics=(("miou", "mIoU"), ("f", "F")),
            tagged=True,
        ),
        DataSet(
            name="vggss",
            title="VGG-SS",
            read=_read_vggss,
            protocol=_localisation,
            # IoU@0.5 is AVGN's and AUC EZ-VSL's; the AP of pixels, which the paper does not give, tells more.
            metrics=(("iou_at_50", "IoU@0.5"), ("auc", "AUC"), ("ap_pixel", "AP of pixels")),
            settings=UNCLIPPED,
            splits=("test",),
        ),
    )
}


def read_data(
    name: str,
    root: str | Path,
    *,
    split: str = "test",
    model: str | Path | None = None,
    tagger: str | Path | None = None,
    device: str = "auto",
) -> Data:
    """One data set from its folder, or a stage's, every file checked to be there.

    name: a key of DATASETS. Clips of VGG-SS that are missing are noted, not refused. tagger: for avss, names the sound
    where the method gives a segment no label of a class, see `moca.segmentation.labelling.labeller_for`; None takes the
    one that goes with `model`, see `tagger_of`, and without a model leaves such segments out. device: the tagger's.
    Raises InputError, in one line, for a name or a split that is not known and for data that are not there.
    """
    if name not in DATASETS:
        raise InputError(f"data must be one of {', '.join(DATASETS)}, got {name!r}; pass one of them with --data.")
    row = DATASETS[name]
    if split not in row.splits:
        rule = f"one of {', '.join(row.splits)}" if len(row.splits) > 1 else row.splits[0]
        advice = "choose one of them with --split, or leave it out" if len(row.splits) > 1 else "leave --split out"
        raise InputError(f"split of {name} must be {rule}, got {split!r}; {advice}.")
    clips = row.read(root, split)
    if row.tagged and tagger is None and model is not None:
        tagger = tagger_of(model, name)
    return Data(
        clips=clips.clips,
        protocol=row.protocol(clips, tagger, device),
        about={"name": name, "split": split, "root": Path(root).resolve().name, **clips.about},
        notes=clips.notes,
        settings=row.settings,
    )


def tagger_of(model: str | Path, data: str = "avss") -> str:
    """The tagger that goes with a model: that of the catalogue's row it is made from, also for a run trained from it.

    Raises InputError, in one line, for a model whose encoder is none of the catalogue's. data: whose classes are to be
    named, for that line.
    """
    from moca.foundation.catalogue import CATALOGUE
    from moca.pipeline.encoder import base_model

    base = base_model(model)
    if base is None:
        raise InputError(
            f"data {data} needs a tagger that names what is heard, and model {model}, made from none of "
            f"{', '.join(CATALOGUE)}, has none of its own; name one with --tagger, such as {CATALOGUE['huge'].tags}."
        )
    return CATALOGUE[base].tags


def read_silent(root: str | Path) -> dict[str, Sequence[Clip]]:
    """By name, the clips of a stage in which nothing that is seen sounds: silence, noise and off-screen sound.

    Raises InputError, in one line, where root has none of them.
    """
    from moca.data.avsbench import read_avsbench
    from moca.stage.writing import EXTRAS

    folders = {name: Path(root) / name for name in EXTRAS}
    clips = {name: read_avsbench(folder) for name, folder in folders.items() if folder.is_dir()}
    if not clips:
        raise InputError(
            f"false positives are counted in the folders {', '.join(EXTRAS)}, {root} has none of them; write them with "
            "moca stage --extras N."
        )
    return clips
