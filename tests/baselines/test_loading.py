"""The methods with the bundled weights, and what is said where weights are missing."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from moca.baselines.at_gdino_sam import AtGdinoSam
from moca.baselines.loading import MINI_SETTINGS, mini_settings
from moca.baselines.owod_bind import OwodBind
from moca.baselines.sam_bind import SamBind
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.stage import sample_frame

METHODS = (AtGdinoSam, OwodBind, SamBind)


@pytest.mark.parametrize("method", METHODS)
def test_mini_runs_from_frame_to_mask(method, make_step):
    drawn = sample_frame(7, "s4", size=112)
    step = make_step(size=(112, 112), audio=drawn.audio.astype(np.float32))
    step.frame[:] = drawn.frame
    loaded = method.load("mini")
    assert loaded.config == method.defaults("mini") and set(loaded.card.fingerprints) == set(method.roles)
    assert loaded.licence == "Apache-2.0" and loaded.notice.startswith("mini only knows Soundstage's drawn classes")
    (result,) = loaded.segment_steps([step])
    assert result.mask.shape == (112, 112) and result.mask.any() == (result.reason is None)
    assert result.heat.min() >= 0 and result.heat.max() <= 1
    np.testing.assert_array_equal(result.heat > 0, result.mask)


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_the_papers_and_those_of_mini_its_own(method):
    assert method.defaults("huge") == replace(method.config_class(), **method.unscaled)
    changed = {
        name: value
        for name, value in asdict(method.defaults("mini")).items()
        if value != asdict(method.config_class())[name]
    }
    assert changed == {name: value for name, value in mini_settings(method.name).items() if name in changed}
    assert set(mini_settings(method.name)) <= set(asdict(method.config_class()))
    assert MINI_SETTINGS.is_file()


def test_binding_of_mini_does_not_take_the_papers_threshold():
    assert OwodBind.defaults("mini").bind_threshold != OwodBind.defaults("huge").bind_threshold == 0.7


def test_huge_names_all_that_must_be_fetched_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError) as caught:
        OwodBind.load("huge")
    assert str(caught.value) == (
        "owod-bind with model huge needs imagebind-huge owlv2-base-ensemble sam-vit-huge, of which imagebind-huge "
        "owlv2-base-ensemble sam-vit-huge must still be fetched; run moca weights fetch imagebind-huge "
        "owlv2-base-ensemble sam-vit-huge, or use --model mini."
    )
    assert list(tmp_path.iterdir()) == []


def test_another_model_is_refused():
    with pytest.raises(InputError) as caught:
        SamBind.load("out/run")
    assert str(caught.value) == (
        f"model must be one of {', '.join(CATALOGUE)} for sam-bind, which is not trained, got out/run; choose one of "
        "them."
    )
