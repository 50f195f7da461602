"""Saving, loading, and every refusal in between."""

import hashlib
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from moca.adapters import AdapterError, fingerprint, load_adapters, read_record, save_adapters
from moca.adapters.fingerprints import FINGERPRINT_VALUES

ENCODER = "1a2b3c4d00000000"
ABSENT = object()


@pytest.fixture
def saved(tmp_path, attach):
    """A folder with adapters in image blocks 3 and 4, and the towers they came from."""
    towers = attach("last", 2, randomised=True)
    folder = tmp_path / "run"
    save_adapters(folder, towers, fingerprint=ENCODER, extra={"reading": "value", "steps": 600})
    return folder, towers


def edit(folder, **changes):
    """Change top-level keys of adapters.json; ABSENT removes one."""
    path = folder / "adapters.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ABSENT}))


def rewrite(folder, state):
    """Put other tensors into the folder, with a record that vouches for them."""
    save_file(state, folder / "adapters.safetensors")
    digest = hashlib.sha256((folder / "adapters.safetensors").read_bytes()).hexdigest()
    edit(folder, weights_sha256=digest)


def refusal(folder, towers, encoder=ENCODER):
    with pytest.raises(AdapterError) as caught:
        load_adapters(folder, towers.image, towers.audio, encoder)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "run")


def test_loaded_adapters_give_the_same_result(saved, attach, clip):
    folder, towers = saved
    loaded = load_adapters(folder, towers.image, towers.audio, ENCODER)
    expected = towers(clip.pixels, clip.mels)
    assert torch.equal(loaded(clip.pixels, clip.mels), expected)
    assert not torch.equal(attach("last", 2)(clip.pixels, clip.mels), expected)  # not vacuous
    assert (loaded.plan, loaded.config) == (towers.plan, towers.config)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_record_holds_what_was_given(saved):
    folder, towers = saved
    record = read_record(folder)
    assert record.extra == {"reading": "value", "steps": 600}
    assert (record.plan, record.config, record.fingerprint) == (towers.plan, towers.config, ENCODER)
    assert sorted(path.name for path in folder.iterdir()) == ["adapters.json", "adapters.safetensors"]


def test_checkpoint_keys_are_pinned(saved):
    folder, _ = saved
    assert {name: tuple(t.shape) for name, t in load_file(folder / "adapters.safetensors").items()} == {
        f"adapters.{block}.{name}": shape
        for block in (3, 4)
        for name, shape in {
            "audio_down.bias": (6,),
            "audio_down.weight": (6, 8),
            "image_down.bias": (6,),
            "image_down.weight": (6, 12),
            "latents": (4, 6),
            "up.bias": (12,),
            "up.weight": (12, 6),
        }.items()
    }
    assert sorted(json.loads((folder / "adapters.json").read_text())) == [
        "config",
        "extra",
        "fingerprint",
        "format",
        "plan",
        "readout",
        "sizes",
        "weights_sha256",
    ]


def test_saving_again_replaces_both_files(saved, attach, clip):
    folder, towers = saved
    other = attach("first", 1)
    save_adapters(folder, other, fingerprint=ENCODER)
    assert load_adapters(folder, towers.image, towers.audio, ENCODER).plan == other.plan
    assert read_record(folder).extra == {}


def test_equal_adapters_give_equal_bytes(saved, tmp_path):
    folder, towers = saved
    save_adapters(tmp_path / "again", towers, fingerprint=ENCODER, extra={"reading": "value", "steps": 600})
    for name in ("adapters.json", "adapters.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_refuses_extra_that_is_not_json_and_writes_nothing(attach, tmp_path):
    with pytest.raises(AdapterError) as caught:
        save_adapters(tmp_path / "run", attach(), fingerprint=ENCODER, extra={"path": tmp_path})
    assert str(caught.value) == (
        "extra must hold JSON values only (Object of type PosixPath is not JSON serializable); drop the others."
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["adapters.json", "adapters.safetensors"])
def test_refuses_a_missing_file(saved, name):
    folder, towers = saved
    (folder / name).unlink()
    assert refusal(folder, towers) == (
        f"run/{name} is missing (a folder of adapters holds adapters.safetensors and adapters.json); "
        "give the folder that training wrote."
    )


def test_refuses_another_encoder(saved):
    assert refusal(*saved, encoder="5e6f7a8b11111111") == (
        "adapters in run/ were trained on encoder 1a2b3c4d, got 5e6f7a8b; load them with the encoder they belong to."
    )


def test_refuses_towers_of_another_shape(saved, attach):
    folder, towers = saved
    towers.audio.depth = 2
    assert refusal(folder, towers) == (
        "adapters in run/ fit towers of image width 12 depth 5 and audio width 8 depth 3, "
        "got image width 12 depth 5 and audio width 8 depth 2; load them with the encoder they belong to."
    )


@pytest.mark.parametrize("damage", ["cut", "flipped bit"])
def test_refuses_damaged_weights(saved, damage):
    folder, towers = saved
    path = folder / "adapters.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content if damage == "flipped bit" else content[:50])
    assert refusal(folder, towers) == (
        "run/adapters.safetensors is damaged or belongs to another adapters.json "
        "(its SHA-256 is not the recorded one); copy both files again."
    )


def test_refuses_what_is_not_safetensors(saved):
    folder, towers = saved
    (folder / "adapters.safetensors").write_bytes(b"not tensors at all")
    edit(folder, weights_sha256=hashlib.sha256(b"not tensors at all").hexdigest())
    message = refusal(folder, towers)
    assert message.startswith("run/adapters.safetensors is not a safetensors file (")
    assert message.endswith("; save it again.")


def test_refuses_another_tensor(saved):
    folder, towers = saved
    state = load_file(folder / "adapters.safetensors")
    rewrite(folder, {**state, "head.weight": torch.zeros(1)})
    assert refusal(folder, towers) == (
        "run/adapters.safetensors: tensor head.weight is not part of its plan; save it again."
    )


def test_refuses_a_missing_tensor(saved):
    folder, towers = saved
    state = load_file(folder / "adapters.safetensors")
    state.pop("adapters.4.up.bias")
    rewrite(folder, state)
    assert refusal(folder, towers) == ("run/adapters.safetensors: tensor adapters.4.up.bias is missing; save it again.")


def test_refuses_another_shape(saved):
    folder, towers = saved
    edit(folder, config={"bottleneck": 6, "latents": 5})
    assert refusal(folder, towers) == (
        "run/adapters.safetensors: tensor adapters.3.latents must have shape [5, 6], got [4, 6]; save it again."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": 1},
            "run/adapters.json must have format 2, got 1; use the version of this package that wrote it.",
        ),
        (
            {"format": ABSENT},
            "run/adapters.json must have format 2, got None; use the version of this package that wrote it.",
        ),
        (
            {"heads": 4},
            "run/adapters.json: unknown key heads "
            "(allowed and required: config, extra, fingerprint, plan, readout, sizes, weights_sha256); save it again.",
        ),
        (
            {"plan": ABSENT},
            "run/adapters.json: missing key plan "
            "(allowed and required: config, extra, fingerprint, plan, readout, sizes, weights_sha256); save it again.",
        ),
        (
            {"config": {"bottleneck": 6, "latents": 4, "gate": 0}},
            "run/adapters.json: unknown key config.gate (allowed and required: bottleneck, latents); save it again.",
        ),
        ({"config": 6}, "run/adapters.json: config must be an object, got 6; save it again."),
        ({"fingerprint": 6}, "run/adapters.json: fingerprint must be a str, got 6; save it again."),
        (
            {"config": {"bottleneck": 0, "latents": 4}},
            "bottleneck must be a whole number of at least 1, got 0; raise it.",
        ),
        (
            {"plan": {"image_blocks": [3, 5], "audio_blocks": [1, 2]}},
            "image_blocks must lie below 5 for an image tower of 5 blocks, got 5; make the plan for these towers.",
        ),
    ],
)
def test_refuses_a_record(saved, changes, message):
    folder, towers = saved
    edit(folder, **changes)
    assert refusal(folder, towers) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "run/adapters.json must hold a JSON object, got a list; save it again."),
        (
            "{",
            "run/adapters.json is not JSON (Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)); save it again.",
        ),
    ],
)
def test_refuses_a_record_that_is_not_an_object(saved, text, message):
    folder, towers = saved
    (folder / "adapters.json").write_text(text)
    assert refusal(folder, towers) == message


def test_a_refusal_leaves_the_towers_alone(saved, image_tower):
    folder, towers = saved
    image_tower.requires_grad_(True).train()
    refusal(folder, towers, encoder="5e6f7a8b11111111")
    assert image_tower.training and all(parameter.requires_grad for parameter in image_tower.parameters())


def test_fingerprint_is_one_name_for_the_same_numbers(image_tower):
    state = image_tower.state_dict()
    name = fingerprint(state)
    assert len(name) == 16 and int(name, 16) >= 0
    assert fingerprint(dict(reversed(state.items()))) == name
    half = {key: tensor.half() for key, tensor in state.items()}
    assert fingerprint(half) == fingerprint({key: tensor.float() for key, tensor in half.items()})


def test_fingerprint_sees_names_shapes_and_values():
    state = {"a": torch.arange(6.0), "steps": torch.tensor(3), "none": torch.zeros(0)}
    names = {
        fingerprint(state),
        fingerprint({**state, "a": torch.arange(6.0) + 1}),
        fingerprint({**state, "a": torch.arange(6.0).reshape(2, 3)}),
        fingerprint({**state, "steps": torch.tensor(4)}),
        fingerprint({"b" if key == "a" else key: tensor for key, tensor in state.items()}),
    }
    assert len(names) == 5


def test_fingerprint_is_the_documented_hash():
    content = b"a[2]" + struct.pack("<2f", 0.5, -2) + b"steps[]" + struct.pack("<f", 3)
    state = {"steps": torch.tensor(3), "a": torch.tensor([0.5, -2.0], dtype=torch.float64)}
    assert fingerprint(state) == hashlib.sha256(content).hexdigest()[:16]


def test_fingerprint_reads_an_even_sample_of_a_long_tensor():
    long = torch.zeros(2 * FINGERPRINT_VALUES)
    name = fingerprint({"a": long})
    long[1] = 1  # between two sampled values: unseen, as documented
    assert fingerprint({"a": long}) == name
    long[-2] = 1
    assert fingerprint({"a": long}) != name
