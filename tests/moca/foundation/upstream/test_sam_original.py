"""segment_anything with the weights of a small random checkpoint, and with weights that are not the same."""

import importlib.util

import pytest
import torch
from transformers import SamConfig, SamModel

from moca.foundation.random_parts import random_model
from moca.foundation.sam.official import official_size, to_official
from moca.foundation.upstream import sam
from moca.foundation.upstream.sam import compare_sam

SMALL = SamConfig(
    vision_config={
        "hidden_size": 24,
        "output_channels": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 128,
        "patch_size": 16,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 16,
    },
    prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16, "mask_input_channels": 8},
    mask_decoder_config={"hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 24},
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("segment_anything") is None,
    reason="segment-anything is not installed; pip install --no-deps segment-anything",
)


@pytest.fixture
def checkpoint(tmp_path):
    state = to_official(random_model(SamModel, SMALL, seed=0).state_dict())
    draw = torch.Generator().manual_seed(1)
    torch.save({k: v + 0.1 * torch.randn(v.shape, generator=draw) for k, v in state.items()}, tmp_path / "sam.pth")
    return tmp_path / "sam.pth"


def test_the_same_weights_give_the_same_answers(checkpoint):
    found = compare_sam(checkpoint, config=SMALL)
    assert [each.what.split()[0] for each in found] == ["embedding", "expected", "masks"]
    assert all(each.good for each in found), [str(each) for each in found]


def test_other_weights_are_seen(checkpoint, monkeypatch):
    read = sam.read_checkpoint
    monkeypatch.setattr(sam, "read_checkpoint", lambda path: {k: 1.1 * v for k, v in read(path).items()})
    assert not all(each.good for each in compare_sam(checkpoint, config=SMALL))


def test_the_size_of_an_official_checkpoint_is_told_by_its_width(tmp_path):
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 2, 2, 1024)}, tmp_path / "l.pth")
    assert official_size(tmp_path / "l.pth") == "L"
