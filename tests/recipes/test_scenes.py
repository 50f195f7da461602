"""What the supervised recipes start from: their scenes, their first weights and the words of the prompts."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.grounding_dino.modeling_grounding_dino import SPECIAL_TOKENS

import moca.stage
from moca.core.maps import mask_boxes
from moca.foundation.grounding_dino.prompts import check_tokenizer
from moca.stage import CLASSES, sample_frame
from recipes import stage_scenes
from recipes.stage_pairs import FULL_SCALE, tasks_of
from recipes.stage_scenes import (
    MOST_OBJECTS,
    SCENE_MIX,
    SMALLEST_PX,
    at_size,
    classes_shown,
    draw_scenes,
    scenes_config,
)
from recipes.starts import PLACE_SCALE, seeded, waves_of_places, widened
from recipes.vocabulary import FIRST_WORD, PLACES, prompt_ids, small_tokenizer, vocabulary

CONFIG = scenes_config(32, "t", size=64)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(CONFIG, tmp_path_factory.getbasetemp() / "scenes", workers=1)


# Scenes


def test_a_scene_is_the_stages(scenes):
    assert len(scenes) == 32 and scenes.frames.shape == (32, 64, 64, 3) and scenes.frames.dtype == np.uint8
    assert scenes.owners.shape == (32, 64, 64) and scenes.classes.shape == (32, MOST_OBJECTS)
    assert scenes.waves.shape == (32, 16_000) and scenes.heard.shape == (32, len(CLASSES))
    for row, (seed, kind, size) in list(enumerate(tasks_of(CONFIG)))[:8]:
        drawn = sample_frame(seed, kind, size=size)
        masks, _, classes = scenes.objects(row)
        np.testing.assert_array_equal(scenes.frames[row], drawn.frame)
        assert [CLASSES[number] for number in classes] == [item.name for item in drawn.objects]
        for mask, item in zip(masks, drawn.objects, strict=True):
            np.testing.assert_array_equal(mask, item.mask > 0)
        assert {CLASSES[i] for i in np.flatnonzero(scenes.heard[row])} == set(drawn.heard)
        np.testing.assert_allclose(scenes.sound(row), drawn.audio, atol=0.51 / FULL_SCALE)


def test_scenes_are_what_the_losses_rely_on(scenes):
    assert ((scenes.classes >= 0).any(1)).all() and (scenes.owners == 0).any((1, 2)).all()
    for row in range(len(scenes)):
        masks, _, _ = scenes.objects(row)
        assert masks.sum(0).max() == 1 and masks.sum((1, 2)).min() >= SMALLEST_PX
    sound = scenes.sound(np.arange(4))
    assert sound.dtype == np.float32 and sound.shape == (4, 16_000) and np.abs(sound).max() <= 1
    assert sum(SCENE_MIX.values()) == pytest.approx(1) and dict(CONFIG.mix) == SCENE_MIX


def test_scenes_are_drawn_once_and_seeds_and_splits_differ(scenes, tmp_path, monkeypatch):
    few = [scenes_config(6, split, size=32, seed=seed) for split, seed in (("t", 0), ("u", 0), ("t", 1))]
    first, *others = [draw_scenes(config, tmp_path, workers=1) for config in few]
    for other in others:
        assert not any((one == two).all() for one, two in product(first.frames, other.frames))
    monkeypatch.setattr(stage_scenes, "_draw", None)  # whatever is drawn from here on fails
    again = draw_scenes(few[0], tmp_path, workers=1)
    np.testing.assert_array_equal(again.frames, first.frames)
    with pytest.raises(TypeError):
        draw_scenes(scenes_config(5, "t", size=32), tmp_path, workers=1)


def test_a_drawing_that_was_stopped_is_not_taken_for_whole(tmp_path, monkeypatch):
    config, drawn = scenes_config(4, "t", size=32), stage_scenes.drawn

    def stopped(*given):
        for row, scene in enumerate(drawn(*given)):
            if row == 2:
                raise KeyboardInterrupt
            yield scene

    monkeypatch.setattr(stage_scenes, "drawn", stopped)
    with pytest.raises(KeyboardInterrupt):
        draw_scenes(config, tmp_path, workers=1)
    monkeypatch.setattr(stage_scenes, "drawn", drawn)
    assert draw_scenes(config, tmp_path, workers=1).frames.any((1, 2, 3)).all()


def test_an_object_of_which_hardly_anything_is_seen_is_not_asked_for(monkeypatch):
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[0, 3, : SMALLEST_PX - 1] = 1
    masks[1, 9, :SMALLEST_PX] = 1
    items = [SimpleNamespace(name=name, mask=mask) for name, mask in zip(CLASSES[4:6], masks, strict=True)]
    frame, audio = np.zeros((32, 32, 3), np.uint8), np.full(16_000, -2.0, np.float32)
    scene = SimpleNamespace(objects=items, frame=frame, audio=audio, heard=(CLASSES[4],))
    monkeypatch.setattr(moca.stage, "sample_frame", lambda *given, **named: scene)
    _, owners, classes, wave, heard = stage_scenes._draw((0, "s4", 32))
    assert classes.tolist() == [-1, 5, -1]
    np.testing.assert_array_equal(owners, masks[0] + 2 * masks[1])  # its pixels are not ground, though
    assert (wave == -FULL_SCALE).all() and np.flatnonzero(heard).tolist() == [4]


def test_boxes_are_the_naive_ones():
    masks = np.random.default_rng(0).random((20, 9, 13)) < 0.03
    masks[0], masks[1] = True, False
    masks[1, 8, 12] = True
    masks = masks[masks.any((1, 2))]
    for box, mask in zip(mask_boxes(masks), masks, strict=True):
        at = [(x, y) for y, x in product(range(9), range(13)) if mask[y, x]]
        low, high = np.min(at, 0), np.max(at, 0) + 1
        assert box.tolist() == [*low, *high]
    assert mask_boxes(masks)[:2].tolist() == [[0, 0, 13, 9], [12, 8, 13, 9]]
    assert mask_boxes(masks[:0]).shape == (0, 4) and mask_boxes(masks).dtype == np.float32


# The weights to begin with


def test_what_is_shown_is_the_naive_map_at_any_size():
    draw = np.random.default_rng(0)
    owners, classes = draw.integers(0, 4, (3, 12, 12)).astype(np.uint8), np.array([[4, -1, 0], [-1] * 3, [1, 2, 3]])
    shown = classes_shown(owners, classes.astype(np.int8))
    for row, y, x in product(range(3), range(12), range(12)):
        owner = owners[row, y, x]
        assert shown[row, y, x] == (1 + classes[row, owner - 1] if owner else 0)
    assert shown.dtype == np.int64 and not shown[1].any() and shown[0].any()
    small = at_size(torch.from_numpy(shown), 4)
    np.testing.assert_array_equal(small, shown[:, 1::3, 1::3])
    np.testing.assert_array_equal(at_size(torch.from_numpy(shown), 12), shown)


def test_a_seeded_start_leaves_the_global_generator_alone():
    def drawn(seed):
        with seeded(seed):
            return torch.rand(3)

    before = torch.get_rng_state()
    first, same, other = drawn(1), drawn(1), drawn(2)
    assert torch.equal(first, same) and not torch.equal(first, other)
    with pytest.raises(KeyboardInterrupt), seeded(3):
        torch.rand(1)
        raise KeyboardInterrupt
    assert torch.equal(torch.get_rng_state(), before)


def test_matrices_are_as_wide_as_glorot_says_and_zeros_stay():
    with seeded(0):
        matrices = [nn.Linear(50, 30), nn.Conv2d(3, 20, 4), nn.ConvTranspose2d(20, 9, 2)]
        layers = [*matrices, nn.Linear(4, 4), nn.LayerNorm(4)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layers[3].weight)
        kept = layers[4].weight.clone(), layers[0].bias.clone()
        assert widened(nn.Sequential(*layers))[0] is layers[0]
    for layer, fans in zip(matrices, (80, (3 + 20) * 16, (20 + 9) * 4), strict=True):
        bound = (6 / fans) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not layers[3].weight.any()
    assert torch.equal(layers[4].weight, kept[0]) and torch.equal(layers[0].bias, kept[1])


def test_waves_of_places_are_the_naive_ones():
    width, rows, columns = 16, 3, 5
    found = waves_of_places(width, rows, columns, marks=2)
    assert found.shape == (1, 2 + rows * columns, width) and not found[0, :2].any()
    for row, column in product(range(rows), range(columns)):
        angles = [[at / 10_000 ** (i / 4) for i in range(4)] for at in (row, column)]
        waves = [np.concatenate([np.sin(some), np.cos(some)]) for some in angles]
        expected = PLACE_SCALE * np.concatenate(waves)
        np.testing.assert_allclose(found[0, 2 + row * columns + column], expected, atol=1e-6)


def test_patches_that_touch_start_alike_and_none_the_same():
    places = waves_of_places(128, 12, 12)[0, 1:]
    distance = torch.cdist(places, places)
    assert distance[0, 1] < distance[0, 2] and distance[0, 12] < distance[0, 24]
    assert (distance + 9 * torch.eye(144)).min() > 0.1


# Words


def test_marks_have_the_numbers_that_grounding_dino_looks_for():
    assert [PLACES[name] for name in ("[CLS]", "[SEP]", ".", "?")] == SPECIAL_TOKENS and PLACES["[PAD]"] == 0
    known = vocabulary()
    assert sorted(known.values()) == list(range(len(known))) and len(known) == max(PLACES.values()) + 1
    assert all(known[name] == number for name, number in PLACES.items())
    assert [known[name] for name in CLASSES] == list(range(FIRST_WORD, FIRST_WORD + len(CLASSES)))
    check_tokenizer(small_tokenizer(), len(known))


def test_prompts_have_the_tokenizers_numbers():
    tokenizer, rng = small_tokenizer(), np.random.default_rng(0)
    asked = [list(CLASSES), list(CLASSES[::-1]), [CLASSES[3]], []]
    asked += [rng.permutation(CLASSES)[:count].tolist() for count in (2, 5, 9)]
    for words in asked:
        text = "".join(f"{word} . " for word in words)
        assert tokenizer(text).input_ids == tokenizer(text.upper()).input_ids == prompt_ids(words)
    assert prompt_ids(asked[0]) != prompt_ids(asked[1])
    assert len(prompt_ids(CLASSES)) <= tokenizer.model_max_length
    assert tokenizer("zebra .").input_ids == [101, PLACES["[UNK]"], 1012, 102]
    pair = tokenizer("guitar", "bell", return_token_type_ids=True)
    assert pair.input_ids == [101, 200, 102, 201, 102] and pair.token_type_ids == [0, 0, 0, 1, 1]
