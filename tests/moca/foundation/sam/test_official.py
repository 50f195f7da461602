"""The official SAM names against transformers' and upstream's own code, the three sizes, and damaged checkpoints."""

import importlib
import importlib.util
import os
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamModel

from moca.errors import InputError
from moca.foundation.sam.official import load_official, official_config, to_official, to_transformers
from moca.foundation.sam.prompted import pixels_of
from moca.foundation.sam.sam import Sam, load_sam, save_sam

SIDE = 64
TINY = SamConfig(
    vision_config={
        "hidden_size": 24,
        "output_channels": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 16,
    },
    prompt_encoder_config={"hidden_size": 32, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 8},
    mask_decoder_config={"hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 24},
)
COPY = "shared_image_embedding.positional_embedding"
MATRIX = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
# One name of each kind in sam_vit_b_01ec64.pth, and what transformers calls it.
PUBLISHED = {
    "image_encoder.pos_embed": "vision_encoder.pos_embed",
    "image_encoder.patch_embed.proj.bias": "vision_encoder.patch_embed.projection.bias",
    "image_encoder.blocks.11.norm1.weight": "vision_encoder.layers.11.layer_norm1.weight",
    "image_encoder.blocks.10.attn.rel_pos_h": "vision_encoder.layers.10.attn.rel_pos_h",
    "image_encoder.blocks.0.mlp.lin2.bias": "vision_encoder.layers.0.mlp.lin2.bias",
    "image_encoder.neck.0.weight": "vision_encoder.neck.conv1.weight",
    "image_encoder.neck.3.bias": "vision_encoder.neck.layer_norm2.bias",
    MATRIX: "prompt_encoder.shared_embedding.positional_embedding",
    "prompt_encoder.point_embeddings.3.weight": "prompt_encoder.point_embed.3.weight",
    "prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.mask_downscaling.4.bias": "prompt_encoder.mask_embed.layer_norm2.bias",
    "prompt_encoder.mask_downscaling.6.weight": "prompt_encoder.mask_embed.conv3.weight",
    "mask_decoder.transformer.layers.1.norm4.weight": "mask_decoder.transformer.layers.1.layer_norm4.weight",
    "mask_decoder.iou_token.weight": "mask_decoder.iou_token.weight",
    "mask_decoder.transformer.norm_final_attn.bias": "mask_decoder.transformer.layer_norm_final_attn.bias",
    "mask_decoder.output_upscaling.1.weight": "mask_decoder.upscale_layer_norm.weight",
    "mask_decoder.output_upscaling.3.bias": "mask_decoder.upscale_conv2.bias",
    "mask_decoder.output_hypernetworks_mlps.2.layers.0.bias": "mask_decoder.output_hypernetworks_mlps.2.proj_in.bias",
    "mask_decoder.output_hypernetworks_mlps.3.layers.1.bias": "mask_decoder.output_hypernetworks_mlps.3.layers.0.bias",
    "mask_decoder.iou_prediction_head.layers.2.weight": "mask_decoder.iou_prediction_head.proj_out.weight",
}


def random_sam(seed=0, config=TINY):
    with torch.device("meta"):
        model = SamModel(config)
    draw = torch.Generator().manual_seed(seed)
    state = {k: 0.1 * torch.randn(v.shape, generator=draw) for k, v in to_official(model.state_dict()).items()}
    model.load_state_dict(to_transformers(state), assign=True)
    model.tie_weights()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model():
    return random_sam()


@pytest.fixture
def official(model, tmp_path):
    torch.save(to_official(model.state_dict()), tmp_path / "sam.pth")
    return tmp_path / "sam.pth"


def assert_same(state, other):
    torch.testing.assert_close(dict(state.state_dict()), dict(other.state_dict()), atol=0, rtol=0)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The names


@pytest.mark.parametrize(
    ("size", "tensors", "parameters"), [("B", 314, 93735728), ("L", 482, 312343088), ("H", 594, 641090864)]
)
def test_the_names_of_every_size_go_there_and_back(size, tensors, parameters):
    with torch.device("meta"):
        model = SamModel(official_config(size))
    ours = model.state_dict()
    official = to_official(ours)
    assert (len(ours), len(official), model.num_parameters()) == (tensors + 1, tensors, parameters)
    back = to_transformers(official)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in ours.items()}
    again = to_official(back)
    assert list(again) == list(official) and all(again[name] is official[name] for name in official)
    assert sum(name in ours for name in official) < tensors / 2  # most names do change


def test_the_published_names_become_those_of_transformers():
    with torch.device("meta"):
        model = SamModel(official_config("B"))
    ours, official = model.state_dict(), to_official(model.state_dict())
    assert set(PUBLISHED) <= set(official) and set(PUBLISHED.values()) <= set(ours)
    for name, expected in PUBLISHED.items():
        assert to_transformers({name: 1}) == {expected: 1} | ({} if name != MATRIX else {COPY: 1})
        assert to_official({expected: 1}) == {name: 1}
    assert to_official({COPY: 1}) == {}


def test_a_tiny_model_goes_there_and_back(model, official):
    state = to_official(model.state_dict())
    assert_same(random_sam(seed=0), model)
    assert not torch.equal(random_sam(seed=1).state_dict()[COPY], model.state_dict()[COPY])
    assert list(to_official(to_transformers(state))) == list(state)
    loaded = load_official(official, TINY)
    assert_same(loaded, model)
    assert loaded.num_parameters() == model.num_parameters() and not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert_same(load_sam(official, config=TINY).model, model)


def test_a_checkpoint_in_half_precision_becomes_float32(model, tmp_path):
    torch.save({k: v.half() for k, v in to_official(model.state_dict()).items()}, tmp_path / "half.pt")
    loaded = load_sam(tmp_path / "half.pt", config=TINY).model
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(dict(loaded.state_dict()), dict(model.state_dict()), atol=1e-3, rtol=1e-3)
    rough = load_sam(tmp_path / "half.pt", config=TINY, dtype=torch.bfloat16).model
    assert next(rough.vision_encoder.parameters()).dtype == torch.bfloat16


@torch.no_grad()
def test_sam_b_is_the_same_from_either_layout(tmp_path):
    """At full size, but for the image encoder's computation."""
    model = random_sam(seed=3, config=official_config("B"))
    torch.save(to_official(model.state_dict()), tmp_path / "sam_vit_b.pth")
    save_sam(tmp_path / "folder", model)
    official, folder = load_sam(tmp_path / "sam_vit_b.pth"), load_sam(tmp_path / "folder")
    assert_same(official.model, model)
    assert_same(folder.model, model)
    assert official.side == folder.side == 1024 and official.model.num_parameters() == 93735728
    embedding = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(4))
    boxes = torch.tensor([[[100.0, 200, 700, 650]]])
    by_official, other = (
        sam.model(image_embeddings=embedding, input_boxes=boxes, multimask_output=False) for sam in (official, folder)
    )
    assert by_official.pred_masks.shape == (1, 1, 1, 256, 256) and by_official.pred_masks.std() > 0
    torch.testing.assert_close(by_official.pred_masks, other.pred_masks)
    torch.testing.assert_close(by_official.iou_scores, other.iou_scores)


# Upstream


@pytest.fixture
def upstream(bare_module):
    """segment_anything.modeling without the package's own __init__, which needs torchvision."""
    if importlib.util.find_spec("segment_anything") is None:
        pytest.skip("segment-anything is not installed; pip install --no-deps segment-anything")
    return bare_module("segment_anything.modeling")


@pytest.fixture
def original(upstream):
    """A tiny Sam of upstream's classes, with windows and a global block."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = upstream.ImageEncoderViT(
            img_size=SIDE,
            patch_size=8,
            embed_dim=24,
            depth=3,
            num_heads=2,
            mlp_ratio=4,
            out_chans=32,
            qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
        )
        prompts = upstream.PromptEncoder(32, (8, 8), (SIDE, SIDE), 8)
        transformer = upstream.TwoWayTransformer(depth=2, embedding_dim=32, num_heads=4, mlp_dim=48)
        decoder = upstream.MaskDecoder(
            transformer_dim=32, transformer=transformer, iou_head_depth=3, iou_head_hidden_dim=24
        )
        model = upstream.Sam(encoder, prompts, decoder).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model


@torch.no_grad()
def test_upstream_computes_the_same_as_its_checkpoint_loaded_here(original, tmp_path):
    torch.save(original.state_dict(), tmp_path / "tiny.pth")
    predictor = load_sam(tmp_path / "tiny.pth", config=TINY)
    assert list(to_official(to_transformers(original.state_dict()))) == list(original.state_dict())
    draw = torch.Generator().manual_seed(2)
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=draw)
    embedding = original.image_encoder(pixels)
    torch.testing.assert_close(predictor.model.get_image_embeddings(pixels), embedding, atol=1e-4, rtol=1e-4)
    assert embedding.std() > 0.1
    boxes = torch.tensor([[3.0, 4, 30, 40], [0, 0, 64, 48]])
    points = torch.tensor([[[5.0, 6]], [[60, 30]]])
    for prompt in ("boxes", "points"):
        sparse, dense = original.prompt_encoder(
            points=(points, torch.ones(2, 1)) if prompt == "points" else None,
            boxes=boxes if prompt == "boxes" else None,
            masks=None,
        )
        masks, ious = original.mask_decoder(
            embedding[:1], original.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=prompt == "points"
        )
        given = {"input_boxes": boxes[None]} if prompt == "boxes" else {"input_points": points[None]}
        answers = predictor.model(image_embeddings=embedding[:1], multimask_output=prompt == "points", **given)
        torch.testing.assert_close(answers.pred_masks[0], masks, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(answers.iou_scores[0], ious, atol=1e-4, rtol=1e-4)
        assert masks.std() > 1e-2 and ious.std() > 1e-4


@torch.no_grad()
def test_upstream_finds_the_same_masks_of_a_frame(original, tmp_path):
    """From the frame to its masks, all but the Pillow resizing in upstream's own code."""
    torch.save(original.state_dict(), tmp_path / "tiny.pth")
    predictor = load_sam(tmp_path / "tiny.pth", config=TINY)
    frame = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    shown = torch.from_numpy(frame).permute(2, 0, 1).float()
    torch.testing.assert_close(original.preprocess(shown), pixels_of(frame, (48, 64), SIDE), atol=1e-4, rtol=1e-4)
    boxes = np.array([[3, 4, 30, 40], [0, 0, 64, 48], [10, 20, 50, 30]], np.float32)
    record = {"image": shown, "original_size": (48, 64), "boxes": torch.from_numpy(boxes)}
    expected = original([record], multimask_output=False)[0]
    answers = predictor.from_boxes(predictor.encode([frame])[0], boxes)
    np.testing.assert_allclose(answers.scores, expected["iou_predictions"][:, 0], atol=1e-4)
    assert (answers.masks != expected["masks"][:, 0].numpy()).mean() < 1e-3 and 0 < answers.masks.mean() < 1


# Refusals


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("wrapped", [True, False])
def test_code_in_a_checkpoint_is_never_executed(model, tmp_path, wrapped):
    path, target = tmp_path / "sam.pth", tmp_path / "exploded"
    if wrapped:
        torch.save({**to_official(model.state_dict()), "bomb": Bomb(target)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(target)))
    before = path.read_bytes()
    for config in (TINY, None):
        message = refusal(load_sam, path, config=config)
        assert message.startswith(f"{path} must be a PyTorch checkpoint that maps names to tensors, got ")
    assert not target.exists() and path.read_bytes() == before and os.listdir(tmp_path) == ["sam.pth"]
    if wrapped:
        torch.load(path, weights_only=False)  # it would have gone off
        assert target.exists()


@pytest.mark.parametrize("damage", ["empty", "noise", "cut"])
def test_a_damaged_checkpoint_is_refused(official, damage):
    whole = official.read_bytes()
    official.write_bytes({"empty": b"", "noise": b"\x93not a checkpoint" * 99, "cut": whole[: len(whole) // 2]}[damage])
    assert refusal(load_sam, official, config=TINY) == (
        f"{official} must be a PyTorch checkpoint that maps names to tensors, "
        "got a damaged or different file; download it again."
    )


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    assert refusal(load_sam, tmp_path / "sam.pth") == (
        f"the checkpoint must be an existing file, got {tmp_path / 'sam.pth'}, which is not there; check the path."
    )


def test_another_model_is_refused(model, official):
    rule = f"{official} must be the state dict of SAM-B, SAM-L or SAM-H"
    assert refusal(load_sam, official) == (
        f"{rule} with an image encoder of width 768, 1024, 1280, got 24; use one of them or give config."
    )
    torch.save(model.state_dict(), official)
    assert refusal(load_sam, official) == (
        f"{rule}, got one without image_encoder.pos_embed; use an official SAM file or a transformers folder."
    )
    torch.save([torch.zeros(2)], official)
    assert "got a list with something else in it" in refusal(load_sam, official)


def test_missing_unknown_and_misshapen_tensors_are_named(model, official):
    state = to_official(model.state_dict())
    rule = f"{official} must hold exactly the {len(state)} tensors of its SAM, got"
    advice = "use the right file or configuration."
    torch.save({k: v for k, v in state.items() if k != MATRIX}, official)
    assert refusal(load_sam, official, config=TINY) == f"{rule} 1 missing: {MATRIX}; {advice}"
    torch.save({**state, **{f"mask_decoder.hf_{i}": torch.zeros(1) for i in range(5)}}, official)
    assert refusal(load_sam, official, config=TINY) == (
        f"{rule} 5 unknown: mask_decoder.hf_0, mask_decoder.hf_1, mask_decoder.hf_2 and 2 more; {advice}"
    )
    torch.save({**state, "mask_decoder.iou_token.weight": torch.zeros(1, 5)}, official)
    assert refusal(load_sam, official, config=TINY) == (
        f"{rule} 1 of another shape: mask_decoder.iou_token.weight [1, 5] instead of [1, 32]; {advice}"
    )


def test_a_loaded_checkpoint_predicts(official):
    predictor = load_sam(official, config=TINY)
    assert isinstance(predictor, Sam)
    frame = np.random.default_rng(5).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    assert predictor.from_points(predictor.encode([frame])[0], [[5, 5]]).masks.shape == (3, 30, 50)
