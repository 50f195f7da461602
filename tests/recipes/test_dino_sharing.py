"""What mining finds on a VGGSound-like split: all that is counted, by a model and by chance; the card tells it."""

import json
import sys

import pytest
import torch
from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

from moca.foundation.dino import save_dino
from recipes import dino_sharing


@pytest.fixture
def folder(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DINOv3ConvNextModel(DINOv3ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], image_size=32))
    save_dino(tmp_path / "dino", model)
    return tmp_path / "dino"


def test_every_frame_and_clip_is_counted_and_the_record_keeps_it(folder, tmp_path, monkeypatch, capsys):
    (folder / "training.json").write_text(json.dumps({"split": "dino-test"}))
    written = []
    monkeypatch.setattr(dino_sharing, "write_dino_card", written.append)
    options = ["--clips", "16", "--work", str(tmp_path / "work"), "--workers", "1", "--card", str(folder)]
    monkeypatch.setattr(sys, "argv", ["x", "--model", f"tiny={folder}", *options])
    dino_sharing.main()
    told = json.loads(capsys.readouterr().out)
    record = json.loads((folder / "training.json").read_text())
    assert record == {"split": "dino-test", "sharing": told} and written == [folder]
    assert (told["clips"], told["frames"], told["neighbours"]) == (16, 80, 20)
    # 16 clips of 14 classes: two classes have two, so that 20 frames have nine partners among 79 and 60 have four.
    assert told["chance"] == pytest.approx((20 * 9 + 60 * 4) / 80 / 79)
    assert 0 <= told["share"]["tiny"] <= 0.2
