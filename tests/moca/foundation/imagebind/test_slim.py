"""Slim copies: what they hold, what loads them, how close they are, and everything that can be wrong with them."""

import json
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from moca.adapters import affinity, fingerprint, save_adapters
from moca.adapters.readings import Reading
from moca.errors import InputError
from moca.foundation.imagebind import slim as module
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.imagebind.slim import read_slim, slim_fault, slim_imagebind
from moca.foundation.imagebind.weights import load_imagebind
from moca.pipeline.encoder import encoder_prints, frozen_towers, read_towers
from moca.pipeline.models import load_models

TINY = ImageBindConfig(
    image_width=16, image_blocks=3, image_heads=2, audio_width=12, audio_blocks=2, audio_heads=2, embed_dim=8
)


@pytest.fixture(scope="module")
def model():
    return random_imagebind(TINY, seed=0)


@pytest.fixture
def official(model, tmp_path):
    """A checkpoint with the official names and two modalities that are not wanted."""
    others = {"modality_preprocessors.text.pos_embed": torch.zeros(1, 3, 4), "modality_trunks.depth.a": torch.zeros(4)}
    torch.save({**model.state_dict(), **others}, tmp_path / "official.pth")
    return tmp_path / "official.pth"


@pytest.fixture
def copy(official, tmp_path):
    return slim_imagebind(official, tmp_path / "slim.safetensors", TINY).path


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_copy_holds_the_towers_alone_with_matrices_in_bfloat16(model, copy):
    stored, state = load_file(copy), model.state_dict()
    assert set(stored) == set(state)
    matrices = {name for name, tensor in state.items() if tensor.ndim == 2}
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.bfloat16} == matrices
    assert "modality_trunks.vision.blocks.0.attn.in_proj_weight" in matrices and len(matrices) == 4 * 5 + 2
    for name, tensor in state.items():
        assert torch.equal(stored[name], tensor.to(stored[name].dtype)), name
    assert sum(state[name].numel() for name in matrices) < sum(tensor.numel() for tensor in state.values())


def test_the_fingerprint_is_the_originals_and_the_copys_own_beside_it(model, copy, official):
    loaded = load_imagebind(copy, TINY)
    original = fingerprint(model.state_dict())
    prints = encoder_prints(loaded)
    assert prints["encoder"] == original == encoder_prints(load_imagebind(official, TINY))["encoder"]
    assert prints["encoder_slim"] == fingerprint(loaded.state_dict()) != original
    assert set(encoder_prints(model)) == {"encoder"}


def test_every_method_that_is_made_of_a_copy_names_both(copy, monkeypatch):
    loaded = load_imagebind(copy, TINY)
    monkeypatch.setattr("moca.pipeline.models.load_role", lambda role, name, device: loaded)
    _, prints = load_models({"encoder": "imagebind-huge"}, "cpu")
    assert prints == loaded.fingerprints and len(prints) == 2


def test_adapters_of_the_original_fit_its_copy(model, copy, tmp_path):
    save_adapters(tmp_path / "adapters", frozen_towers(model, blocks=2), fingerprint=fingerprint(model.state_dict()))
    _, prints, _ = read_towers(load_imagebind(copy, TINY), tmp_path / "adapters", "cpu")
    assert set(prints) == {"encoder", "encoder_slim", "adapters"}


@torch.no_grad()
@pytest.mark.parametrize("reading", get_args(Reading))
def test_a_copy_computes_in_float32_what_its_rounded_numbers_say(model, copy, reading):
    loaded, widened = load_imagebind(copy, TINY), ImageBind(TINY)
    widened.load_state_dict({name: tensor.float() for name, tensor in loaded.state_dict().items()})
    draw = torch.Generator().manual_seed(1)
    pixels, mels = torch.randn(2, 3, 224, 224, generator=draw), torch.randn(2, 1, 128, 204, generator=draw)
    towers, wide, plain = (frozen_towers(each.eval(), blocks=2) for each in (loaded, widened, model))
    likeness = torch.nn.functional.normalize(torch.randn(2, 256, 8, generator=draw), dim=-1)
    how = {"reading": reading, "guide": affinity(likeness, beta=1.2, gamma=3.0) if reading == "proxy" else None}
    tokens = [each(pixels, mels, **how) for each in (towers, wide, plain)]
    assert tokens[0].dtype == torch.float32 and torch.equal(tokens[0], tokens[1])
    assert (
        not torch.equal(tokens[0], tokens[2])
        and torch.nn.functional.cosine_similarity(tokens[0].flatten(), tokens[2].flatten(), dim=0) > 0.999
    )
    for embed, given in (("embed_image", pixels), ("embed_audio", mels)):
        assert torch.equal(getattr(loaded, embed)(given), getattr(widened, embed)(given))


def test_a_copy_stays_in_its_file(copy, tmp_path):
    """Its tensors are parts of the mapped file: of no memory of their own, until they are changed."""
    tensors, _ = read_slim(copy)
    with open("/proc/self/maps") as maps:
        spans = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in maps if str(copy) in line]
    matrices = [tensor for tensor in tensors.values() if tensor.ndim == 2]
    assert matrices and all(any(a <= tensor.data_ptr() < b for a, b in spans) for tensor in matrices)


def test_a_copy_loads_by_the_name_of_its_entry(copy, official, tmp_path, monkeypatch):
    from moca.foundation.imagebind import weights

    monkeypatch.setattr(weights, "named_source", lambda name, role: copy if name == "imagebind-huge" else None)
    assert load_imagebind("imagebind-huge", TINY).rounded_from is not None
    assert load_imagebind(official, TINY).rounded_from is None


def test_the_whole_copy_is_checked_against_what_was_written(copy):
    assert slim_fault(copy) is None
    content = bytearray(copy.read_bytes())
    content[-3] ^= 1
    copy.write_bytes(content)
    assert slim_fault(copy).startswith(f"the tensors of {copy} must have SHA-256 ")
    copy.write_bytes(content[:-10])
    assert slim_fault(copy) == f"{copy} must be a complete safetensors file, got a damaged one; make it again."
    copy.unlink()
    assert slim_fault(copy).startswith("the slim copy must be an existing file, got ")


def test_an_original_that_does_not_fit_or_is_not_finite_writes_nothing(model, tmp_path):
    target, path = tmp_path / "out" / "slim.safetensors", tmp_path / "other.pth"
    state = dict(model.state_dict())
    torch.save({k: v for k, v in state.items() if ".vision.blocks.1." not in k}, path)
    assert "got 12 missing: " in refusal(slim_imagebind, path, target, TINY)
    name = "modality_heads.audio.2.weight"
    torch.save({**state, name: torch.full_like(state[name], float("nan"))}, path)
    assert refusal(slim_imagebind, path, target, TINY) == (
        f"{name} of {path} must be finite, got values that are not; fetch the checkpoint again."
    )
    assert not target.parent.exists()


def test_a_copy_that_cannot_be_finished_is_not_there(official, tmp_path, monkeypatch):
    class Full:
        def update(self, block):
            raise OSError(28, "no space left on device")

    monkeypatch.setattr(module.hashlib, "sha256", Full)
    with pytest.raises(OSError, match="no space left"):
        slim_imagebind(official, tmp_path / "slim.safetensors", TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["official.pth"]


def test_other_safetensors_are_refused(tmp_path, model):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    assert refusal(load_imagebind, path, TINY) == (
        f"{path} must be a slim copy of an ImageBind checkpoint (imagebind-slim-1), got another safetensors file; make "
        "one with moca weights slim."
    )
    slim_imagebind(saved(model, tmp_path), path, TINY)
    assert "got " in (line := refusal(load_imagebind, path, ImageBindConfig())) and " missing: " in line


def saved(model, folder):
    torch.save(model.state_dict(), folder / "plain.pth")
    return folder / "plain.pth"


def test_a_full_size_copy_has_the_official_names_and_a_third_of_the_bytes(reference):
    """Of tensors that exist nowhere."""
    official = json.loads((reference / "imagebind_huge_keys.json").read_text())["keys"]
    shapes = {name: tuple(entry["shape"]) for name, entry in official.items()}
    with torch.device("meta"):
        wanted = ImageBind(ImageBindConfig.huge()).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in wanted.items()} == shapes
    size = sum((2 if tensor.ndim == 2 else 4) * tensor.numel() for tensor in wanted.values())
    assert size < 4_803_584_173 / 3 and size == pytest.approx(1.44e9, rel=0.01)
