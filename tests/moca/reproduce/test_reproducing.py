"""Tables from end to end, with a method that needs no weights and trainings that cost nothing."""

import csv
import json
from dataclasses import replace

import pytest

from moca.errors import InputError
from moca.reproduce import TABLES, ReproduceConfig, reproduce, reproducing, runs
from moca.reproduce.sets import read_set
from moca.training.config import PRESETS


class Trained:
    """Stands in for `Trainings`: a folder for every training, no model in it."""

    depth, notice, data, weights = 6, "It only knows dots.", "0123", "w1"
    made: list[tuple[str, int]]

    def __init__(self, config, progress):
        self.config = config
        Trained.made = []

    def settings(self, training, seed):
        return replace(PRESETS[training.preset], seed=seed, steps=self.config.steps or 9)

    def blocks(self, adapters):
        return adapters - 1

    def trained(self, training, seed):
        Trained.made.append((training.name, seed))
        return self.config.out / "trained" / training.name / f"seed-{seed}"


@pytest.fixture
def loaded(monkeypatch, fake):
    """What the fake registry was asked for; of its methods only sam-bind cannot be loaded."""
    asked = []

    def load(name, model, *, device, settings):
        asked.append((name, str(model), dict(settings)))
        if name == "sam-bind":
            raise InputError("sam-bind needs weights; fetch them.")
        return fake(settings={"model": str(model), **settings})

    monkeypatch.setattr(runs, "load_method", load)
    monkeypatch.setattr(reproducing, "Trainings", Trained)
    monkeypatch.setattr(reproducing, "draw_table", lambda filled, target: target)  # takes longer than all the rest
    return asked


def config(stage, tmp_path, **changes) -> ReproduceConfig:
    return ReproduceConfig(**{"data": stage, "out": tmp_path / "out", "seeds": (0, 1), **changes})


def test_a_table_is_measured_and_written(stage, tmp_path, loaded):
    heard = []
    (done,) = reproduce("table9", config(stage, tmp_path), progress=lambda *report: heard.append(report))
    out = tmp_path / "out"
    assert [path.name for path in done.files] == ["table9.csv", "table9.md", "table9.tex", "table9.png"]
    assert all(path.is_file() for path in done.files[:3]) and done.notes == ()
    expected = [(name, seed) for name in ("paper-margin-0.1", "paper", "paper-margin-0.5") for seed in (0, 1)]
    assert Trained.made == expected
    assert [model for _, model, _ in loaded] == [str(out / "trained" / n / f"seed-{s}") for n, s in expected]
    assert loaded[0][2] == {"proposals": "boxes", "rule": "iou", "match": 0.5, "unmatched": "coarse", "refine": False}
    lines = list(csv.DictReader((out / "table9.csv").open()))
    assert {line["control"] for line in lines} == {"none", "muted", "swapped"}
    muted = next(line for line in lines if (line["row"], line["control"]) == ("0.3", "muted"))
    own = next(line for line in lines if (line["row"], line["control"]) == ("0.3", "none"))
    assert float(own["mean"]) > float(muted["mean"]) and own["seeds"] == "0 1" and own["paper"] == "0.57"
    page = (out / "table9.md").read_text()
    assert "0.3 is the best margin (MS3 mIoU): holds here: within noise" in page
    assert "- It only knows dots." in page and "- Licence of the results: CC0" in page
    assert "- MS3: 2 of 2 test clips." in page and "moca reproduce table9 --data " in page
    assert (out / "runs" / "paper" / "seed-1" / "ms3" / "results.json").is_file()
    assert heard[0][0] == "paper-margin-0.1, seed 0, MS3: evaluating" and heard[-1][1] == heard[-1][2]


def test_what_is_finished_is_not_done_again_and_shared_between_tables(stage, tmp_path, loaded):
    asked = config(stage, tmp_path, seeds=(0,))
    reproduce("table9", asked)
    before = (tmp_path / "out" / "table9.md").read_text()
    loaded.clear()
    reproduce("table9", asked)
    assert loaded == [] and Trained.made == [] and (tmp_path / "out" / "table9.md").read_text() == before
    reproduce("table6", asked)  # its last row on MS3 is table 9's 0.3; on S4 it is new
    assert Trained.made == [("paper-interleaved", 0), ("paper-first", 0), ("paper", 0)]
    loaded.clear()
    reproduce("table4", asked)
    assert Trained.made == [("paper-ssd", 0), ("paper-ncc", 0)]
    reproduce("table9", replace(asked, seeds=(0, 5)))
    assert Trained.made == [("paper-margin-0.1", 5), ("paper", 5), ("paper-margin-0.5", 5)]


def test_a_stopped_run_goes_on_after_its_last_clip(stage, tmp_path, loaded, fake):
    asked = config(stage, tmp_path, seeds=(0,))

    def stop(what, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce("table9", asked, progress=stop)
    assert not list((tmp_path / "out").rglob("results.json"))
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "clips").rglob("*.json")}
    assert len(stored) == 3
    reproduce("table9", asked)
    assert {path: path.stat().st_mtime_ns for path in stored} == stored


def test_results_of_other_clips_are_measured_anew(stage, tmp_path, loaded):
    asked = config(stage, tmp_path, seeds=(0,))
    reproduce("table9", asked)
    record = tmp_path / "out" / "runs" / "paper" / "seed-0" / "ms3" / "run.json"
    held = json.loads(record.read_text())
    assert held["method"] == "moca" and held["trained_on"] == "0123" and held["training"]["seed"] == 0
    record.write_text(json.dumps({**held, "clips": "others"}))
    loaded.clear()
    reproduce("table9", asked)
    assert len(loaded) == 1 and json.loads(record.read_text()) == held


def test_other_weights_are_measured_anew_and_other_methods_asked_what_they_are(
    stage, tmp_path, loaded, fake, monkeypatch
):
    asked, seen = config(stage, tmp_path, seeds=(0,)), []
    reproduce("table1", asked)
    whole = fake.segment_steps
    monkeypatch.setattr(fake, "segment_steps", lambda self, steps: seen.append(self.settings) or whole(self, steps))
    loaded.clear()
    reproduce("table1", asked)
    assert [name for name, _, _ in loaded] == ["at-gdino-sam", "sam-bind", "owod-bind"] and seen == []  # clips are kept
    monkeypatch.setattr(Trained, "weights", "w2")
    loaded.clear()
    reproduce("table1", asked)
    assert [name for name, _, _ in loaded].count("moca") == 3


def test_rows_without_training_run_once_and_methods_that_cannot_load_are_told(stage, tmp_path, loaded):
    (done,) = reproduce("table1", config(stage, tmp_path))
    figures = done.filled.figures
    assert figures["OWOD-BIND", "s4"].deterministic and len(figures["OWOD-BIND", "s4"].results) == 1
    assert not figures["MoCA", "s4"].deterministic and len(figures["MoCA", "s4"].results) == 2
    assert not any(label == "SAM-BIND" for label, _ in figures)
    assert done.notes[0] == "SAM-BIND was not run: sam-bind needs weights; fetch them."
    assert done.notes[1].startswith("AVSS was left out: AVSS needs metadata.csv, not found in ")
    page = (tmp_path / "out" / "table1.md").read_text()
    lines = page.split("## Controls")[0].splitlines()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}
    assert lines[8].startswith("|  | seeds | S4 mIoU | paper S4 mIoU |") and "AVSS" not in lines[8]
    assert " | deterministic | " in rows["OWOD-BIND"] and "| 0.78 |" in rows["AVSBench (supervised)"]
    assert (tmp_path / "out" / "runs" / "owod-bind" / "once" / "s4" / "results.json").is_file()
    assert "not run: SAM-BIND" in page
    sent = {name: settings for name, model, settings in loaded if model == "mini"}
    assert sent["at-gdino-sam"] == {} and sent["moca"] == {"adapters": None, "proposals": "none", "refine": False}


def test_adapted_blocks_are_told_in_this_models_numbers(stage, tmp_path, loaded):
    reproduce("table5", config(stage, tmp_path, seeds=(0,)))
    page = (tmp_path / "out" / "table5.md").read_text()
    assert "| 2 (here 1 of 6 blocks) | 1 |" in page and "| 6 (here 5 of 6 blocks) | 1 |" in page
    assert "this model's image trunk has 6, and its default of 5 stands for the paper's 6." in page


def test_all_leaves_out_what_has_no_data_and_one_table_is_refused(stage, tmp_path, loaded):
    with pytest.raises(InputError, match=r"^VGG-SS needs vggss\.json beside a folder clips, not found in "):
        reproduce("table8", config(stage, tmp_path))
    assert not (tmp_path / "out").exists()
    done = reproduce("all", config(stage, tmp_path, seeds=(0,)))
    assert [found.filled.table.name for found in done] == [name for name in TABLES if name != "table8"]
    assert sorted(set(Trained.made)) == sorted(
        {(row.run.training.name, 0) for table in TABLES.values() for row in table.rows if row.run and row.run.training}
    )


def test_refused_before_anything_is_written(stage, tmp_path, loaded):
    with pytest.raises(InputError) as caught:
        reproduce("table7", config(stage, tmp_path))
    assert str(caught.value) == (
        "table must be one of table1, table2-3, table4, table5, table6, table8, table9, table10 or all, got 'table7'; "
        "choose one of them."
    )
    with pytest.raises(InputError, match=r"^AVSBench ms3 needs Multi-sources/ms3_meta_data\.csv, not found under "):
        reproduce("table9", config(tmp_path, tmp_path))
    assert not (tmp_path / "out").exists() and loaded == []


def test_fewer_clips_are_spread_over_the_set(stage):
    whole, some = read_set("s4", stage), read_set("s4", stage, most=1)
    assert len(whole.clips) == 2 and some.clips == whole.clips[1:]
    assert whole.fingerprint() == read_set("s4", stage).fingerprint() != some.fingerprint()


def test_without_matplotlib_the_rest_is_written(stage, tmp_path, loaded, monkeypatch):
    def missing(filled, target):
        raise InputError("plots need matplotlib.")

    monkeypatch.setattr(reproducing, "draw_table", missing)
    (done,) = reproduce("table9", config(stage, tmp_path, seeds=(0,)))
    assert [path.suffix for path in done.files] == [".csv", ".md", ".tex"] and done.notes == ("plots need matplotlib.",)


def test_one_table_with_real_trainings_and_the_real_registry(stage, tmp_path, model):
    """A tiny random model, two steps: what needs mask proposals cannot be run with it, and is told."""
    small = {"batch": 4, "labels.alike": 2, "labels.unlike": 2, "labels.refine": False}
    asked = config(stage, tmp_path, model=model, steps=2, training=small, device="cpu")
    (done,) = reproduce("table2-3", asked)
    assert all(path.stat().st_size > 500 for path in done.files) and done.files[-1].suffix == ".png"
    found = done.filled.figures["PMA only", "ms3"]
    assert found.seeds == (0, 1) and found.controls == ("muted", "swapped", "frozen encoder")
    assert {result.settings["adapted"] for result in found.results} == {True}
    assert [result.controls["frozen encoder"].settings["adapted"] for result in found.results] == [False, False]
    prints = [result.settings["fingerprints"] for result in found.results]
    assert prints[0]["encoder"] == prints[1]["encoder"] and prints[0]["adapters"] != prints[1]["adapters"]
    assert found.values("mask_area", "muted") == (0.0, 0.0)
    frozen = done.filled.figures["neither: frozen encoder", "ms3"]
    assert frozen.deterministic and frozen.controls == ("muted", "swapped")
    assert set(done.filled.reasons) == {"MPM only", "PMA and MPM", "PMA and MPM, matched by agreement"}
    assert all(" need" in reason for reason in done.filled.reasons.values())
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "trained").rglob("*") if path.is_file()}
    before = (tmp_path / "out" / "table2-3.csv").read_bytes()
    reproduce("table2-3", asked)
    assert (tmp_path / "out" / "table2-3.csv").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
