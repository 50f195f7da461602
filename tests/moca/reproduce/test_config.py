"""What a reproduction may be asked for, and whose folder it may fill."""

import json

import pytest

from moca.errors import InputError
from moca.reproduce.config import ReproduceConfig, claim_folder


def config(tmp_path, **changes) -> ReproduceConfig:
    return ReproduceConfig(**{"data": tmp_path / "data", "out": tmp_path / "out", **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"seeds": ()},
            "seeds must be one or more different whole numbers, got []; give for example 0,1,2.",
        ),
        (
            {"seeds": (1, 1)},
            "seeds must be one or more different whole numbers, got [1, 1]; give for example 0,1,2.",
        ),
        ({"steps": 0}, "steps must be a whole number of at least 1, or none, got 0; change it."),
        ({"clips": 1}, "clips must be a whole number of at least 2, or none, got 1; change it."),
        ({"workers": None}, "--workers must be a whole number between 1 and 256, got None; give for example 2."),
        ({"training": {"seed": 3}}, "seed cannot be given with --set here, got 3; use --seeds."),
        ({"training": {"steps": 3}}, "steps cannot be given with --set here, got 3; use --steps."),
    ],
)
def test_refusals(tmp_path, changes, words):
    with pytest.raises(InputError) as caught:
        config(tmp_path, **changes)
    assert str(caught.value) == words


def test_a_folder_is_claimed_once_and_seeds_and_clips_may_grow(tmp_path):
    claim_folder(config(tmp_path, steps=3))
    record = tmp_path / "out" / "reproduce.json"
    before = record.read_bytes()
    claim_folder(config(tmp_path, steps=3, seeds=(4,), clips=5, workers=2, device="cpu"))
    assert record.read_bytes() == before
    assert json.loads(before) == {
        "format": 1,
        "data": str((tmp_path / "data").resolve()),
        "model": "mini",
        "dino": None,
        "steps": 3,
        "training": {},
    }


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    claim_folder(config(tmp_path))
    out = tmp_path / "out"
    for changes, words in (
        ({"steps": 7}, "steps None, got 7"),
        ({"model": "huge"}, "model 'mini', got 'huge'"),
        ({"training": {"lr": 1.0}}, "training {}, got {'lr': 1.0}"),
    ):
        with pytest.raises(InputError) as caught:
            claim_folder(config(tmp_path, **changes))
        assert str(caught.value) == (
            f"{out} holds a reproduction with {words}; give the same, or choose another folder with -o."
        )


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        claim_folder(config(tmp_path))
    assert str(caught.value) == (
        f"{out} is not empty and holds no reproduce.json; choose an empty or new folder with -o."
    )
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "reproduce.json").write_text("[]")
    with pytest.raises(InputError, match=r"must be what a reproduction writes, and it is not; choose another"):
        claim_folder(config(tmp_path))
    with pytest.raises(InputError, match=r"must be a folder, it is a file; choose another with -o\.$"):
        claim_folder(config(tmp_path, out=out / "mine.txt"))
