"""The towers against the official model's recorded outputs, and the laws of the variants."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from moca.core.frames import CLIP_MEAN, CLIP_STD
from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.folding import fold_batchnorm
from moca.foundation.imagebind.model import ImageBind, random_imagebind
from moca.foundation.preprocessing import preprocess_frames

TINY = ImageBindConfig(
    image_width=40, image_blocks=3, image_heads=4, audio_width=36, audio_blocks=3, audio_heads=3, embed_dim=12
)


@pytest.fixture(scope="module")
def golden(reference):
    with np.load(reference / "imagebind_tiny_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files if arrays[name].dtype.kind != "U"}


@pytest.fixture(scope="module")
def tiny(golden):
    model = random_imagebind(TINY, seed=0)
    state = {k.removeprefix("sd/"): v for k, v in golden.items() if k.startswith("sd/")}
    model.load_state_dict(state, strict=True)
    return model


@pytest.fixture(scope="module")
def mini():
    """The mini model with batch statistics that differ from their start."""
    model = random_imagebind(ImageBindConfig.mini(), seed=1)
    draw = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=draw)
            module.running_var.uniform_(0.5, 2.0, generator=draw)
            module.weight.data.uniform_(0.5, 1.5, generator=draw)
            module.bias.data.normal_(std=0.1, generator=draw)
    return model


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normalised(pixels, channels_at):
    shape = [1] * pixels.ndim
    shape[channels_at] = 3
    mean, std = (torch.tensor(values).reshape(shape) for values in (CLIP_MEAN, CLIP_STD))
    return (pixels.float() / 255 - mean) / std


def close(got, wanted, atol=1e-5):
    torch.testing.assert_close(got, wanted, atol=atol, rtol=0)


# Agreement with the official model


def test_huge_has_exactly_the_official_keys_and_shapes(reference):
    official = json.loads((reference / "imagebind_huge_keys.json").read_text())["keys"]
    with torch.device("meta"):
        model = ImageBind(ImageBindConfig.huge())
    built = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert built == {name: entry["shape"] for name, entry in official.items()}
    kinds = {name: "parameter" for name, _ in model.named_parameters()}
    kinds |= {name: "buffer" for name, _ in model.named_buffers()}
    assert kinds == {name: entry["kind"] for name, entry in official.items()}
    counts = {m: sum(p.numel() for n, p in model.named_parameters() if f".{m}." in n) for m in ("vision", "audio")}
    assert counts == {"vision": 632_829_440, "audio": 86_235_648}


@torch.no_grad()
@pytest.mark.parametrize("modality", ["vision", "audio"])
def test_every_block_agrees_with_the_official_code(tiny, golden, modality):
    if modality == "vision":
        tower, inputs = tiny.image_tower, normalised(golden["vision/img_u8"], 1)
    else:
        tower, inputs = tiny.audio_tower, golden["audio/mel_in"].flatten(0, 1)
    close(tower.stem(inputs), golden[f"{modality}/tokens"])
    x = tower.tokens(inputs)
    close(x, golden[f"{modality}/pre_transformer_out_LBD"].transpose(0, 1))
    for i in range(tower.depth):
        attended = tower.attend(i, x)
        close(attended, golden[f"{modality}/block{i}_attn_out_LBD"].transpose(0, 1))
        x = x + attended
        x = x + tower.feed(i, x)
        close(x, golden[f"{modality}/block{i}_out_LBD"].transpose(0, 1))
    close(x, golden[f"{modality}/trunk_out_BLD"])
    close(tower(tower.tokens(inputs)), x)
    close(tiny.modality_heads[modality](x), golden[f"{modality}/head_out"])


@torch.no_grad()
def test_embeddings_agree_with_the_official_code(tiny, golden):
    close(tiny.embed_image(normalised(golden["vision/img_u8"], 1)), golden["vision/embedding"])
    close(tiny.embed_audio(golden["audio/mel_in"]), golden["audio/embedding_mean_of_3_clips"])
    close(tiny.embed_image(normalised(golden["vision/img448_u8"], 1)), golden["vision/embedding_img448"])
    frames = golden["vision/img_u8"].permute(0, 2, 3, 1).numpy()
    close(tiny.embed_image(preprocess_frames(frames, 224, fit="crop")), golden["vision/embedding"])
    video = normalised(golden["vision/vid_u8"], 2)
    close(tiny.embed_image(video), golden["vision/embedding_video_mean_of_2_clips"])


@pytest.mark.parametrize("side", [16, 20, 24, 32, 37])
def test_positions_are_resized_as_officially(tiny, golden, side):
    table = tiny.image_tower.stem.pos_embedding_helper
    close(table((side, side)), golden[f"vision/pos_embed_interp_{side}x{side}"])
    assert torch.equal(table((side, side))[:, 0], table.pos_embed[:, 0])


# Laws


@torch.no_grad()
def test_a_still_image_is_a_clip_of_the_frame_twice(tiny):
    stem = tiny.image_tower.stem.rgbt_stem.proj
    frames = noise(2, 3, 2, 28, 28)
    repeated = frames[:, :, :1].expand(-1, -1, 2, -1, -1)
    clip = stem(repeated)
    close(stem(frames[:, :, 0]) / clip.abs().max(), clip / clip.abs().max(), atol=1e-6)
    exact = deepcopy(stem).double()
    close(exact(frames[:, :, 0].double()), exact(repeated.double()), atol=1e-12)
    assert not torch.allclose(stem(frames), stem(repeated), atol=1e-2)


@torch.no_grad()
def test_clips_are_embedded_one_by_one_and_averaged(tiny):
    pixels = noise(2, 3, 3, 28, 28)
    mean = torch.stack([tiny.embed_image(pixels[:, s]) for s in range(3)]).mean(0)
    close(tiny.embed_image(pixels), mean, atol=1e-6)
    assert (mean.norm(dim=1) < 1).all()  # not normed again
    mels = noise(2, 2, 1, 128, 204)
    close(tiny.embed_audio(mels), (tiny.embed_audio(mels[:, 0]) + tiny.embed_audio(mels[:, 1])) / 2, atol=1e-5)
    close(tiny.embed_audio(mels[:, 0]).norm(dim=1), torch.full((2,), 20.0), atol=1e-4)


@torch.no_grad()
def test_the_value_reading_mixes_no_tokens(tiny):
    tower = tiny.image_tower
    x = noise(1, 5, 40)
    other = x.clone()
    other[:, 3] += noise(1, 40, seed=4)
    untouched = [0, 1, 2, 4]
    assert torch.equal(tower.values(2, x)[:, untouched], tower.values(2, other)[:, untouched])
    assert not torch.allclose(tower.values(2, x)[:, 3], tower.values(2, other)[:, 3])
    assert not torch.allclose(tower.attend(2, x)[:, untouched], tower.attend(2, other)[:, untouched], atol=1e-3)
    before_last = x
    for i in range(tower.depth - 1):
        before_last = before_last + tower.attend(i, before_last)
        before_last = before_last + tower.feed(i, before_last)
    assert torch.equal(tower(x, reading="value"), tower.values(2, before_last))


@torch.no_grad()
def test_the_extra_key_and_value_act_as_one_more_token(tiny):
    attention = tiny.modality_trunks["audio"].blocks[0].attn
    x = noise(2, 7, 36)
    stock = torch.nn.MultiheadAttention(36, 3, bias=True, add_bias_kv=True, batch_first=True).eval()
    stock.load_state_dict(attention.state_dict())
    close(attention(x), stock(x, x, x, need_weights=False)[0], atol=1e-6)


@torch.no_grad()
def test_kept_tokens_are_the_full_ones(mini):
    pixels, draw = noise(2, 3, 112, 112), torch.Generator()
    full = mini.image_tower.tokens(pixels)
    drawn = mini.image_tower.tokens(pixels, keep=0.25, generator=draw.manual_seed(5))
    assert drawn.shape == (2, 1 + 49, 128)
    assert torch.equal(drawn[:, 0], full[:, 0])
    for sample in range(2):
        places = [int((full[sample] == token).all(1).nonzero()) for token in drawn[sample]]
        assert places == sorted(set(places))  # in order, none twice
    assert torch.equal(drawn, mini.image_tower.tokens(pixels, keep=0.25, generator=draw.manual_seed(5)))
    assert not torch.equal(drawn, mini.image_tower.tokens(pixels, keep=0.25, generator=draw.manual_seed(6)))
    assert torch.equal(full, mini.image_tower.tokens(pixels, keep=1.0, generator=draw))
    assert mini.image_tower.tokens(pixels, keep=1e-6, generator=draw).shape == (2, 2, 128)


@torch.no_grad()
def test_pooled_similarity_lies_between_mean_and_maximum(mini):
    patches, audio = noise(3, 196, 128), noise(2, 128, seed=1)
    cosines = mini.agreement(patches, audio)
    naive = torch.nn.functional.cosine_similarity(patches[:, None], audio[None, :, None], dim=-1)
    close(cosines, naive, atol=1e-6)
    close(mini.agreement(7 * patches, 20 * audio), cosines, atol=1e-6)  # lengths do not matter
    pooled = mini.pooled_similarity(patches, audio)
    tau = mini.config.temperature
    close(pooled, tau * (cosines / tau).exp().mean(-1).log(), atol=1e-6)
    assert ((pooled > cosines.mean(-1)) & (pooled < cosines.amax(-1))).all()


@torch.no_grad()
def test_class_and_dense_pooling_read_different_tokens():
    dense = random_imagebind(replace(ImageBindConfig.mini(), pooling="dense"), seed=0)
    by_class = random_imagebind(ImageBindConfig.mini(), seed=0)
    pixels = noise(2, 3, 112, 112)
    close(dense.embed_image(pixels), torch.nn.functional.normalize(dense.embed_patches(pixels).mean(1), dim=-1))
    assert not torch.allclose(dense.embed_image(pixels), by_class.embed_image(pixels), atol=1e-2)
    close(dense.embed_image(pixels).norm(dim=1), torch.ones(2))


@torch.no_grad()
def test_audio_direction_is_the_same_from_tokens_and_embeddings(mini):
    mels = noise(2, 1, 64, 96)
    tower = mini.audio_tower
    tokens = tower(tower.tokens(mels))
    close(mini.audio_direction(tokens), mini.audio_direction(mini.embed_audio(mels)), atol=1e-6)


# Variants


def test_mini_has_the_promised_sizes(mini):
    assert mini.config.image_grid == (14, 14)
    assert mini.config.audio_grid == (8, 12)
    assert mini.image_tower.tokens(noise(1, 3, 112, 112)).shape == (1, 197, 128)
    assert mini.audio_tower.tokens(noise(1, 1, 64, 96)).shape == (1, 97, 128)
    assert (mini.image_tower.width, mini.image_tower.depth) == (128, 6)
    assert (mini.audio_tower.width, mini.audio_tower.depth) == (128, 4)
    assert mini.embed_patches(noise(1, 3, 168, 168)).shape == (1, 441, 128)  # positions are resized


@torch.no_grad()
def test_folding_batchnorm_changes_nothing_in_eval_mode(mini):
    before = {name: tensor.clone() for name, tensor in mini.state_dict().items()}
    folded = fold_batchnorm(mini)
    pixels, mels = noise(2, 3, 112, 112), noise(2, 1, 64, 96)
    close(folded.embed_patches(pixels), mini.embed_patches(pixels))
    close(folded.embed_audio(mels), mini.embed_audio(mels))
    assert folded.config == replace(mini.config, folded=True)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in mini.state_dict().items())
    untouched = random_imagebind(mini.config, seed=1)  # the same weights without the batch statistics
    assert not torch.allclose(untouched.embed_patches(pixels), mini.embed_patches(pixels), atol=1e-2)


@torch.no_grad()
def test_bfloat16_stays_near_float32(mini):
    half = random_imagebind(mini.config, seed=0)
    half.load_state_dict(mini.state_dict())
    half.bfloat16()
    pixels, mels = noise(2, 3, 112, 112), noise(2, 1, 64, 96)
    patches = half.embed_patches(pixels)
    assert patches.dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(patches, mini.embed_patches(pixels), dim=-1).min() > 0.99
    assert cosine(half.embed_audio(mels), mini.embed_audio(mels), dim=-1).min() > 0.99
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cosine(mini.embed_patches(pixels), patches, dim=-1).min() > 0.99


def test_gradients_reach_every_parameter_in_use(mini):
    model = random_imagebind(mini.config, seed=3).train()
    patches = model.embed_patches(noise(2, 3, 112, 112), keep=0.5, generator=torch.Generator().manual_seed(0))
    model.pooled_similarity(patches, model.embed_audio(noise(2, 1, 64, 96))).diagonal().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert model.modality_postprocessors["audio"][1].log_logit_scale.requires_grad is False


def test_random_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    first, same, other = (random_imagebind(TINY, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert not torch.equal(first.image_tower.stem.cls_token, other.image_tower.stem.cls_token)
    assert first.image_tower.stem.pos_embedding_helper.pos_embed.std().item() == pytest.approx(40**-0.5, rel=0.05)
    assert first.modality_postprocessors["audio"][1].log_logit_scale.exp() == pytest.approx(20.0)
    assert all(tensor.isfinite().all() for tensor in first.state_dict().values())


@pytest.mark.slow
def test_random_huge_is_built():
    model = random_imagebind(ImageBindConfig.huge(), seed=0)
    assert sum(p.numel() for p in model.parameters()) == 632_829_440 + 86_235_648
    assert model.modality_trunks["vision"].blocks[31].mlp.fc2.weight.std() > 0


# Refusals


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_inputs_of_the_wrong_shape_are_refused(tiny, mini):
    assert refusal(tiny.embed_image, torch.zeros(1, 3, 224, 210)) == (
        "images must be square with a side that is a multiple of 14 pixels, got 224 x 210; use preprocess_frames."
    )
    assert refusal(mini.embed_image, torch.zeros(1, 1, 112, 112)) == (
        "images must have shape (B, 3, H, W), got (1, 1, 112, 112); reshape them."
    )
    assert refusal(tiny.image_tower.tokens, torch.zeros(1, 3, 4, 28, 28)) == (
        "images must have shape (B, 3, H, W) or (B, 3, 2, H, W), got (1, 3, 4, 28, 28); reshape them."
    )
    assert refusal(tiny.embed_audio, torch.zeros(1, 1, 128, 98)) == (
        "log-mels must have shape (B, 1, 128, 204), got (1, 1, 128, 98); use log_mel with the model's own settings."
    )


def test_impossible_requests_are_refused(tiny, mini):
    assert refusal(tiny.image_tower.tokens, torch.zeros(1, 3, 28, 28), keep=0.0) == (
        "keep must be above 0 and at most 1, got 0.0; correct it."
    )
    assert refusal(tiny.image_tower, torch.zeros(1, 5, 40), reading="key") == (
        "reading must be one of token, value, value2, clear, proxy, got 'key'; choose one."
    )
    assert refusal(fold_batchnorm, tiny) == (
        "only an unfolded model with stem 'conv' can be folded, got one of stem 'patch'; use it as it is."
    )
    assert refusal(fold_batchnorm, fold_batchnorm(mini)) == (
        "only an unfolded model with stem 'conv' can be folded, got one already folded; use it as it is."
    )
