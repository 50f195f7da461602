"""The table of models: what it says is there, and what a new row changes."""

import importlib
import io
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import moca.foundation
from moca.baselines.sam_bind import SamBind
from moca.cli import checks, doctor
from moca.cli.console import plain_console
from moca.errors import InputError
from moca.foundation import manifest
from moca.foundation.catalogue import BUNDLED, CATALOGUE, ROLES, Row, load_role, loader_of, row_of
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.manifest import bundled_weights, read_manifest
from moca.pipeline.card import row_card
from moca.pipeline.loading import load_pipeline
from moca.pipeline.models import load_models
from moca.pipeline.parts import make_proposer, parts_of

FAKE_MODEL = """
import torch

class FakeMasks:
    def __init__(self, name, device):
        self.name, self.device, self.model = name, device, torch.nn.Linear(2, 2)

def load_fake(name, *, device):
    return FakeMasks(name, device)
"""


@pytest.fixture
def new_row(tmp_path, monkeypatch):
    """A model of its own for masks, in a file of its own; all else is bundled."""
    (tmp_path / "fake_model.py").write_text(FAKE_MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    entries = dict.fromkeys(ROLES, BUNDLED) | {"masks": "sam-vit-base"}
    importlib.import_module("fake_model")
    row = Row(name="new", **entries, note="is made up", loaders={"masks": "fake_model:load_fake"})
    monkeypatch.setitem(CATALOGUE, "new", row)
    return row


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return str(caught.value)


# What the table says


def test_every_entry_is_bundled_or_can_be_fetched_and_serves_in_its_role():
    entries = read_manifest()
    for row in CATALOGUE.values():
        for role, description in ROLES.items():
            name = row.entry(role)
            assert (bundled_weights() / BUNDLED / description.folder / "model.safetensors").is_file()
            assert name == BUNDLED or entries[name].role == role
        assert isinstance(getattr(ImageBindConfig, row.architecture)(), ImageBindConfig)
    assert CATALOGUE["mini"].bundled and not CATALOGUE["huge"].bundled


def test_a_role_is_an_entry_of_every_row():
    assert set(ROLES) == set(Row.__dataclass_fields__) - {"name", "reading", "architecture", "note", "loaders"}


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_bundled_model_and_a_door(role):
    loader = loader_of(role)
    assert getattr(moca.foundation, loader.__name__) is loader and loader.__name__ in dir(moca.foundation)
    loaded = load_role(role, BUNDLED, device="cpu")
    parameters = list(getattr(loaded, "model", loaded).parameters())
    assert parameters and not any(parameter.requires_grad for parameter in parameters)
    assert {parameter.device for parameter in parameters} == {torch.device("cpu")}


def test_what_is_no_door_is_told_as_python_does():
    with pytest.raises(AttributeError, match=r"module 'moca.foundation' has no attribute 'load_nothing'"):
        _ = moca.foundation.load_nothing


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, moca.foundation.catalogue\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))\n"
        "from moca.foundation import load_imagebind\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules, load_imagebind.__module__)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["[]", "True False moca.foundation.imagebind.weights"]


def test_names_that_are_not_in_the_table_are_refused():
    names = ", ".join(CATALOGUE)
    assert names.startswith("mini, huge") and refusal(row_of, "large") == (
        f"model must be one of {names}, got 'large'; choose one of them."
    )


# What a new row changes


def test_a_new_row_is_in_refusals(new_row):
    names = ", ".join(CATALOGUE)
    assert names.endswith(", new")
    assert refusal(row_of, "large") == f"model must be one of {names}, got 'large'; choose one of them."
    assert refusal(SamBind.load, "large") == (
        f"model must be one of {names} for sam-bind, which is not trained, got large; choose one of them."
    )
    assert refusal(SamBind.load, "new") == (
        "sam-bind with model new needs sam-vit-base, of which sam-vit-base must still be fetched; run moca weights "
        "fetch sam-vit-base, or use --model mini."
    )


def test_a_new_row_is_in_the_doctors_listing(new_row):
    lines = doctor.pipeline_lines()
    start = lines.index("new: mini/imagebind, mini/dino, sam-vit-base, mini/objects, mini/grounding, mini/tagger")
    assert lines[start + 1] == "  not here: sam-vit-base"
    assert lines[start + 3] == "  its results: Apache-2.0; is made up"


def test_a_new_row_is_loaded_by_its_own_file_and_the_bundled_model_by_the_roles(new_row):
    loaded = load_role("masks", "sam-vit-base", device="cpu")
    assert (type(loaded).__name__, loaded.name, loaded.device) == ("FakeMasks", "sam-vit-base", "cpu")
    assert loader_of("masks") is loader_of("masks", "sam-vit-huge") is moca.foundation.load_sam
    assert moca.foundation.load_sam is not loader_of("masks", "sam-vit-base")


def test_a_method_is_made_of_a_new_row(new_row, monkeypatch):
    monkeypatch.setattr(manifest.Entry, "missing", lambda self: [])
    method = SamBind.load("new")
    assert type(method.masks).__name__ == "FakeMasks" and method.card.model == "new"
    assert method.licence == "mini: Apache-2.0; sam-vit-base: Apache-2.0"
    assert method.notice.startswith("mini only knows Soundstage's drawn classes")


# A row whose entries the manifest does not list, or whose encoder alone is bundled


@pytest.fixture
def unlisted_row(new_row, monkeypatch):
    """As new_row, but its masks are known to their own loader alone."""
    row = replace(new_row, masks="own-masks")
    monkeypatch.setitem(CATALOGUE, "new", row)
    return row


def test_a_model_that_only_its_loader_knows_makes_proposals(unlisted_row):
    card, folder = row_card(unlisted_row)
    parts = parts_of(card, folder, {"kind": "grid"})
    assert parts.masks == "own-masks"
    proposer, prints = make_proposer(parts, "cpu")
    assert (type(proposer.masks).__name__, set(prints)) == ("FakeMasks", {"masks"})


def test_a_fetched_model_beside_the_bundled_encoder_is_no_folder(new_row):
    card, folder = row_card(new_row)
    assert parts_of(card, folder, {"kind": "grid"}).masks == "sam-vit-base"
    assert parts_of({**card, "masks": "sam"}, folder, {"kind": "grid"}).masks == str((folder / "sam").resolve())


def test_a_method_is_made_of_a_model_that_only_its_loader_knows(unlisted_row):
    method = SamBind.load("new")
    assert type(method.masks).__name__ == "FakeMasks"
    assert method.licence == "mini: Apache-2.0; own-masks: licence not stated"


def test_a_pipeline_says_whose_licences_its_results_have_and_what_is_noted_of_its_row(unlisted_row):
    loaded = load_pipeline("new", proposals={"kind": "grid"})
    assert loaded.licence == "Apache-2.0; own-masks: licence not stated"
    assert loaded.notice.startswith("mini only knows Soundstage") and loaded.notice.endswith(". Model new is made up.")
    without = load_pipeline("new", proposals={"kind": "none"})
    assert without.licence == "Apache-2.0" == load_pipeline("mini").licence
    assert SamBind.load("new").notice == loaded.notice


def test_a_model_without_weights_is_known_by_its_class_and_name(unlisted_row, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "other", replace(unlisted_row, name="other", masks="other-masks"))
    monkeypatch.setattr(sys.modules["fake_model"].FakeMasks, "model", torch.nn.Module(), raising=False)
    monkeypatch.setattr(sys.modules["fake_model"].FakeMasks, "__init__", lambda self, name, device: None)
    prints = [load_models({"masks": name}, "cpu")[1]["masks"] for name in ("own-masks", "own-masks", "other-masks")]
    assert prints[0] == prints[1] != prints[2]


def test_a_model_without_a_torch_module_is_refused(unlisted_row, monkeypatch):
    monkeypatch.setattr(sys.modules["fake_model"].FakeMasks, "__init__", lambda self, name, device: None)
    line = (
        "masks own-masks must be, or have as its `model`, a torch module that fingerprints are made of, got FakeMasks "
        "with FakeMasks; mend fake_model:load_fake."
    )
    assert refusal(load_pipeline, "new", proposals={"kind": "grid"}) == refusal(SamBind.load, "new") == line


def test_settings_for_bundled_parts_are_those_of_every_row_that_has_them_alone(new_row, monkeypatch):
    assert SamBind.defaults("new") == SamBind.defaults("huge") != SamBind.defaults("mini")
    monkeypatch.setitem(CATALOGUE, "new", replace(new_row, masks=BUNDLED, words="grounding-dino-base"))
    assert SamBind.defaults("new") == SamBind.defaults("mini")


def test_the_doctor_says_that_a_licence_is_not_stated(unlisted_row):
    lines = doctor.pipeline_lines()
    start = lines.index("new: mini/imagebind, mini/dino, own-masks, mini/objects, mini/grounding, mini/tagger")
    assert lines[start + 1] == "  not here: nothing; not known of own-masks, which their own loaders find"
    assert lines[start + 2].startswith("  weights in memory, all models at once: at least ")
    assert lines[start + 3] == "  its results: licence not stated (own-masks); is made up"


def test_the_doctor_does_not_say_that_a_model_is_here_without_looking(unlisted_row):
    stream = io.StringIO()
    doctor.report(plain_console(file=stream, width=200))
    assert " ".join(next(line for line in stream.getvalue().splitlines() if line.startswith("own-masks")).split()) == (
        "own-masks masks not known ? licence not stated"
    )
    (check,) = (check for check in checks._files(unlisted_row) if "own-masks" in check.said)
    assert str(check) == "skipped files: masks: whether own-masks is here is not known, its own loader finds it"


def test_a_name_that_nothing_knows_is_refused(unlisted_row, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "new", replace(unlisted_row, loaders={}))
    assert refusal(SamBind.load, "new").startswith("name must be one of imagebind-huge, sam-vit-base")


def test_a_role_of_the_manifest_must_be_one_of_the_table(tmp_path):
    path = tmp_path / "manifest.toml"
    path.write_text('[a]\nrole = "mask"\nkind = "hub"\nhub = "a/b"\nlicence = "MIT"\ncitation = "x"\n')
    assert refusal(read_manifest, path) == (
        "role of a must be one of encoder, images, masks, objects, words, tags, got 'mask'; correct the manifest."
    )
