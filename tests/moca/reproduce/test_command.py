"""`moca reproduce` as a user meets it."""

import pytest

from moca import reproduce as package
from moca.training.loop import Interrupted


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the command asked for; nothing is run."""
    found = []

    def reproduce(table, config, *, progress):
        progress("training", 1, 2)
        progress("MS3", 2, 2)
        (tmp_path / "t.md").write_text("# A page\n")
        found.append((table, config))
        return [package.Reproduced(filled=None, files=(tmp_path / "t.md",), notes=("a note", "a note"))]

    monkeypatch.setattr(package, "reproduce", reproduce)
    return found


def test_options_reach_the_configuration(here, asked, tmp_path):
    code, stdout, stderr = here(
        "reproduce",
        *("table9", "--data", tmp_path, "-o", tmp_path / "out", "--seeds", "3,4", "--steps", 5, "--clips", 6),
        *(
            "--model",
            "m",
            "--dino",
            "d",
            "--workers",
            2,
            "--device",
            "cpu",
            "--set",
            "lr=0.5",
            "--set",
            "mining.index=flat",
        ),
    )
    assert code == 0 and stdout.startswith("# A page\n") and f"written: {tmp_path / 't.md'}" in stdout
    assert stderr.splitlines() == ["note: a note"]
    ((table, config),) = asked
    assert table == "table9" and config == package.ReproduceConfig(
        data=tmp_path, out=tmp_path / "out", seeds=(3, 4), steps=5, clips=6, model="m", dino="d", workers=2,
        device="cpu", training={"lr": 0.5, "mining.index": "flat"},
    )  # fmt: skip


def test_defaults(here, asked, tmp_path):
    assert here("reproduce", "all", "--data", tmp_path, "-o", tmp_path / "out")[0] == 0
    assert asked[0][1] == package.ReproduceConfig(data=tmp_path, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--seeds", "0;1"),
            "--seeds must be a list, each a whole number of at least 0, got ('0;1',); give for example 0,1,2.",
        ),
        (("--clips", "1"), "--clips must be a whole number of at least 2, or none, got 1; change it."),
        (("--set", "lr"), "--set must be KEY=VALUE, got 'lr'; name the setting, then = and its value."),
    ],
)
def test_refusals_are_one_line(here, tmp_path, arguments, words):
    code, stdout, stderr = here("reproduce", "table9", "--data", tmp_path, "-o", tmp_path / "out", *arguments)
    assert (code, stdout, stderr) == (2, "", f"error: {words}\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_training_says_how_to_go_on(here, monkeypatch, tmp_path):
    words = "3 of 5 steps are kept; go on with the same command."

    def stopped(table, config, *, progress):
        raise Interrupted(words)

    monkeypatch.setattr(package, "reproduce", stopped)
    code, stdout, stderr = here("reproduce", "table9", "--data", tmp_path, "-o", tmp_path / "out")
    assert (code, stdout) == (
        130,
        "",
    ) and stderr == "interrupted: 3 of 5 steps are kept; go on with the same command.\n"


def test_a_folder_without_data_is_refused_in_one_line(here, tmp_path):
    (tmp_path / "empty").mkdir()
    code, stdout, stderr = here("reproduce", "table8", "--data", tmp_path / "empty", "-o", tmp_path / "out")
    assert (code, stdout) == (2, "") and stderr.count("\n") == 1 and stderr.startswith("error: VGG-SS needs vggss.json")
    assert not (tmp_path / "out").exists()
