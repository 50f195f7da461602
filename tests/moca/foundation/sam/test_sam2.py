"""SAM 2's masks of single pictures against transformers' own, and its folders, with and without a memory."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel

from moca.errors import InputError
from moca.foundation.pretrained import save_pretrained
from moca.foundation.sam.sam import load_sam, save_sam
from moca.foundation.sam.sam2 import Sam2

SIDE = 64
BACKBONE = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 8,
    "num_attention_heads": 1,
    "image_size": [SIDE, SIDE],
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [8, 16, 24, 32],
    "num_attention_heads_per_stage": [1, 2, 2, 4],
    "window_size_per_stage": [4, 2, 3, 2],
    "global_attention_blocks": [3],
    "window_positional_embedding_background_size": [3, 3],
}
PARTS = {
    "vision_config": {
        "backbone_config": BACKBONE,
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 8},
    "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 24},
}
MEMORY = {
    "image_size": SIDE,
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 16,
    "memory_attention_rope_feat_sizes": [4, 4],
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 8,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 16,
    "memory_fuser_num_layers": 1,
}
BOXES = np.array([[3, 4, 30, 20], [0, 0, 53, 40], [20.5, 10.25, 50, 39], [40, 2, 52, 9]], np.float32)
POINTS = np.array([[3, 4], [26.5, 20], [52.5, 39.5]], np.float32)


def randomised(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
        for head in model.mask_decoder.output_hypernetworks_mlps:
            head.proj_out.weight.mul_(8)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return randomised(lambda: Sam2Model(Sam2Config(**PARTS)))


@pytest.fixture
def folder(model, tmp_path):
    save_sam(tmp_path / "sam2", model)
    return tmp_path / "sam2"


@pytest.fixture(scope="module")
def frame():
    return np.random.default_rng(1).integers(0, 256, (40, 53, 3), dtype=np.uint8)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@torch.no_grad()
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_masks_are_what_transformers_computes(model, frame, kind):
    square = np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) / 255
    pixels = torch.from_numpy((square - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).permute(2, 0, 1)[None].float()
    scale = torch.tensor([SIDE / 53, SIDE / 40])
    given = {
        "boxes": {"input_boxes": (torch.from_numpy(BOXES) * scale.repeat(2))[None]},
        "points": {"input_points": (torch.from_numpy(POINTS) * scale)[None, :, None]},
    }[kind]
    out = model(pixels, multimask_output=kind == "points", **given)
    logits = functional.interpolate(out.pred_masks[0], (40, 53), mode="bilinear", align_corners=False).flatten(0, 1)
    predictor = Sam2(model)
    encoded = predictor.encode([frame])[0]
    answers = predictor.from_boxes(encoded, BOXES) if kind == "boxes" else predictor.from_points(encoded, POINTS)
    assert answers.masks.shape == ({"boxes": 4, "points": 9}[kind], 40, 53)
    np.testing.assert_allclose(answers.scores, out.iou_scores.flatten(), atol=1e-5)
    assert (answers.masks != (logits > 0).numpy()).mean() < 1e-3 and 0.05 < answers.masks.mean() < 0.95
    inside, outside = (logits > 1).sum((1, 2)), (logits > -1).sum((1, 2))
    np.testing.assert_allclose(answers.stability, inside / outside, atol=1e-2)
    assert 0 < answers.stability.mean() < 1


def test_the_batch_changes_nothing_and_the_prompt_does(model, frame):
    predictor = Sam2(model)
    black = np.zeros((20, 70, 3), np.uint8)
    encoded = predictor.encode([black, frame, frame], batch=2)
    whole, apiece = predictor.from_boxes(encoded[1], BOXES), predictor.from_boxes(encoded[2], BOXES, batch=1)
    np.testing.assert_allclose(apiece.scores, whole.scores, atol=1e-4)
    assert (apiece.masks != whole.masks).mean() < 1e-2
    assert (whole.masks[0] != whole.masks[1]).mean() > 1e-2
    assert predictor.from_points(encoded[0], POINTS).masks.shape == (9, 20, 70)
    assert predictor.from_boxes(encoded[0], []).masks.shape == (0, 20, 70) and predictor.encode([]) == []


def test_bfloat16_is_close_and_not_the_same(folder, frame):
    exact, rough = load_sam(folder), load_sam(folder, dtype=torch.bfloat16)
    expected = exact.from_points(exact.encode([frame])[0], POINTS)
    for predictor in (rough, Sam2(load_sam(folder).model.to(torch.bfloat16))):
        encoded = predictor.encode([frame])[0]
        assert {part.dtype for part in encoded.maps} == {torch.bfloat16}
        answers = predictor.from_points(encoded, POINTS)
        assert 0 < np.abs(answers.scores - expected.scores).max() < 0.2
        assert (answers.masks != expected.masks).mean() < 0.2


# Files


def test_a_saved_model_comes_back(model, folder, capfd):
    loaded = load_sam(folder)
    assert capfd.readouterr() == ("", "")
    assert isinstance(loaded, Sam2) and loaded.side == SIDE
    torch.testing.assert_close(dict(loaded.model.state_dict()), dict(model.state_dict()), atol=0, rtol=0)
    assert not any(p.requires_grad for p in loaded.model.parameters()) and not loaded.model.training
    reading = json.loads((folder / "preprocessor_config.json").read_text())
    assert reading["size"] == {"height": SIDE, "width": SIDE} and reading["do_pad"] is False


def test_the_published_folders_have_a_memory_that_is_left_out(tmp_path, capfd):
    video = randomised(lambda: Sam2VideoModel(Sam2VideoConfig(**PARTS, **MEMORY)))
    save_pretrained(tmp_path, video)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "sam2_video"
    loaded = load_sam(tmp_path).model
    assert capfd.readouterr() == ("", "")
    stored, image_part = video.state_dict(), loaded.state_dict()
    assert type(loaded) is Sam2Model and set(image_part) < set(stored)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in image_part.items())
    save_sam(tmp_path / "image", loaded)
    assert isinstance(load_sam(tmp_path / "image"), Sam2)


# Refusals


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_missing_and_damaged_weights_are_refused(folder, tmp_path):
    path, rule = folder / "model.safetensors", f"{folder} must hold exactly the weights of its config.json in "
    rule += "model.safetensors"
    weights, whole = load_file(path), path.read_bytes()
    save_file({k: v for k, v in weights.items() if k != "no_memory_embedding"}, path, metadata={"format": "pt"})
    assert refusal(load_sam, folder) == f"{rule}, got missing ones: no_memory_embedding; restore it."
    save_file({**weights, "mask_decoder.more": torch.zeros(1)}, path, metadata={"format": "pt"})
    assert refusal(load_sam, folder) == f"{rule}, got unknown ones: mask_decoder.more; restore it."
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(load_sam, folder) == f"{rule}, got a damaged file, or one that does not fit it; restore it."
    path.unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert refusal(load_sam, folder) == (
        f"{rule}, which is not there (no other format is read); restore or convert it."
    )
    assert not (tmp_path / "exploded").exists()
