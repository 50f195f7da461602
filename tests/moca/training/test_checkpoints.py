import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.mining import MiningConfig
from moca.training.checkpoints import Checkpoint, Origin, checkpoint_files, read_newest, remove_strays, write_checkpoint
from moca.training.config import TrainConfig

ANEW = "start anew with --overwrite, or in another folder."
CONFIG = TrainConfig(steps=50)
ORIGIN = Origin(config=CONFIG, fingerprints={"encoder": "e1", "corpus": "c1"})


def checkpoint(step: int = 10) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    parameter = torch.nn.Parameter(torch.randn(3, 4, generator=generator))
    optimiser = torch.optim.Adam([parameter])
    parameter.grad = torch.randn(3, 4, generator=generator)
    optimiser.step()
    return Checkpoint(
        step=step,
        trained={"weight": parameter.detach(), "half": torch.ones(2, dtype=torch.bfloat16)},
        optimiser=optimiser.state_dict(),
        random={"cpu": torch.get_rng_state()},
        history={"step": list(range(1, step + 1)), "active": [None] * step},
    )


def read_silently(folder, origin=ORIGIN):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_newest(folder, origin)


def refusal(folder, origin=ORIGIN) -> str:
    with pytest.raises(InputError) as caught:
        read_newest(folder, origin)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_comes_back_to_the_last_bit(tmp_path):
    written = checkpoint()
    path = write_checkpoint(tmp_path / "new" / "folder", written, ORIGIN)
    assert path.name == "step-000010.pt"
    read = read_silently(path.parent)
    assert (read.step, read.history) == (written.step, written.history)
    for name, value in written.trained.items():
        assert torch.equal(read.trained[name], value) and read.trained[name].dtype == value.dtype
    assert torch.equal(read.random["cpu"], written.random["cpu"])
    assert torch.equal(read.optimiser["state"][0]["exp_avg"], written.optimiser["state"][0]["exp_avg"])
    assert read.optimiser["param_groups"] == written.optimiser["param_groups"]


def test_the_last_two_are_kept_and_the_newest_is_read(tmp_path):
    for step in (5, 10, 20, 100_000, 1_000_000):
        write_checkpoint(tmp_path, replace(checkpoint(3), step=step), ORIGIN)
    assert read_silently(tmp_path).step == 1_000_000
    assert [path.name for path in checkpoint_files(tmp_path)] == ["step-100000.pt", "step-1000000.pt"]


def test_no_checkpoint_is_none(tmp_path):
    assert read_silently(tmp_path) is None and read_silently(tmp_path / "absent") is None


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped"])
def test_a_damaged_newest_one_falls_back_to_the_one_before_with_a_note(tmp_path, damage):
    write_checkpoint(tmp_path, checkpoint(10), ORIGIN)
    path = write_checkpoint(tmp_path, checkpoint(20), ORIGIN)
    data = bytearray(path.read_bytes())
    offset = data.index(checkpoint(20).trained["weight"].numpy().tobytes())
    data[offset] ^= 1  # the lowest bit of one number
    path.write_bytes(
        {"cut": data[: len(data) // 2], "empty": b"", "text": b"not a file", "flipped": bytes(data)}[damage]
    )
    with pytest.warns(UserWarning) as caught:
        assert read_newest(tmp_path, ORIGIN).step == 10
    assert [str(warning.message) for warning in caught] == [f"{path} is damaged; going back to step-000010.pt."]


def test_any_flipped_byte_of_the_numbers_and_settings_is_noticed_or_changes_nothing(tmp_path):
    path = write_checkpoint(tmp_path, checkpoint(), ORIGIN)
    whole, expected = path.read_bytes(), read_silently(tmp_path)
    noticed = 0
    for offset in np.random.default_rng(0).integers(0, len(whole), 60):
        data = bytearray(whole)
        data[offset] ^= 255
        path.write_bytes(data)
        try:
            checkpoint_read = read_newest(tmp_path, ORIGIN)
        except InputError:
            noticed += 1
        else:
            assert all(torch.equal(checkpoint_read.trained[name], value) for name, value in expected.trained.items())
            assert checkpoint_read.history == expected.history and checkpoint_read.step == expected.step
    assert noticed > 10


def test_all_damaged_is_refused(tmp_path):
    for step in (10, 20):
        write_checkpoint(tmp_path, checkpoint(step), ORIGIN).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"going back to step-000010\.pt"):
        line = refusal(tmp_path)
    assert line == f"{tmp_path} must hold a checkpoint that is whole, all are damaged; {ANEW}"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"batch": 8}, f"batch 16, which must stay to go on, got 8; give the same, or {ANEW}"),
        (
            {"mining": MiningConfig(source="both")},
            f"mining.source 'audio', which must stay to go on, got 'both'; give the same, or {ANEW}",
        ),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, change, line):
    path = write_checkpoint(tmp_path, checkpoint(), ORIGIN)
    assert refusal(tmp_path, replace(ORIGIN, config=replace(CONFIG, **change))) == f"{path} was made with {line}"


def test_another_corpus_or_encoder_is_refused(tmp_path):
    path = write_checkpoint(tmp_path, checkpoint(), ORIGIN)
    other = replace(ORIGIN, fingerprints={"encoder": "e1", "corpus": "c2"})
    assert refusal(tmp_path, other) == (
        f"{path} was made with another corpus (fingerprint c1, now c2), which must stay to go on; give the same, or "
        f"{ANEW}"
    )
    more = replace(ORIGIN, fingerprints={**ORIGIN.fingerprints, "dino": "d1"})
    assert "made with another dino (fingerprint None, now d1)" in refusal(tmp_path, more)


def test_how_often_to_save_may_change(tmp_path):
    write_checkpoint(tmp_path, checkpoint(), ORIGIN)
    assert read_silently(tmp_path, replace(ORIGIN, config=replace(CONFIG, checkpoint_every=3))).step == 10


def test_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("moca.training.checkpoints.FORMAT", 99)
    path = write_checkpoint(tmp_path, checkpoint(), ORIGIN)
    monkeypatch.undo()
    assert refusal(tmp_path) == f"{path} must have format 1, got 99; use the version of the run."


def test_a_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "step-000010.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"bomb": Bomb()}, tmp_path / "step-000020.pt")
    with pytest.warns(UserWarning):
        assert "all are damaged" in refusal(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_failed_write_leaves_the_earlier_one_and_no_stray(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, checkpoint(10), ORIGIN)

    def full(state, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path, checkpoint(20), ORIGIN)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010.pt"]


def test_strays_of_a_kill_are_removed_and_nothing_else(tmp_path):
    for name in (".step-000010.123.partial.pt", "mine.pt"):
        (tmp_path / name).touch()
    remove_strays(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pt"]
