"""How a data set is measured for tables: with the tagger of the model, and with what its protocol needs."""

from types import SimpleNamespace

import pytest

from moca.evaluation import Segmentation
from moca.evaluation.datasets import UNCLIPPED, Data
from moca.reproduce import sets
from moca.reproduce.runs import _needed
from moca.reproduce.specs import Run


@pytest.fixture
def read(monkeypatch):
    """What `read_data` was asked for; every data set has three clips and needs what vggss does."""
    requests = []

    def reading(name, root, **options):
        requests.append((name, options))
        clips = [SimpleNamespace(name=str(number), fingerprint=lambda: "") for number in range(3)]
        return Data(clips=clips, protocol=Segmentation(), about={"name": name}, settings=UNCLIPPED)

    monkeypatch.setattr(sets, "read_data", reading)
    return requests


def test_the_tagger_is_chosen_by_what_the_model_is_made_from(read, tmp_path):
    sets.read_set("avss", tmp_path, model="a/run", device="cpu")
    sets.read_set("avss", tmp_path, model="a/run", tagger="ast")
    assert [(options["model"], options["tagger"]) for _, options in read] == [("a/run", None), ("a/run", "ast")]


def test_a_run_of_the_own_method_has_what_the_protocol_needs(read, tmp_path):
    clips = sets.read_set("vggss", tmp_path, most=2)
    assert len(clips.clips) == 2 and clips.about == {"name": "vggss", "listed": 3}
    assert _needed(Run(name="moca"), clips) == dict(UNCLIPPED)
    assert _needed(Run(name="moca", settings={"gate": 0.2}), clips) == {
        name: value for name, value in UNCLIPPED.items() if name != "gate"
    }
    assert _needed(Run(name="owod-bind", method="owod-bind"), clips) == {}
