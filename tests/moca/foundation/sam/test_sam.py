"""SAM's masks against transformers' own, the published file format, and everything that can be wrong with it."""

import json
import os
import pickle
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SamConfig, SamHQConfig, SamHQModel, SamModel
from transformers.models.sam.image_processing_pil_sam import (
    SamImageProcessorPil,
    _compute_stability_score,
    _normalize_coordinates,
)

from moca.errors import InputError
from moca.foundation.sam import prompted as sam_masks
from moca.foundation.sam.prompted import pixels_of
from moca.foundation.sam.sam import Sam, load_sam, save_sam

SIDE = 64
VISION = {
    "hidden_size": 24,
    "output_channels": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
    "window_size": 3,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
}
PROMPTS = {"hidden_size": 32, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 8}
DECODER = {"hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 24}
BOXES = np.array([[3, 4, 30, 20], [0, 0, 53, 40], [20.5, 10.25, 50, 39], [40, 2, 52, 9], [5, 30, 20, 38]], np.float32)
POINTS = np.array([[3, 4], [26.5, 20], [52.5, 39.5]], np.float32)


def random_sam(seed=0, high_quality=False, side=SIDE):
    parts = {"vision_config": {**VISION, "image_size": side}, "prompt_encoder_config": {**PROMPTS, "image_size": side}}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if high_quality:
            model = SamHQModel(SamHQConfig(**parts, mask_decoder_config={**DECODER, "vit_dim": 24}))
        else:
            model = SamModel(SamConfig(**parts, mask_decoder_config=DECODER))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # so that nothing is zero, and masks have edges
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
        for head in model.mask_decoder.output_hypernetworks_mlps:  # logits well beyond 1
            head.proj_out.weight.mul_(8)
    return model.eval()


@pytest.fixture(scope="module", params=["sam", "sam_hq"])
def model(request):
    return random_sam(high_quality=request.param == "sam_hq")


@pytest.fixture(scope="module")
def plain():
    return random_sam()


@pytest.fixture
def folder(plain, tmp_path):
    save_sam(tmp_path / "sam", plain)
    return tmp_path / "sam"


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(0, 256, (5, 40, 53, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def processor():
    return SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_close(answers, expected, tolerance=1e-5):
    """Scores within the tolerance; masks and stability but for a pixel here and there whose logit is 0 or nearly."""
    np.testing.assert_allclose(answers.scores, expected.scores, atol=tolerance)
    assert (answers.masks != expected.masks).mean() < 1e-3
    np.testing.assert_allclose(answers.stability, expected.stability, atol=1e-2)


# Agreement with transformers


@pytest.mark.parametrize("size", [(40, 53), (53, 40), (64, 64), (200, 130), (31, 96), (7, 64)])
def test_frames_are_fitted_normalised_and_padded_as_transformers_does(plain, processor, size):
    frame = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = processor(frame, return_tensors="pt")
    fitted = Sam(plain)._fitted(size)
    assert fitted == tuple(expected["reshaped_input_sizes"][0].tolist())
    pixels = pixels_of(frame, fitted, SIDE)
    torch.testing.assert_close(pixels, expected["pixel_values"][0], atol=1e-5, rtol=0)
    assert not pixels[:, fitted[0] :].any() and not pixels[:, :, fitted[1] :].any() and pixels.any()


@torch.no_grad()
@pytest.mark.parametrize("size", [(40, 53), (90, 41)])
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_masks_are_what_transformers_computes(model, processor, size, kind):
    frame = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    inputs = processor(frame, return_tensors="pt")
    prompts = {"boxes": BOXES, "points": POINTS}[kind] * ([size[1] / 53, size[0] / 40] * (2 if kind == "boxes" else 1))
    coordinates = torch.tensor(
        _normalize_coordinates(SIDE, prompts, size, is_bounding_box=kind == "boxes"), dtype=torch.float32
    )
    given = {"input_boxes": coordinates[None]} if kind == "boxes" else {"input_points": coordinates[None, :, None]}
    out = model(inputs["pixel_values"], multimask_output=kind == "points", **given)
    logits = processor.post_process_masks(
        out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"], binarize=False
    )[0].flatten(0, 1)
    predictor = Sam(model)
    encoded = predictor.encode([frame])[0]
    answers = predictor.from_boxes(encoded, prompts) if kind == "boxes" else predictor.from_points(encoded, prompts)
    stability = _compute_stability_score(logits, 0, 1).nan_to_num(0)
    assert len(answers) == len(prompts) * (1 if kind == "boxes" else 3) and answers.masks.shape[1:] == size
    assert answers.scores.dtype == answers.stability.dtype == np.float32 and answers.masks.dtype == bool
    np.testing.assert_allclose(answers.scores, out.iou_scores.flatten().numpy(), atol=1e-5)
    assert (answers.masks != (logits > 0).numpy()).mean() < 1e-3
    np.testing.assert_allclose(answers.stability, stability.numpy(), atol=1e-2)
    assert 0.05 < answers.masks.mean() < 0.95 and 0 < answers.stability.mean() < 1  # there is something to agree on


# Laws


def test_the_batch_changes_nothing_and_the_prompt_does(model, frames, monkeypatch):
    predictor = Sam(model)
    encoded = predictor.encode(frames[:1])[0]
    boxes, points = predictor.from_boxes(encoded, BOXES), predictor.from_points(encoded, POINTS)
    assert_close(predictor.from_boxes(encoded, BOXES, batch=2), boxes)
    assert_close(predictor.from_points(encoded, POINTS, batch=1), points)
    monkeypatch.setattr(sam_masks, "LOGITS_AT_A_TIME", 2 * SIDE**2)  # 9 masks in parts of 2
    assert_close(predictor.from_points(encoded, POINTS), points)
    reversed_ = predictor.from_boxes(encoded, BOXES[::-1])
    np.testing.assert_allclose(reversed_.scores, boxes.scores[::-1], atol=1e-5)
    assert np.abs(boxes.scores - reversed_.scores).max() > 1e-3 and (boxes.masks != reversed_.masks).mean() > 1e-2


def test_a_frame_is_encoded_alike_in_any_company(model, frames, tmp_path):
    predictor = Sam(model)
    alone = predictor.encode(frames[2:3])[0]
    small = np.zeros((9, 30, 3), np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    for others in (frames, [frames[0], small, frames[2]], np.load(tmp_path / "frames.npy", mmap_mode="r")):
        together = predictor.encode(others, batch=2)
        assert len(together) == len(others)
        for part, other in zip(together[2].maps, alone.maps, strict=True):
            torch.testing.assert_close(part, other, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(together[0].maps[0], alone.maps[0], atol=1e-2)
        assert together[2].size == (40, 53) and together[2].resized == (48, 64)
    assert predictor.encode([]) == [] and predictor.encode(frames[:0]) == []
    assert predictor.from_boxes(predictor.encode([small])[0], [[0, 0, 30, 9]]).masks.shape == (1, 9, 30)


def test_no_prompts_give_no_masks(model, frames):
    predictor = Sam(model)
    encoded = predictor.encode(frames[:1])[0]
    for answers in (predictor.from_boxes(encoded, np.empty((0, 4))), predictor.from_points(encoded, [])):
        assert answers.masks.shape == (0, 40, 53) and len(answers) == len(answers.scores) == len(answers.stability) == 0


def test_stability_falls_as_the_thresholds_part(plain, frames):
    predictor = Sam(plain)
    encoded = predictor.encode(frames[:1])[0]
    near, usual, far = (predictor.from_boxes(encoded, BOXES, stability_offset=offset) for offset in (0, 1, 3))
    assert (near.stability[near.masks.any((1, 2))] == 1).all()
    assert (far.stability <= usual.stability).all() and far.stability.sum() < usual.stability.sum() < len(BOXES)
    np.testing.assert_array_equal(far.masks, usual.masks)


def test_a_mask_that_is_empty_has_stability_0(plain, frames):
    predictor = Sam(random_sam())
    with torch.no_grad():  # no mask token gives anything but a large negative logit
        predictor.model.mask_decoder.upscale_conv2.weight.zero_()
        predictor.model.mask_decoder.upscale_conv2.bias.fill_(3)
        for head in predictor.model.mask_decoder.output_hypernetworks_mlps:
            head.proj_out.weight.zero_()
            head.proj_out.bias.fill_(-3)
    answers = predictor.from_boxes(predictor.encode(frames[:1])[0], BOXES)
    assert not answers.masks.any() and not answers.stability.any()
    assert Sam(plain).from_boxes(Sam(plain).encode(frames[:1])[0], BOXES).masks.any()


def test_the_model_is_frozen(folder):
    model = load_sam(folder).model
    assert not model.training and not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("high_quality", [False, True])
def test_bfloat16_is_close_and_not_the_same(high_quality, frames, tmp_path):
    save_sam(tmp_path, random_sam(high_quality=high_quality))
    exact, rough = load_sam(tmp_path), load_sam(tmp_path, dtype=torch.bfloat16)
    whole = Sam(load_sam(tmp_path).model.to(torch.bfloat16))
    parts = {name: next(part.parameters()).dtype for name, part in rough.model.named_children()}
    assert parts["vision_encoder"] == parts["mask_decoder"] == torch.bfloat16
    assert parts["prompt_encoder"] == parts["shared_image_embedding"] == torch.float32
    expected = exact.from_points(exact.encode(frames[:1])[0], POINTS)
    for predictor in (rough, whole):
        encoded = predictor.encode(frames[:1])[0]
        assert {kept_map.dtype for kept_map in encoded.maps} == {torch.bfloat16}
        answers = predictor.from_points(encoded, POINTS)
        assert answers.scores.dtype == answers.stability.dtype == np.float32
        assert 0 < np.abs(answers.scores - expected.scores).max() < 0.2
        assert (answers.masks != expected.masks).mean() < 0.1
        assert predictor.from_boxes(encoded, BOXES).masks.shape == (5, 40, 53)


# Files


@pytest.mark.parametrize("high_quality", [False, True])
def test_a_saved_model_comes_back(high_quality, tmp_path):
    model = random_sam(high_quality=high_quality)
    save_sam(tmp_path, model)
    loaded = load_sam(tmp_path).model
    assert type(loaded) is type(model)
    torch.testing.assert_close(dict(loaded.state_dict()), dict(model.state_dict()), atol=0, rtol=0)


def test_the_folder_is_the_published_one(folder, plain, frames):
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert json.loads((folder / "config.json").read_text())["model_type"] == "sam"
    names = set(load_file(folder / "model.safetensors"))
    assert set(plain.state_dict()) - names == {"prompt_encoder.shared_embedding.positional_embedding"}
    theirs = SamImageProcessorPil.from_pretrained(folder)
    pixels = theirs(frames[0], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels[0], pixels_of(frames[0], (48, 64), SIDE), atol=1e-5, rtol=0)
    assert theirs.mask_size.longest_edge == 32 == theirs.mask_pad_size.height


def test_another_size_comes_from_the_folder(tmp_path, frames):
    save_sam(tmp_path, random_sam(side=48))
    predictor = load_sam(tmp_path)
    encoded = predictor.encode(frames[:1])[0]
    assert predictor.side == 48 and encoded.resized == (36, 48) and encoded.maps[0].shape == (1, 32, 6, 6)


@pytest.mark.parametrize("stated", ["shared_image_embedding", "prompt_encoder.shared_embedding", "both", "neither"])
def test_either_name_of_the_matrix_of_positions_will_do(folder, plain, stated):
    path = folder / "model.safetensors"
    names = [f"{part}.positional_embedding" for part in ("shared_image_embedding", "prompt_encoder.shared_embedding")]
    state = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    gone = {"both": [], "neither": names}.get(stated, [name for name in names if not name.startswith(stated)])
    save_file({k: v for k, v in state.items() if k not in gone}, path, metadata={"format": "pt"})
    if stated == "neither":
        assert refusal(load_sam, folder).endswith(f"got missing ones: {names[1]} and 1 more; restore it.")
        return
    loaded = load_sam(folder).model.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in names)


def test_half_precision_halves_the_file_and_computes_in_float32(plain, tmp_path, frames):
    save_sam(tmp_path / "whole", plain)
    save_sam(tmp_path / "half", plain, dtype=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.65 * sizes[1]
    half = load_sam(tmp_path / "half")
    assert {p.dtype for p in half.model.parameters()} == {torch.float32} == {p.dtype for p in plain.parameters()}
    answers = half.from_boxes(half.encode(frames[:1])[0], BOXES)
    expected = Sam(plain).from_boxes(Sam(plain).encode(frames[:1])[0], BOXES)
    np.testing.assert_allclose(answers.scores, expected.scores, atol=5e-2)


def test_loading_says_nothing(folder, capfd):
    load_sam(folder)
    assert capfd.readouterr() == ("", "")


# Refusals


RULE = "{} must hold exactly the weights of its config.json in model.safetensors"


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("damage", ["cut", "noise", "shape"])
def test_a_damaged_file_is_refused_and_left_alone(folder, damage):
    path = folder / "model.safetensors"
    weights, whole = load_file(path), path.read_bytes()
    if damage == "shape":
        save_file({**weights, "mask_decoder.iou_token.weight": torch.zeros(1, 3)}, path, metadata={"format": "pt"})
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "noise": b"\x93not safetensors" * 99}[damage])
    before = contents(folder)
    assert refusal(load_sam, folder) == (
        f"{RULE.format(folder)}, got a damaged file, or one that does not fit it; restore it."
    )
    assert contents(folder) == before


def test_only_safetensors_are_read_from_a_folder(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    assert refusal(load_sam, folder).endswith("(no other format is read); restore or convert it.")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    before = contents(folder)
    assert refusal(load_sam, folder) == (
        f"{RULE.format(folder)}, which is not there (no other format is read); restore or convert it."
    )
    assert not (tmp_path / "exploded").exists() and contents(folder) == before


def test_another_kind_of_model_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    assert refusal(load_sam, folder) == (
        f"{folder} must be a model of type 'sam' or 'sam_hq' or 'sam2' or 'sam2_video', got 'vit'; use one such as "
        "facebook/sam-vit-base."
    )
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "sam_hq"}))
    assert refusal(load_sam, folder).startswith(f"{RULE.format(folder)}, got ")


def test_parts_that_do_not_fit_each_other_are_refused():
    config = SamConfig(vision_config=VISION, prompt_encoder_config={**PROMPTS, "image_size": 96})
    with torch.device("meta"):
        model = SamModel(config)
    assert refusal(Sam, model) == (
        "a SAM's vision_config and prompt_encoder_config must have one image_size, got 64 and 96; correct its "
        "configuration."
    )


def test_a_model_that_reads_pictures_otherwise_is_refused(folder):
    path = folder / "preprocessor_config.json"
    reading = json.loads(path.read_text())
    path.write_text(json.dumps({**reading, "size": {"longest_edge": 1024}}))
    assert refusal(load_sam, folder) == (
        f"{folder} must have its model's size, {{'longest_edge': 64}}, in preprocessor_config.json, got "
        "{'longest_edge': 1024}; restore it."
    )
    path.write_text(json.dumps({**reading, "image_mean": [0.5, 0.5, 0.5]}))
    assert "image_mean [0.485, 0.456, 0.406], got [0.5, 0.5, 0.5]" in refusal(load_sam, folder)
    path.unlink()  # a folder without the file is read as SAM's
    load_sam(folder)


def test_names_that_mean_nothing_are_refused(tmp_path):
    assert refusal(load_sam, tmp_path / "none") == (
        "sam must be mini, a name of moca weights list, a folder with a config.json or a hub id such as "
        f"facebook/sam-vit-base, got {tmp_path / 'none'}, which is none of these; check the path."
    )
    assert refusal(load_sam, tmp_path) == (
        f"{tmp_path} must hold a config.json, which is not there; use a folder like that of facebook/sam-vit-base."
    )


def test_settings_out_of_range_are_refused(plain, folder):
    assert refusal(load_sam, folder, dtype=torch.float16) == (
        "dtype must be float32 or bfloat16, got torch.float16; choose one of them."
    )
    assert refusal(load_sam, folder, config=plain.config) == (
        "config must be None unless name is an official .pth file, got a configuration; leave it out."
    )


def test_frames_and_prompts_that_cannot_be_used_are_refused(plain, frames):
    predictor = Sam(plain)
    encoded = predictor.encode(frames[:1])[0]
    assert refusal(predictor.encode, frames.astype(np.float32)) == (
        "a frame must be a uint8 array of shape (height, width, 3), got float32 (40, 53, 3) for frame 0; "
        "convert it to RGB."
    )
    assert refusal(predictor.encode, frames, batch=0) == "batch must be at least 1 frame, got 0; raise it."
    assert refusal(predictor.from_boxes, encoded, BOXES, batch=0) == "batch must be at least 1 prompt, got 0; raise it."
    assert refusal(predictor.from_boxes, encoded, POINTS) == (
        "boxes must be finite numbers of shape (N, 4), got an array of (3, 2); correct them."
    )
    assert refusal(predictor.from_points, encoded, POINTS * np.nan) == (
        "points must be finite numbers of shape (N, 2), got numbers that are not finite; correct them."
    )
    assert refusal(predictor.from_boxes, encoded, BOXES[:, [2, 3, 0, 1]]) == (
        "boxes must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, got others; convert them."
    )


# The bundled model


@pytest.mark.skipif(not (files("moca.weights") / "mini" / "sam").is_dir(), reason="no SAM is bundled")
def test_the_bundled_model_finds_a_square():
    frame = np.full((120, 160, 3), (30, 60, 90), np.uint8)
    frame[30:90, 50:110] = (220, 200, 40)
    predictor = load_sam("mini")
    answers = predictor.from_boxes(predictor.encode([frame])[0], [[50, 30, 110, 90]])
    assert answers.masks.shape == (1, 120, 160) and answers.masks[0, 30:90, 50:110].mean() > 0.5


def test_a_name_of_the_manifest_is_read_where_it_was_fetched_to(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path))
    assert refusal(load_sam, "sam-vit-base").endswith("moca weights fetch sam-vit-base.")
