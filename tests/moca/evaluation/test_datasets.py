"""The table of data sets: read, measured, and what each row costs."""

import json
import subprocess
import sys

import pytest

from moca.data.avsbench import read_avsbench
from moca.errors import InputError
from moca.evaluation import Segmentation, evaluate
from moca.evaluation.datasets import DATASETS, UNCLIPPED, DataSet, DiskClips, read_data, tagger_of
from moca.evaluation.protocols.known import protocol_class
from moca.evaluation.variants import variants_of
from moca.foundation.catalogue import CATALOGUE
from moca.segmenter import Segmenter
from moca.stage import write_stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    root = tmp_path_factory.mktemp("stages") / "stage"
    return write_stage(root, s4=(0, 0, 2), ms3=(0, 0, 2), avss=(0, 0, 2), vggss=2, extras=1, size=32, rate_hz=1)


@pytest.mark.parametrize("name", DATASETS)
def test_a_row_is_read_and_its_protocol_knows_its_metrics(stage, name):
    data, row = read_data(name, stage), DATASETS[name]
    assert len(data.clips) == 2 and data.settings == row.settings
    assert data.about | {"missing": 0} == {"name": name, "split": "test", "root": "stage", "missing": 0}
    for metric, title in row.metrics:
        assert data.protocol.column(metric).title and title
    assert protocol_class(data.protocol.name) is type(data.protocol)


def test_the_table_is_listed_without_a_model_or_a_protocol():
    code = "import sys; from moca.evaluation.datasets import DATASETS; print(*DATASETS, 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == f"{' '.join(DATASETS)} False\n"


def test_a_new_data_set_is_its_reader_and_a_row(stage, monkeypatch):
    def read(root, split):
        return DiskClips(clips=read_avsbench(root, "s4", split)[:1], about={"of": "a stage"}, notes=("It is short.",))

    row = DataSet(name="new", title="New", read=read, protocol=lambda *_: Segmentation(2), metrics=(("f_mask", "F"),))
    monkeypatch.setitem(DATASETS, "new", row)
    data = read_data("new", stage)
    assert len(data.clips) == 1 and data.notes == ("It is short.",) and data.about["of"] == "a stage"
    assert ", ".join(DATASETS).startswith("s4, ms3, avss, vggss") and "new" in DATASETS
    with pytest.raises(InputError) as refusal:
        read_data("old", stage)
    assert str(refusal.value) == (
        f"data must be one of {', '.join(DATASETS)}, got 'old'; pass one of them with --data."
    )


def test_splits_are_those_of_the_row(stage):
    for name, split, words in (("vggss", "val", "test"), ("s4", "dev", "train, val, test")):
        with pytest.raises(InputError) as refusal:
            read_data(name, stage, split=split)
        rule = words if words == "test" else f"one of {words}"
        assert str(refusal.value).startswith(f"split of {name} must be {rule}, got {split!r}; ")


def trained_from(folder, encoder):
    """The card of a run that was trained from a model."""
    folder.mkdir(parents=True)
    card = {"format": 1, "name": folder.name, "encoder": str(encoder), "licence": "Apache-2.0", "adapters": "adapters"}
    (folder / "pipeline.json").write_text(json.dumps(card))
    return folder


def test_a_run_has_the_tagger_of_what_it_was_trained_from(tmp_path):
    for name, row in CATALOGUE.items():
        run = trained_from(tmp_path / name, name)
        assert tagger_of(run) == tagger_of(str(run)) == tagger_of(name) == row.tags
    assert tagger_of("huge") != tagger_of("mini")  # it could have differed


def test_a_model_of_its_own_encoder_has_no_tagger(stage, tmp_path):
    run = trained_from(tmp_path / "own", "encoder")
    with pytest.raises(InputError) as refusal:
        read_data("avss", stage, model=run)
    assert str(refusal.value) == (
        f"data avss needs a tagger that names what is heard, and model {run}, made from none of {', '.join(CATALOGUE)}"
        ", has none of its own; name one with --tagger, such as ast."
    )
    assert "tagger: mini" in read_data("avss", stage, model=run, tagger="mini").protocol.labels
    read_data("s4", stage, model=run)  # where nothing is named, nothing is needed


def test_what_localisation_needs_is_not_done_to_false_positives(stage, pipeline):
    from dataclasses import replace

    from moca.segmentation.config import SegmentConfig

    calibrated = SegmentConfig(gate=0.99, gate_frozen=0.9, heat_low=0.1)
    segmenter = Segmenter(replace(pipeline, segment=calibrated, adapted=True))
    data, silent = read_data("vggss", stage), read_avsbench(stage / "noise")
    result = evaluate(
        segmenter,
        data.clips,
        protocol=data.protocol,
        controls=("muted", "swapped"),
        variants=variants_of(segmenter),
        extras={"noise": silent},
        settings=data.settings,
        samples=0,
    )
    opened = {**calibrated.to_json(), **UNCLIPPED}
    for measured in (result, *result.controls.values()):
        assert measured.settings["segment"] == opened
    noise = result.false_positives["noise"]
    assert noise.settings == segmenter.settings and noise.settings["segment"] == calibrated.to_json()
    assert noise.metrics["mask_area"] == 0  # the gate is shut
    everything = evaluate(
        Segmenter(segmenter.pipeline, config=replace(calibrated, **UNCLIPPED)), silent, samples=0
    ).metrics
    assert everything["mask_area"] > 0  # not vacuous
