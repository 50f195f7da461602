"""What an install puts on a machine: one package called moca, whole, and nothing beside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "*.egg-info", "build", "dist", "out", "__pycache__", ".cache", "tests"
)
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built offline from a copy of it."""
    copy, out = tmp_path_factory.mktemp("tree") / "clone", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    done = subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_moca_alone_is_at_its_top(names):
    tops = {name.split("/")[0] for name in names}
    assert "moca" in tops and {top for top in tops if not top.endswith(".dist-info")} == {"moca"}


def test_every_module_of_the_tree_is_in_it(names):
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "moca").rglob("*.py")}
    for folder in ("adapters", "baselines", "weights"):
        wanted |= {f"moca/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / folder).rglob("*.py")}
    assert len(wanted) > 150 and wanted <= names


def test_what_is_not_code_is_in_it_too(names):
    data = {
        path
        for path in (ROOT / "moca").rglob("*")
        if path.is_file() and path.suffix in {".html", ".svg", ".css", ".typed"}
    }
    wanted = {path.relative_to(ROOT).as_posix() for path in data}
    kinds = (".safetensors", ".json", ".toml")
    outside = ROOT / "weights" / "mini-class"  # lies beside the package
    bundled = {path for path in (ROOT / "weights").rglob("*") if path.suffix in kinds and outside not in path.parents}
    wanted |= {f"moca/{path.relative_to(ROOT).as_posix()}" for path in bundled} | {"moca/baselines/mini.json"}
    assert len(bundled) > 10 and wanted <= names and not any("mini-class" in name for name in names)


def test_what_was_unpacked_runs_without_the_tree(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import moca, moca.adapters.plan, moca.weights, moca.baselines, moca.cli.app as app;"
        "print(*(m.__file__ for m in (moca, moca.adapters.plan, moca.weights, moca.baselines, app)), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(tmp_path) for line in done.stdout.splitlines())


def test_python_may_be_started_in_the_folder_above_a_clone_called_moca(tmp_path):
    (tmp_path / "moca").symlink_to(ROOT, target_is_directory=True)
    code = (
        "import moca, moca.adapters.plan, moca.baselines, moca.weights; from moca.errors import InputError;"
        "print(moca.__file__, moca.__version__, moca.__spec__.origin, moca.InputError is InputError, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    place, version, origin, same = done.stdout.splitlines()
    assert Path(place).resolve() == Path(origin).resolve() == ROOT / "moca" / "__init__.py"
    assert version.count(".") == 2 and same == "True"
