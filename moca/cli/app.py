"""The command line: one function per command, errors as one line with exit code 2."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from moca.cli.console import INTERRUPTED, error_console, out_console, progress_bars
from moca.cli.evaluate import compare, evaluate
from moca.cli.options import MATCH, METHOD, PROPOSALS, RULE, SETTINGS, UNMATCHED, parsed_settings
from moca.cli.reproduce import reproduce
from moca.cli.train import train
from moca.cli.weights import weights
from moca.errors import InputError
from moca.version import __version__

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which pixels in this video make the sound.",
)
# Typer brings its own copy of click or uses the installed one; either way this is the base of its usage errors.
UsageProblem = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def main() -> None:
    """Entry point: every user error is one line on stderr and exit code 2; Ctrl-C is 130."""
    warnings.showwarning = _show_warning
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer ends a command so on Ctrl-C, without a word
            raise KeyboardInterrupt
        sys.exit(code)
    except UsageProblem as error:
        _fail(error.format_message())
    except (InputError, _adapter_error()) as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder that may not be written
        _fail(f"{error.filename or 'file'}: {error.strerror or error}; free the place or choose another with -o.")
    except (KeyboardInterrupt, typer.Abort):
        error_console.print("interrupted: what is finished is kept; run the same command to go on")
        sys.exit(INTERRUPTED)


def _adapter_error() -> type[Exception]:
    from moca.adapters.errors import AdapterError

    return AdapterError


def _fail(message: str) -> None:
    error_console.print(f"error: {' '.join(message.split())}", markup=False)
    sys.exit(2)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, UserWarning):
        error_console.print(f"warning: {' '.join(str(message).split())}", markup=False)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Which pixels in this video make the sound."""
    if show:
        out_console.print(f"moca-avs {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        out_console.print(context.get_help(), markup=False)
        raise typer.Exit(2)


@app.command()
def segment(
    inputs: Annotated[list[Path], typer.Argument(help="Video files, or folders of videos.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    method: METHOD = "moca",
    model: Annotated[str, typer.Option(help='"mini", "huge", or the folder of a training run.')] = "mini",
    adapters: Annotated[Path | None, typer.Option(help="Adapters to use instead of the model's own.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="The frozen encoder alone, without adapters.")] = False,
    weights: Annotated[str, typer.Option(help="trained, or random: the architecture alone.")] = "trained",
    steps_per_s: Annotated[float, typer.Option("--steps-per-second", help="Frames looked at per second.")] = 1.0,
    clusters: Annotated[int | None, typer.Option(help="k of the cosine k-means.")] = None,
    sounding: Annotated[str | None, typer.Option(help="What sounds: clusters best, ratio or otsu; or level.")] = None,
    level: Annotated[float | None, typer.Option(help="Agreement from which a pixel sounds under level.")] = None,
    refine: Annotated[bool | None, typer.Option(help="Snap masks to the picture's edges.")] = None,
    proposals: PROPOSALS = None,
    rule: RULE = None,
    match: MATCH = None,
    unmatched: UNMATCHED = None,
    gate: Annotated[float | None, typer.Option(help="Smallest score at which a region sounds.")] = None,
    mirror: Annotated[bool | None, typer.Option(help="Also look at the mirrored frame; takes twice as long.")] = None,
    silence_dbfs: Annotated[float | None, typer.Option(help="Level below which a step is silent.")] = None,
    video_stream: Annotated[int | None, typer.Option(help="Video stream index.")] = None,
    audio_stream: Annotated[int | None, typer.Option(help="Audio stream index.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overlay: Annotated[bool, typer.Option(help="Write overlay.mp4.")] = True,
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    allow_truncated: Annotated[
        bool, typer.Option("--allow-truncated", help="Use what is there of cut-off files.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace runs with other settings.")] = False,
    settings: SETTINGS = None,
) -> int:
    """Mask what sounds: masks/*.png, segments.json, overlay.mp4 and report.html for every video."""
    from moca.media import probe
    from moca.methods import load_method
    from moca.output.batch import is_single, run_folders, segment_many
    from moca.output.config import OutputConfig

    if frozen and adapters is not None:
        raise InputError("--frozen and --adapters exclude each other; give one of them.")
    chosen = {"adapters": adapters, "weights": None if weights == "trained" else weights, "clusters": clusters}
    chosen |= {"sounding": sounding, "level": level, "refine": refine, "proposals": proposals, "rule": rule}
    chosen |= {"match": match, "unmatched": unmatched, "gate": gate, "mirror": mirror, "silence_dbfs": silence_dbfs}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if frozen:
        chosen["adapters"] = None
    chosen |= parsed_settings(settings, "silence_dbfs=-50")
    config = OutputConfig(
        steps_per_s=steps_per_s,
        video_stream=video_stream,
        audio_stream=audio_stream,
        overlay=overlay,
        report=report,
        allow_truncated=allow_truncated,
    )
    single = is_single(inputs)
    run_folders(inputs, out)  # refuse before loading a model, this and what follows
    if single:
        probe(inputs[0], video_stream=video_stream, audio_stream=audio_stream)
    loaded = load_method(method, model, device=device, settings=chosen)
    notice = loaded.notice
    if notice:
        error_console.print(f"note: {notice}", markup=False)
    with progress_bars() as progress:
        outcome = segment_many(loaded, inputs, out, config, overwrite=overwrite, progress=_shown(progress))
    return _tell(outcome, out, single, known=notice)


def _shown(bars: Progress):
    """A bar that shows one piece of work after the other, as `moca.core.progress.Progress` tells it."""
    task = bars.add_task("", total=None)

    def report(what: str, done: float, total: float | None = None, **values: float) -> None:
        bars.update(task, description=what, completed=done, total=total)

    return report


def _tell(outcome, out: Path, single: bool, known: str | None) -> int:
    for path, summary in outcome.done.items():
        again = " (finished before, not done again)" if summary.reused else ""
        out_console.print(f"{path}: {summary.sounding} of {summary.steps} steps have a mask{again}", markup=False)
        for note in summary.notes:
            if note != known:
                error_console.print(f"note: {path}: {note}", markup=False)
    for path, reason in outcome.failed.items():
        error_console.print(f"failed: {path}: {reason}", markup=False)
    if outcome.failed:
        total = len(outcome.failed) + len(outcome.done)
        error_console.print(f"error: {len(outcome.failed)} of {total} videos failed; see {out / 'failures.csv'}")
        return 2
    where = out / "report.html" if single else out
    out_console.print(f"written: {where}", markup=False)
    return 0


app.command()(train)
app.add_typer(weights, name="weights")
app.command()(evaluate)
app.command()(compare)
app.command()(reproduce)


@app.command()
def stage(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    s4: Annotated[str, typer.Option(help="S4 clips: train,val,test.")] = "40,10,20",
    ms3: Annotated[str, typer.Option(help="MS3 clips: train,val,test.")] = "20,10,20",
    avss: Annotated[str, typer.Option(help="AVSS clips, with classes: train,val,test.")] = "0,0,0",
    vggss: Annotated[int, typer.Option(help="VGGSound test clips with VGG-SS's boxes.")] = 0,
    extras: Annotated[int, typer.Option(help="Clips each of silence, noise and off-screen sound.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the square frame in pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Another seed, another world.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw.")] = 1,
) -> None:
    """Write Soundstage, the procedural world with exact masks, in the layouts of AVSBench, AVSS and VGG-SS."""
    from moca.stage import write_stage

    with progress_bars() as progress:
        write_stage(
            out,
            s4=_counts("--s4", s4),
            ms3=_counts("--ms3", ms3),
            avss=_counts("--avss", avss),
            vggss=vggss,
            extras=extras,
            seed=seed,
            size=size,
            workers=workers,
            progress=_shown(progress),
        )
    out_console.print(f"written: {out}", markup=False)


def _counts(name: str, text: str) -> tuple[int, int, int]:
    try:
        train, val, test = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} must be three whole numbers train,val,test, got {text!r}; e.g. 40,10,20.") from None
    return train, val, test


@app.command()
def doctor() -> int:
    """What is installed, which weights are here, which device, and what results may be used for."""
    from moca.cli.doctor import report

    return 0 if report(out_console) else 1
