"""Do two installs of this package give the same bits? Runs both on the same inputs and prints what differs.

    python -m benchmarks.same_bits /path/to/before/bin/moca /path/to/after/bin/moca [-o FOLDER] [--only segment train]

Compared: a drawn stage, byte for byte; masks and segments.json of the sample (without version and times of files); the
log and the adapters of a 20-step training of each preset; every sum and figure of results.json for S4, AVSS and
VGG-SS, controls included; one table of the paper. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SAMPLE = Path(__file__).resolve().parents[1] / "docs" / "sample.mp4"
STAGE = ("--s4", "8,1,4", "--ms3", "8,1,4", "--avss", "0,0,2", "--vggss", "3", "--extras", "2", "--size", "112")
PASSING = {"version", "packages", "modified_ns", "seconds", "root", "trained_on", "fingerprint"}
"""Keys whose values say when and where something was made, not what."""
Outputs = dict[str, Any]


def segmented(moca: str, stage: Path, out: Path) -> Outputs:
    runs = {
        "as shipped": (),
        "frozen": ("--frozen",),
        "grid": ("--proposals", "grid", "--rule", "iou", "--unmatched", "empty"),
        "coarse": ("--proposals", "none", "--sounding", "otsu", "--clusters", "5", "--refine"),
        "sam-bind": ("--method", "sam-bind", "--set", "bind_threshold=0.4"),
        "owod-bind": ("--method", "owod-bind"),
        "at-gdino-sam": ("--method", "at-gdino-sam"),
    }
    outputs: Outputs = {}
    for name, options in runs.items():
        folder = out / "segment" / name
        run(moca, "segment", SAMPLE, "-o", folder, *options)
        outputs |= {f"segment {name}: {path.name}": digest(path) for path in sorted(folder.glob("masks/*.png"))}
        outputs |= flat(f"segment {name}: segments.json", json.loads((folder / "segments.json").read_text()))
    return outputs


def trained(moca: str, stage: Path, out: Path) -> Outputs:
    outputs: Outputs = {}
    for preset in ("moca", "paper"):
        folder = out / "train" / preset
        few = ("--steps", "20", "--batch", "8", "--set", "labels.alike=2", "--set", "labels.unlike=4")
        run(moca, "train", stage, "-o", folder, "--preset", preset, "--neighbours", "5", "--dino", "mini", *few)
        with (folder / "log.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                outputs |= {f"train {preset}: step {row['step']} {k}": v for k, v in row.items() if k not in PASSING}
        outputs[f"train {preset}: adapters"] = digest(folder / "adapters" / "adapters.safetensors")
        outputs |= flat(f"train {preset}: pipeline.json", json.loads((folder / "pipeline.json").read_text()))
    return outputs


def evaluated(moca: str, stage: Path, out: Path) -> Outputs:
    outputs: Outputs = {}
    runs = {
        "s4": ("--false-positives",),
        "avss": ("--method", "at-gdino-sam"),
        "vggss": (),
    }
    for data, options in runs.items():
        folder = out / "evaluate" / data
        run(moca, "evaluate", stage, "-o", folder, "--data", data, "--gallery", "0", "--samples", "50", *options)
        outputs |= flat(f"evaluate {data}", json.loads((folder / "results.json").read_text()))
    return outputs


def reproduced(moca: str, stage: Path, out: Path) -> Outputs:
    folder = out / "tables"
    few = ("--seeds", "0", "--steps", "5", "--clips", "2", "--set", "labels.alike=2", "--set", "labels.unlike=4")
    run(moca, "reproduce", "table10", "--data", stage, "-o", folder, *few)
    with (folder / "table10.csv").open(newline="") as file:
        return {
            f"table10: {row['row']}, {row['metric']}, {row['control']}": (row["values"], row["low"], row["high"])
            for row in csv.DictReader(file)
        }


def staged(moca: str, stage: Path, out: Path) -> Outputs:
    folder = out / "stage"
    run(moca, "stage", "-o", folder, *STAGE)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"stage: {path.relative_to(folder)}": digest(path) for path in files}


PARTS: dict[str, Callable[[str, Path, Path], Outputs]] = {
    "stage": staged,
    "segment": segmented,
    "train": trained,
    "evaluate": evaluated,
    "reproduce": reproduced,
}


def run(moca: str, *arguments: object) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [moca, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=SAMPLE.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def flat(name: str, value: Any) -> Outputs:
    """Every value of nested JSON by its place, without what only says when and where it was made."""
    return dict(_leaves(name, value))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in PASSING:
                yield from _leaves(f"{name}.{key}", part)
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for place, part in enumerate(value):
            yield from _leaves(f"{name}[{place}]", part)
    else:
        yield name, value


def compared(before: Outputs, after: Outputs) -> list[str]:
    """One line for every value that differs or is in one of the two alone."""
    lines = []
    for name in before | after:
        a, b = before.get(name, "absent"), after.get(name, "absent")
        if a != b:
            lines.append(f"{name}: {_short(a)} -> {_short(b)}")
    return lines


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 90 else text[:87] + "..."


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare two installs of moca-avs bit for bit.")
    parser.add_argument("before", help="the moca command of one install")
    parser.add_argument("after", help="the moca command of the other")
    parser.add_argument("-o", "--out", type=Path, help="keep what both write here")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--most", type=int, default=40, help="lines printed of each part")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        stage = out / "inputs"
        if not stage.exists():
            run(options.before, "stage", "-o", stage, *STAGE)
        different = 0
        for part in options.only:
            installs = {"a": options.before, "b": options.after}
            both = [PARTS[part](moca, stage, out / side) for side, moca in installs.items()]
            lines = compared(*both)
            different += len(lines)
            print(f"{part}: {len(both[0] | both[1])} values compared, {len(lines)} differ", flush=True)
            for line in lines[: options.most]:
                print(f"  {line}")
            if len(lines) > options.most:
                print(f"  and {len(lines) - options.most} more")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
