"""`moca train` as a user meets it: a folder of videos in, a model for `moca segment` out, one line per error."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from moca.media import write_video

SMALL = ("--batch", "4", "--set", "labels.alike=2", "--set", "labels.unlike=2", "--set", "labels.refine=false")


def moca(*arguments) -> tuple[int, str, str]:
    """Run the installed command; returns (exit code, stdout, stderr)."""
    run = start(*arguments)
    stdout, stderr = run.communicate(timeout=300)
    return run.returncode, stdout, stderr


def start(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", "from moca.cli.app import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Six videos of three seconds, one that is cut off and one that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        generator = np.random.default_rng(number)
        frames = generator.integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
        audio = 0.3 * np.sin(np.arange(48_000) / (5 + number))
        write_video(folder / f"{number}.mp4", iter(frames), rate_hz=4, audio=audio, sample_rate_hz=16_000)
    whole = (folder / "0.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp4").write_text("not a video")
    return folder


@pytest.fixture(scope="module")
def trained(videos, tmp_path_factory) -> tuple[Path, str, str]:
    """A finished run's folder and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "run"
    code, stdout, stderr = moca("train", videos, "-o", out, "--steps", 5, "--checkpoint-every", 2, *SMALL)
    assert code == 0, stderr
    return out, stdout, stderr


@pytest.fixture
def refuse(here):
    """The one line on stderr of a refused `moca train`."""

    def run(*arguments) -> str:
        code, stdout, stderr = here("train", *arguments)
        assert code == 2 and stdout == "", stderr
        lines = stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), stderr
        return lines[0].removeprefix("error: ")

    return run


def test_it_says_what_was_used_what_was_broken_and_what_comes_next(trained):
    out, stdout, stderr = trained
    assert stdout.splitlines() == [
        "trained on 18 frames of 6 videos: 5 steps",
        f"written: {out}",
        f"next: moca segment VIDEO --model {out} -o OUT",
    ]
    lines = stderr.splitlines()
    assert lines[0] == "note: mini only knows Soundstage's drawn classes: on real videos its masks mean little."
    assert [line.split(": ")[:2] for line in lines[1:3]] == [["broken", "cut.mp4"], ["broken", "text.mp4"]]
    listed = out / "corpus" / "broken.csv"
    assert lines[3:] == [f"broken: 2 of 8 videos could not be used; all are listed in {listed}"]
    with listed.open(newline="") as file:
        assert [row["video"] for row in csv.DictReader(file)] == ["cut.mp4", "text.mp4"]


def test_the_next_command_works(trained, videos, tmp_path, here):
    code, stdout, stderr = here("segment", videos / "1.mp4", "--model", trained[0], "-o", tmp_path / "out")
    assert code == 0 and "of 3 steps have a mask" in stdout, stderr
    document = json.loads((tmp_path / "out" / "segments.json").read_text())
    assert "run" in json.dumps(document)


def test_going_on_keeps_the_options_of_the_run_and_refuses_others(trained, videos, here, refuse):
    out = trained[0]
    code, stdout, stderr = here("train", videos, "-o", out, "--resume")
    assert code == 0 and stdout.startswith(
        "trained on 18 frames of 6 videos: finished before, nothing was done again\n"
    ), stderr
    assert refuse(videos, "-o", out, "--resume", "--lr", "0.5") == (
        f"{out / 'config.json'} was made with lr 0.004, which must stay to go on, got 0.5; give the same, or start "
        "anew with --overwrite, or in another folder."
    )
    assert refuse(videos, "-o", out) == (
        f"{out} already holds a run; go on with --resume, replace it with --overwrite, or choose another folder with "
        "-o."
    )


def test_ctrl_c_saves_and_says_how_to_go_on(videos, tmp_path):
    out = tmp_path / "run"
    child = start("train", videos, "-o", out, "--steps", 400, *SMALL)
    deadline = time.monotonic() + 200
    while not (out / "log.csv").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=100)
    assert child.returncode == 130 and stdout == "", stderr
    (saved,) = sorted((out / "checkpoints").iterdir())[-1:]
    done = int(saved.stem.removeprefix("step-"))
    assert stderr.splitlines() == [f"interrupted: {done} of 400 steps are done and saved; go on with --resume"]
    assert len((out / "log.csv").read_text().splitlines()) == done + 1 and not (out / "pipeline.json").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--steps", "0"], "--steps must be a whole number of at least 1, got 0; change it."),
        (["--preset", "best"], "--preset must be one of paper, moca, got 'best'; choose one of them."),
        (["--placement", "middle"], "--placement must be one of last, first, interleaved, got 'middle'; change it."),
        (["--set", "lr"], "--set must be KEY=VALUE, got 'lr'; name the setting, then = and its value."),
        (["--set", "lr=fast"], "lr must be a number above 0, got 'fast'; change it."),
        (
            ["--device", "tpu9"],
            "device must be auto, cpu, cuda or cuda:N and present, got tpu9; try --device cpu.",
        ),
        (["--workers", "0"], "--workers must be a whole number between 1 and 256, got 0; give for example 2."),
        (["--resume", "--overwrite"], "--resume and --overwrite exclude each other; give one of them."),
    ],
)
def test_bad_values_are_one_line_before_any_work(videos, tmp_path, refuse, options, line):
    assert refuse(videos, "-o", tmp_path / "run", *options) == line
    assert not (tmp_path / "run").exists()


def test_there_must_be_a_run_to_go_on_with(videos, tmp_path, refuse):
    out = tmp_path / "run"
    for make in (lambda: None, out.mkdir):
        make()
        assert refuse(videos, "-o", out, "--resume") == (
            f"{out} holds no run to go on with; leave --resume out, or name the run's folder with -o."
        )
    assert list(out.iterdir()) == []


def test_too_little_data_is_one_line(videos, tmp_path, refuse):
    line = refuse(videos, "-o", tmp_path / "run", "--batch", "18")
    assert line.startswith("training needs more than 18 frames with sound (the batch), got 18 among 18")


def test_folders_without_a_usable_video_are_one_line(tmp_path, refuse):
    (tmp_path / "empty").mkdir()
    assert "must hold at least one video file" in refuse(tmp_path / "empty", "-o", tmp_path / "run")
    (tmp_path / "empty" / "text.mp4").write_text("not a video")
    assert "at least one video must be usable, all 1 are broken" in refuse(tmp_path / "empty", "-o", tmp_path / "run")
