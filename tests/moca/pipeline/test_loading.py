import dataclasses
import json
import shutil

import pytest
import torch

from moca.adapters import AdapterError, fingerprint, save_adapters
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.weights import save_imagebind
from moca.foundation.manifest import bundled_weights
from moca.pipeline.encoder import base_model, frozen_towers, load_encoder
from moca.pipeline.loading import load_pipeline
from moca.segmentation.config import SegmentConfig


@pytest.fixture
def run(tmp_path, pipeline, randomise):
    """A training run's folder: encoder, adapters with their calibration, card."""
    folder = tmp_path / "run"
    save_imagebind(folder / "encoder", pipeline.encoder)
    towers = randomise(pipeline.towers)
    save_adapters(
        folder / "adapters",
        towers,
        fingerprint=pipeline.fingerprints["encoder"],
        extra={"segment": {"clusters": 3, "gate": 0.2}},
    )
    card = {"format": 1, "name": "run", "encoder": "encoder", "adapters": "adapters", "licence": "Apache-2.0"}
    card["frozen_segment"] = {"clusters": 5}
    (folder / "pipeline.json").write_text(json.dumps(card))
    return folder


def test_a_run_comes_back_with_its_adapters_and_their_gate(run, pipeline):
    loaded = load_pipeline(run)
    assert loaded.adapted and loaded.segment == SegmentConfig(clusters=3, gate=0.2)
    assert loaded.fingerprints["encoder"] == pipeline.fingerprints["encoder"]
    for name, value in pipeline.towers.state_dict().items():
        assert torch.equal(loaded.towers.state_dict()[name], value)


def test_frozen_is_the_same_encoder_with_its_own_calibration(run):
    loaded = load_pipeline(run, adapters=None)
    assert not loaded.adapted and loaded.segment == SegmentConfig(clusters=5)
    assert all(not value.any() for name, value in loaded.towers.state_dict().items() if ".up." in name)


def test_adapters_of_another_encoder_are_refused(run, pipeline):
    save_adapters(run / "other", pipeline.towers, fingerprint="0123456789abcdef")
    with pytest.raises(AdapterError, match="were trained on encoder 01234567, got "):
        load_pipeline(run, adapters=run / "other")


def test_cards_are_checked(run):
    with pytest.raises(InputError, match="got absent; give one of them"):
        load_pipeline("absent")
    (run / "pipeline.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        load_pipeline(run)
    (run / "pipeline.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="must have format 1, got 99; use the version that wrote it"):
        load_pipeline(run)
    (run / "pipeline.json").write_text('{"format": 1, "name": "run"}')
    with pytest.raises(InputError, match="must name encoder, licence, which it does not"):
        load_pipeline(run)


def test_random_weights_are_ruled_by_the_seed():
    first, again, other = (load_pipeline("mini", weights="random", seed=seed) for seed in (0, 0, 1))
    assert first.fingerprints == again.fingerprints != other.fingerprints
    assert "random" in first.notice
    with pytest.raises(InputError, match=f"random weights are for one of {', '.join(CATALOGUE)}, got some/folder"):
        load_pipeline("some/folder", weights="random")


def test_default_adapters_are_the_papers_six_on_huge():
    from moca.foundation.imagebind.model import ImageBind

    with torch.device("meta"):
        encoder = ImageBind(ImageBindConfig.huge())
    towers = frozen_towers(encoder)
    assert towers.plan.image_blocks == tuple(range(26, 32)) and towers.plan.audio_blocks == tuple(range(6, 12))
    assert sum(parameter.numel() for parameter in towers.parameters()) == 1_298_688


def test_the_bundled_model_is_whole(tmp_path):
    """The shipped folder alone is enough, wherever it lies, and its adapters belong to its encoder."""
    shutil.copytree(bundled_weights() / "mini", tmp_path / "mini")
    loaded = load_pipeline(tmp_path / "mini")
    assert loaded.adapted and loaded.licence == "Apache-2.0" and "only knows Soundstage" in loaded.notice
    assert loaded.fingerprints["encoder"] == fingerprint(load_pipeline("mini").encoder.state_dict())


def test_a_new_row_of_the_catalogue_is_a_model(monkeypatch):
    monkeypatch.setitem(CATALOGUE, "new", dataclasses.replace(CATALOGUE["mini"], name="new"))
    loaded, mini = (load_pipeline(name, proposals={"kind": "none"}) for name in ("new", "mini"))
    assert loaded.name == "new" and loaded.adapted and loaded.fingerprints == mini.fingerprints
    assert load_pipeline("new", weights="random").name == load_encoder("new").reference == base_model("new") == "new"
    with pytest.raises(InputError, match=r"random weights are for one of .*, new, got some/folder"):
        load_pipeline("some/folder", weights="random")


def test_a_row_whose_weights_are_not_here_says_so_and_needs_none_for_random_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path))
    row = dataclasses.replace(CATALOGUE["huge"], name="other", architecture="mini")
    monkeypatch.setitem(CATALOGUE, "other", row)
    with pytest.raises(InputError, match=r"^model other needs imagebind_huge\.pth \(4\.8 GB, licence CC BY-NC-SA 4\.0"):
        load_pipeline("other", proposals={"kind": "boxes"})
    assert load_pipeline("other", weights="random").name == "other"
