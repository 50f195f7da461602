"""Is a killed and resumed `moca train` the same, to the last bit, as one that was never stopped?

    OMP_NUM_THREADS=1 python -m benchmarks.resume [--folder stage/] [--steps 60] [--kills 10]

Two runs of the same settings: one in peace, the other killed with SIGKILL at random moments (while it decodes,
prepares, trains or writes) and started again with --resume, until it has been killed so often and has finished. A
line is printed for every kill, then the verdict; exit code 1 where a byte differs. Without --folder, a small stage
is drawn.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

WEIGHTS = Path("adapters") / "adapters.safetensors"


def command(*arguments: object) -> list[str]:
    """The installed `moca` of this Python."""
    return [sys.executable, "-c", "from moca.cli.app import main; main()", *map(str, arguments)]


def state_of(out: Path) -> str:
    """How far a run has come, in words."""
    checkpoints = sorted((out / "checkpoints").glob("step-*.pt"))
    if (out / "pipeline.json").exists():
        return "finished"
    if (out / "log.csv").exists():
        steps = max(0, len((out / "log.csv").read_text().splitlines()) - 1)
        return f"in step {steps + 1}, saved {checkpoints[-1].stem if checkpoints else 'nothing yet'}"
    return "preparing" if (out / "corpus" / "corpus.json").exists() else "reading videos"


def newest(out: Path) -> int:
    """Time of the latest change in a folder, ns; 0 while it is not there."""
    times = [0]
    for path in out.rglob("*"):
        with suppress(FileNotFoundError):  # a temporary file that was renamed meanwhile
            times.append(path.stat().st_mtime_ns)
    return max(times)


def start(train: list[str], out: Path) -> subprocess.Popen:
    """Start a run and wait for its first sign of life: loading the program takes longer than the steps of a test."""
    before = newest(out)
    child = subprocess.Popen(train, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while newest(out) == before and child.poll() is None:
        time.sleep(0.01)
    return child


def kill_and_resume(train: list[str], out: Path, kills: int, most_s: float, generator: random.Random) -> None:
    """Kill a run so often, each time at most most_s seconds after its first sign of life, and let the last one finish.

    A start that finishes first is no kill: its model and newest checkpoint are removed and it goes on from there.
    """
    done = 0
    while done < kills:
        delay = generator.uniform(0, most_s)
        child = start([*train, "--resume"], out)
        try:
            if child.wait(timeout=delay):
                raise SystemExit(f"the resumed run ended with exit code {child.returncode}")
            print("finished before it could be killed; its end is undone")
            rewind(out)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            done += 1
            print(f"kill {done:2} of {kills}, {delay:5.2f} s after a sign of life: {state_of(out)}", flush=True)
    subprocess.run([*train, "--resume"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rewind(out: Path) -> None:
    """Undo a run's end: the model and the newest checkpoint."""
    (out / "pipeline.json").unlink()
    sorted((out / "checkpoints").glob("step-*.pt"))[-1].unlink()


def steps_logged(out: Path) -> list[tuple[str, str]]:
    """Step and loss of every row of a log."""
    with (out / "log.csv").open(newline="") as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


def main() -> None:
    """Train in peace, train under fire, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="videos, or a stage; default: a small stage is drawn")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--checkpoint-every", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the delays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = options.folder
        if folder is None:
            folder = work / "stage"
            sizes = ("--s4", "8,0,0", "--ms3", "4,0,0", "--size", 112)
            subprocess.run(command("stage", "-o", folder, *sizes), check=True, stdout=subprocess.DEVNULL)
        settings = ("--steps", options.steps, "--batch", 8, "--checkpoint-every", options.checkpoint_every)

        def train(out: Path) -> list[str]:
            return command("train", folder, "-o", out, *settings, "--device", "cpu")

        child, began = start(train(work / "peace"), work / "peace"), time.monotonic()
        if child.wait():
            raise SystemExit(f"the uninterrupted run ended with exit code {child.returncode}")
        work_s = time.monotonic() - began
        print(f"uninterrupted: {options.steps} steps, {work_s:.1f} s from the first sign of life", flush=True)
        most_s = 2 * work_s / options.kills  # on average the kills are spread over the whole run
        kill_and_resume(train(work / "fire"), work / "fire", options.kills, most_s, random.Random(options.seed))
        digests = [hashlib.sha256((work / run / WEIGHTS).read_bytes()).hexdigest() for run in ("peace", "fire")]
        logs = [steps_logged(work / run) for run in ("peace", "fire")]
    same = digests[0] == digests[1] and logs[0] == logs[1]
    print(f"adapters {digests[0][:16]} and {digests[1][:16]}, {len(logs[0])} and {len(logs[1])} steps logged")
    print("verdict: identical to the last bit" if same else "verdict: NOT identical")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
