"""Set a model's gates, level and heat range on videos, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moca.calibration.config import CalibrationConfig
from moca.cli.console import error_console, out_console, progress_bar
from moca.cli.options import ADAPTERS, DEVICE, FROZEN, MODEL, SETTINGS, Given, parsed_settings, takes
from moca.core.files import check_folder
from moca.errors import InputError
from moca.methods import own_settings
from moca.segmentation.config import ProposalConfig, SegmentConfig

if TYPE_CHECKING:
    from moca.calibration.running import Calibrated
    from moca.corpus.sources import Source
    from moca.pipeline.calibration_file import Part

LISTED = 20
"""Videos left out that are named one by one; all of them are in the file."""
PARTS = {"segment": "gates", "frozen_segment": "gates of the frozen encoder alone"}


@takes(calibrating=CalibrationConfig, proposing=ProposalConfig, segmentation=SegmentConfig, defaults=("calibrating",))
def command(
    source: Annotated[Path, typer.Argument(help="Videos: a folder of them, AVSBench's or a stage's, VGGSound's csv.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, such as calibration.json.")],
    calibrating: Given,
    proposing: Given,
    segmentation: Given,
    clips: Annotated[
        Path | None, typer.Option("--clips", help="Folder of the clips that VGGSound's csv lists.")
    ] = None,
    offscreen: Annotated[
        Path | None, typer.Option("--offscreen", help="Folder of videos in which nothing seen makes the sound.")
    ] = None,
    model: MODEL = None,
    adapters: ADAPTERS = None,
    frozen: FROZEN = False,
    device: DEVICE = "auto",
    settings: SETTINGS = None,
) -> None:
    """Set a model's gates, level and heat range on videos, without labels: `moca segment --calibration FILE` uses them.

    Frames are shown with their own sound, another video's, noise and silence; the gates let pass at most the share of
    false positives that is asked for. A page with the ROC is written beside the file. A stopped run goes on where it
    was when the same command is given again.
    """
    from moca.calibration.collecting import remove_kept
    from moca.calibration.running import calibrate_videos
    from moca.calibration.scoring import scorer_for
    from moca.corpus.finding import find_clips
    from moca.corpus.sources import ReadingConfig
    from moca.evaluation.variants import FROZEN as FROZEN_ENCODER
    from moca.evaluation.variants import variants_of
    from moca.methods import load_method
    from moca.pipeline.calibration_file import write_calibration
    from moca.reports.calibration import write_calibration_report

    config, page, keep = CalibrationConfig(**calibrating), out.with_suffix(".html"), _kept_beside(out)
    chosen = own_settings({}, proposing, segmentation, adapters=adapters, frozen=frozen)
    chosen |= parsed_settings(settings)
    sources, others = find_clips(source, clips=clips), _offscreen(offscreen)
    method = load_method("moca", model or "mini", device=device, settings=chosen)
    if method.notice:
        error_console.print(f"note: {method.notice}")
    encoder = method.pipeline.encoder.config
    reading = ReadingConfig(
        image_size=encoder.image_size,
        sample_rate_hz=encoder.log_mel.sample_rate_hz,
        steps_per_video=config.steps_per_video,
    )
    for one in (*sources, *others):
        one.check(reading)
    models = {"segment": method}
    if method.pipeline.adapted:
        models["frozen_segment"] = variants_of(method)[FROZEN_ENCODER]
    with progress_bar() as progress:
        calibrated = calibrate_videos(
            method.pipeline.name,
            {name: scorer_for(one, config.by) for name, one in models.items()},
            sources,
            reading,
            config,
            keep,
            offscreen=others,
            progress=progress,
        )
    write_calibration(out, calibrated.record)
    write_calibration_report(page, calibrated)
    remove_kept(keep)
    _tell(calibrated)
    out_console.print(f"written: {out}, {page}")
    same = [
        f"--model {model or 'mini'}",
        *(["--frozen"] if frozen else []),
        *([f"--adapters {adapters}"] * bool(adapters)),
    ]
    same += [f"--rule {proposing['rule']}"] if "rule" in proposing else []
    out_console.print(f"next: moca segment VIDEO {' '.join(same)} --calibration {out} -o OUT")


def _kept_beside(out: Path) -> Path:
    """The folder of scores beside the file; refuses a file that cannot be one."""
    if out.suffix != ".json":
        raise InputError(f"--out must name a .json file, got {out}; such as {out.with_suffix('.json')}.")
    check_folder(out.parent)
    if out.is_dir():
        raise InputError(f"{out} must be a file, it is a folder; choose another with -o.")
    for path in (out, out.with_suffix(".html")):
        if path.exists() and not _is_calibration(out):
            raise InputError(f"{path} is there and not of a calibration; choose another file with -o.")
    return out.with_name(f".{out.name}.scores")


def _is_calibration(path: Path) -> bool:
    """Whether moca calibrate wrote a file, which it may then replace."""
    from moca.pipeline.calibration_file import read_calibration

    try:
        read_calibration(path)
    except InputError:
        return False
    return True


def _offscreen(folder: Path | None) -> list[Source]:
    """Videos of off-screen sound: those of the test split, where a stage wrote them."""
    from moca.corpus.finding import find_clips

    return [] if folder is None else find_clips(folder, split="test")


def _tell(calibrated: Calibrated) -> None:
    """Print the thresholds, what each class of negatives passes, and what was left out."""
    for name in calibrated.collected.without_sound[:LISTED]:
        error_console.print(f"without sound: {name}")
    for name, reason in list(calibrated.collected.broken.items())[:LISTED]:
        error_console.print(f"broken: {name}: {reason}")
    for note in calibrated.notes:
        error_console.print(f"note: {note}")
    data = calibrated.record.data
    left_out = len(data["without_sound"]) + len(data["broken"])
    out_console.print(f"{data['frames']} frames with sound of {data['videos']} videos; {left_out} videos left out")
    for name, fitted in calibrated.fitted.items():
        out_console.print(f"\n{PARTS[name]}: AUC {fitted.part.area:.3f}")
        for line in _table(fitted.part):
            out_console.print(line)


def _table(part: Part) -> list[str]:
    """A row per false-positive rate, the chosen one marked: gates, own sounds that pass, and each class that passes."""
    head = ["", "at most", *part.chosen.gates, "own sound", *part.chosen.classes]
    rows = [
        [
            "*" if row.rate == part.chosen.rate else "",
            f"{row.rate:g}",
            *(f"{value:.4f}" for value in row.gates.values()),
            f"{row.recall:.3f}",
            *(f"{share:.3f}" for share in row.classes.values()),
        ]
        for row in part.table
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
