"""`moca evaluate` and `moca compare` as a user meets them."""

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO

import pytest

from moca.cli.app import app
from moca.cli.compare import command as compare
from moca.errors import InputError
from moca.evaluation.datasets import DATASETS, UNCLIPPED
from moca.stage import write_stage

SETTING = ("--set", "silence_dbfs=-50")


def evaluate(*arguments):
    """What `moca evaluate` prints; in this process, which has loaded everything already."""
    printed = StringIO()
    with redirect_stdout(printed):
        app(["evaluate", *map(str, arguments)], standalone_mode=False)
    return printed.getvalue()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Two small clips of every data set, and one of every kind without a visible source."""
    root = tmp_path_factory.mktemp("stages") / "stage"
    return write_stage(root, s4=(0, 0, 2), avss=(0, 0, 2), vggss=2, extras=1, size=112)


@pytest.fixture(scope="module")
def evaluated(stage, tmp_path_factory):
    """S4 evaluated with everything: (folder, what was printed)."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    return out, evaluate(stage, "-o", out, "--false-positives", "--gallery", "1", *SETTING)


def test_everything_is_written(evaluated):
    out, stdout = evaluated
    for word in ("muted", "swapped", "frozen encoder", "mIoU", "False positives", "offscreen", "bootstrap"):
        assert word in stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "clips", "report.html", "results.csv", "results.json", "results.md",
    ]  # fmt: skip
    ((label, result),) = json.loads((out / "results.json").read_text())["results"].items()
    assert label == "moca (mini), s4 test"
    assert result["data"] | {"fingerprint": ""} == {
        "name": "s4", "split": "test", "root": "stage", "clips": 2, "fingerprint": "",
    }  # fmt: skip
    assert result["settings"]["segment"]["silence_dbfs"] == -50
    assert result["settings"]["fingerprints"] and result["licence"] == "Apache-2.0"
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 1 and "only knows Soundstage" in page


def test_a_second_run_scores_nothing_again_and_may_leave_the_report_out(stage, evaluated, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(evaluated[0] / "clips", out / "clips")
    entries = {path: path.stat().st_mtime_ns for path in out.glob("clips/*/*")}
    printed = evaluate(stage, "-o", out, "--data", "s4", "--no-controls", "--no-report", *SETTING)
    assert "No control was run" in printed and not (out / "report.html").exists()
    assert {path: path.stat().st_mtime_ns for path in out.glob("clips/*/*")} == entries


def test_shards_meet_in_the_folder(stage, tmp_path):
    options = [stage, "-o", tmp_path / "out", "--no-controls", "--gallery", "0", "--samples", "0"]
    printed = evaluate(*options, "--shard", "2/2")
    assert printed == "shard 2/2 is done; the table is written when the others are, too\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clips"]
    assert "| moca (mini), s4 test | none |" in evaluate(*options, "--shard", "1/2")
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(("data", "words"), [("avss", "mIoU, seen"), ("vggss", "CIoU | AUC")])
def test_other_data_have_their_own_numbers(stage, tmp_path, data, words):
    printed = evaluate(stage, "-o", tmp_path / "out", "--data", data, "--no-controls", "--gallery", "1")
    assert words in printed and f"moca (mini), {data} test" in printed
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--data", "s5"], f"data must be one of {', '.join(DATASETS)}, got 's5'; pass one of them with --data."),
        (["--data", "vggss", "--split", "val"], "split of vggss must be test, got 'val'; leave --split out."),
        (
            ["--split", "foo"],
            "split of s4 must be one of train, val, test, got 'foo'; choose one of them with --split, or leave it out.",
        ),
        (["--data", "vggss", "--split", "foo"], "split of vggss must be test, got 'foo'; leave --split out."),
        (["--shard", "3/2"], "--shard must be i/n with i from 1 to n, got '3/2'; e.g. 1/4 to 4/4."),
        (["--shard", "half"], "--shard must be i/n with i from 1 to n, got 'half'; e.g. 1/4 to 4/4."),
        (["--gallery", "-1"], "--gallery must be a whole number of at least 0, got -1; 0 leaves them out."),
        (["--set", "clusters"], "--set must be KEY=VALUE, got 'clusters'; name the setting, then = and its value."),
        (
            ["--set", "clusters=many"],
            "clusters must be a whole number between 1 and 64, got 'many'; 4 suits most frames.",
        ),
    ],
)
def test_options_are_checked_before_any_work(stage, tmp_path, options, line):
    with pytest.raises(InputError) as refusal:
        evaluate(stage, "-o", tmp_path / "out", *options)
    assert str(refusal.value) == line and not (tmp_path / "out").exists()


def test_a_refusal_is_one_line_and_exit_code_2(stage, tmp_path, here):
    code, stdout, stderr = here("evaluate", stage / "noise", "-o", tmp_path / "out", "--false-positives")
    assert (code, stdout) == (2, "") and not (tmp_path / "out").exists()
    assert stderr == (
        "error: false positives are counted in the folders silence, noise, offscreen, "
        f"{stage / 'noise'} has none of them; write them with moca stage --extras N.\n"
    )


def test_compare_says_which_is_better(evaluated, capsys):
    out, _ = evaluated
    compare(a=out, b=out / "results.json", of_b="muted")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mIoU, batch 1 (miou_batch1), mean over 2 clips"
    assert lines[1].endswith("  moca (mini), s4 test") and lines[2].endswith("  moca (mini), s4 test, muted")
    assert lines[4].startswith("p = ")
    compare(a=out, b=out, metric="f_mask")
    assert "A - B: +0.0000" in capsys.readouterr().out


def test_compare_refuses_what_is_not_there(evaluated, tmp_path):
    out, _ = evaluated
    with pytest.raises(InputError) as refusal:
        compare(a=out, b=tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path / 'results.json'} must be a results.json, it cannot be read")
    with pytest.raises(InputError) as refusal:
        compare(a=out, b=out, of_a="deaf")
    assert str(refusal.value).startswith("--of-a must name one of moca (mini), s4 test, muted, swapped, ")
    assert str(refusal.value).endswith(f" in {out}, got 'deaf'; choose one of them.")


def test_false_positives_are_those_of_the_method_as_it_is(stage, tmp_path):
    evaluate(stage, "-o", tmp_path / "out", "--data", "vggss", "--false-positives", "--no-report", "--samples", "0")
    ((_, result),) = json.loads((tmp_path / "out" / "results.json").read_text())["results"].items()
    opened = {name: UNCLIPPED[name] for name in ("gate", "gate_frozen", "heat_low")}
    for measured in (result, *result["controls"].values()):
        assert opened.items() <= measured["settings"]["segment"].items()
    assert set(result["false_positives"]) == {"silence", "noise", "offscreen"}
    for measured in result["false_positives"].values():
        assert not set(opened.items()) & measured["settings"]["segment"].items()
        assert measured["settings"]["fingerprints"] == result["settings"]["fingerprints"]
