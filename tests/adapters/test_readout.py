"""The read-out: one vector that scores features, hears nothing itself, and is saved with its adapters."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from moca.adapters import AdapterError, count_trainable, load_adapters, read_record, save_adapters
from moca.adapters.towers import READOUT_SCALE, READOUT_START

ENCODER = "1a2b3c4d00000000"


def features(towers, clip, mels=None, **options):
    """Unit audio-enhanced features (3, 7, 12) of the clip's images."""
    return F.normalize(towers(clip.pixels, clip.mels if mels is None else mels, **options), dim=-1)


def refused(call) -> str:
    with pytest.raises(AdapterError) as caught:
        call()
    return str(caught.value)


def test_score_agrees_with_a_loop(attach, clip):
    towers = attach(readout=12, randomised=True)
    given = features(towers, clip)
    *weight, bias = towers.readout.tolist()
    found = towers.score(given)
    assert found.shape == (3, 7)
    for image, location in ((0, 0), (1, 3), (2, 6)):
        dot = sum(a * b for a, b in zip(given[image, location].tolist(), weight, strict=True))
        assert found[image, location].item() == pytest.approx(READOUT_SCALE * dot + bias, abs=1e-4)
    torch.testing.assert_close(towers.score(given[1, 3]), found[1, 3])
    assert towers.score(given[:0]).shape == (0, 7)


def test_opposite_features_mirror_the_logit_about_the_bias(attach, clip):
    towers = attach(readout=12, randomised=True)
    given = features(towers, clip)
    bias = towers.readout[-1]
    torch.testing.assert_close(towers.score(-given) - bias, bias - towers.score(given))


def test_untrained_it_says_the_same_of_everything(attach, clip):
    towers = attach(readout=12)
    assert towers.score(features(towers, clip)).unique().tolist() == [READOUT_START]


def test_sound_reaches_the_score_through_the_adapters_alone(attach, clip):
    towers = attach(readout=12, randomised=True)
    own, swapped = (towers.score(features(towers, clip, mels)) for mels in (clip.mels, clip.mels.flip(0)))
    assert not torch.allclose(own[0], swapped[0])
    torch.testing.assert_close(own[1], swapped[1])  # the middle clip keeps its sound
    sounds = (clip.mels, clip.mels.flip(0))
    own, swapped = (towers.score(features(towers, clip, mels, adapted=False)) for mels in sounds)
    assert torch.equal(own, swapped) and own.std() > 0.1
    given = features(towers, clip)
    before = towers.score(given)
    towers.hear(clip.mels.flip(0))
    assert torch.equal(towers.score(given), before)


@pytest.mark.parametrize("reading", ["token", "value"])
def test_without_its_adapters_it_is_the_frozen_encoder(attach, clip, reading):
    frozen = attach()(clip.pixels, clip.mels, reading=reading)  # zero exit: the frozen encoder's bits
    towers = attach(readout=12, randomised=True)
    adapted = towers(clip.pixels, clip.mels, reading=reading)
    assert not torch.allclose(adapted, frozen)
    assert torch.equal(towers(clip.pixels, clip.mels, reading=reading, adapted=False), frozen)
    assert torch.equal(towers(clip.pixels, clip.mels, reading=reading), adapted)


def test_gradients_reach_the_read_out_and_the_adapters_and_nothing_else(attach, clip, image_tower, audio_tower):
    towers = attach("interleaved", 3, readout=12, randomised=True)
    pixels, mels = clip.pixels.requires_grad_(), clip.mels.requires_grad_()
    target = (torch.arange(21).reshape(3, 7) % 2).float()
    F.binary_cross_entropy_with_logits(towers.score(features(towers, clip)), target).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in towers.parameters())
    assert towers.readout.grad.count_nonzero() == 13
    for tower in (image_tower, audio_tower):
        assert all(parameter.grad is None for parameter in tower.parameters())
    assert pixels.grad is None and mels.grad is None


def test_it_is_one_more_parameter_and_draws_no_random_number(attach, image_tower):
    towers, without = attach(readout=12), attach()
    assert without.readout is None and "readout" not in without.state_dict()
    assert count_trainable(towers) == count_trainable(without) + 13
    assert towers.state_dict().keys() - without.state_dict().keys() == {"readout"}
    assert all(torch.equal(towers.state_dict()[name], value) for name, value in without.state_dict().items())
    assert list(towers.children()) == [towers.adapters]
    assert towers.to(torch.float64).readout.dtype == torch.float64
    assert {parameter.dtype for parameter in image_tower.parameters()} == {torch.float32}


@pytest.mark.parametrize("width", [0, -3, 1.5, "12"])
def test_refuses_a_width_and_leaves_the_towers_alone(attach, image_tower, width):
    assert refused(lambda: attach(readout=width)) == (
        f"readout must be None or a width of at least 1, got {width!r}; give the features' width."
    )
    assert image_tower.training and all(parameter.requires_grad for parameter in image_tower.parameters())


def test_refuses_to_score_without_one(attach, clip):
    towers = attach()
    assert refused(lambda: towers.score(features(towers, clip))) == (
        "these adapters have no read-out; score their features against the audio embedding."
    )


@pytest.fixture
def saved(tmp_path, attach):
    """A folder with adapters and a read-out of width 12, and the towers they came from."""
    towers = attach(readout=12, randomised=True)
    save_adapters(tmp_path / "run", towers, fingerprint=ENCODER)
    return tmp_path / "run", towers


def load(folder, towers):
    return load_adapters(folder, towers.image, towers.audio, ENCODER)


@pytest.mark.parametrize("readout", [12, 5, None])
def test_saved_with_or_without_it_comes_back_as_it_was(tmp_path, attach, clip, readout):
    towers = attach(readout=readout, randomised=True)
    save_adapters(tmp_path / "run", towers, fingerprint=ENCODER)
    loaded = load(tmp_path / "run", towers)
    assert read_record(tmp_path / "run").readout == readout
    assert torch.equal(loaded(clip.pixels, clip.mels), towers(clip.pixels, clip.mels))
    assert loaded.state_dict().keys() == towers.state_dict().keys()
    if readout is None:
        assert loaded.readout is None
    else:
        assert torch.equal(loaded.readout, towers.readout) and loaded.readout.requires_grad
        assert not torch.equal(loaded.readout, attach(readout=readout).readout)  # could have differed


def test_its_key_is_pinned(saved):
    folder, _ = saved
    assert load_file(folder / "adapters.safetensors")["readout"].shape == (13,)
    assert json.loads((folder / "adapters.json").read_text())["readout"] == 12


def rewrite(folder, *, drop=(), **changes):
    """Change the record, take tensors out, and let the record vouch for what is left."""
    weights, record = folder / "adapters.safetensors", folder / "adapters.json"
    save_file({name: tensor for name, tensor in load_file(weights).items() if name not in drop}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    record.write_text(json.dumps(json.loads(record.read_text()) | changes | {"weights_sha256": digest}))


@pytest.mark.parametrize("width", [0, -1, 2.0, True, "12", [12]])
def test_refuses_a_recorded_width(saved, width):
    folder, towers = saved
    rewrite(folder, readout=width)
    assert refused(lambda: load(folder, towers)) == (
        f"{folder}/adapters.json: readout must be null or a width of at least 1, got {width!r}; save it again."
    )


def test_refuses_tensors_that_are_not_the_recorded_ones(saved):
    folder, towers = saved
    rewrite(folder, readout=11)
    assert refused(lambda: load(folder, towers)) == (
        f"{folder}/adapters.safetensors: tensor readout must have shape [12], got [13]; save it again."
    )
    rewrite(folder, readout=None)
    assert refused(lambda: load(folder, towers)) == (
        f"{folder}/adapters.safetensors: tensor readout is not part of its plan; save it again."
    )
    rewrite(folder, readout=12, drop=("readout",))
    assert refused(lambda: load(folder, towers)) == (
        f"{folder}/adapters.safetensors: tensor readout is missing; save it again."
    )
