"""DINO's loss against a naive loop, the laws of its views, and the recipe from nothing to a loadable model."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import ViTConfig

from moca.errors import InputError
from moca.foundation.dino import Dino, load_dino
from recipes import dino_card, train_mini_dino
from recipes.dino_loss import (
    DinoHead,
    ViewsConfig,
    blur,
    crop,
    dino_loss,
    draw_views,
    entropies,
    moved_center,
    recolour,
    teacher_targets,
    update_teacher,
)
from recipes.schedule import cosine, learning_rate, rows_of
from recipes.stage_pairs import ENCODER_MIX, Pairs, PairsConfig, draw_pairs
from recipes.train_mini_dino import DinoRecipe, Network, Training, train

TINY = ViTConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
)
VIEWS = ViewsConfig(global_px=16, local_px=8, locals=2)
SMALL = DinoRecipe(
    frames=40, steps=4, batch=8, warmup=1, still=1, hidden=16, bottleneck=8, prototypes=24, views=VIEWS, lr=3e-3
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(count, side=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def pairs_of(count, **options):
    """Pairs with random frames, all of one kind."""
    frames = pictures(count, **options)
    return Pairs(frames, np.zeros((count, 1), np.int16), np.zeros((count, 32, 32), np.uint8), np.full(count, "single"))


# The loss


def naive_loss(student, teacher, center, student_temperature, teacher_temperature):
    """DINO's loss, pair by pair and frame by frame."""

    def softmax(values):
        raised = np.exp(values - values.max())
        return raised / raised.sum()

    total, pairs = 0.0, 0
    for q in range(len(teacher)):
        for v in range(len(student)):
            if q == v:
                continue
            for n in range(student.shape[1]):
                target = softmax((teacher[q, n] - center) / teacher_temperature)
                guess = softmax(student[v, n] / student_temperature)
                total -= (target * np.log(guess)).sum() / student.shape[1]
            pairs += 1
    return total / pairs


def test_the_loss_is_the_naive_one():
    student, teacher, center = noise(5, 3, 7), noise(2, 3, 7, seed=1), noise(7, seed=2)
    targets = teacher_targets(teacher, center, 0.3)
    expected = naive_loss(*(x.double().numpy() for x in (student, teacher, center)), 0.5, 0.3)
    assert dino_loss(student, targets, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_a_view_is_not_compared_with_itself():
    teacher = noise(2, 3, 7)
    targets = teacher_targets(teacher, torch.zeros(7), 0.1)
    student = torch.stack([teacher[1], teacher[0], noise(3, 7, seed=3)]).requires_grad_()
    dino_loss(student[:2], targets, 0.1).backward()
    assert student.grad[:2].abs().max() < 1e-6  # each global view already says what the other one's teacher says
    matched = dino_loss(student[:2], targets, 0.1)
    swapped = dino_loss(student[:2].flip(0), targets, 0.1)
    own = torch.special.entr(targets).sum(-1).mean()
    assert matched.item() == pytest.approx(own.item(), rel=1e-5) and swapped > matched + 0.1


def test_centring_forgets_what_all_views_share_and_sharpening_is_sure():
    logits, shift = noise(6, 9), noise(9, seed=1)
    torch.testing.assert_close(
        teacher_targets(logits + shift, shift, 0.1), teacher_targets(logits, torch.zeros(9), 0.1)
    )
    sure, unsure = (entropies(teacher_targets(logits, torch.zeros(9), t))[0] for t in (0.05, 1.0))
    assert 1 <= sure < unsure <= 9


def test_the_center_is_the_running_mean():
    center, all_logits = torch.zeros(4), noise(3, 5, 4)
    for logits in all_logits:
        center = moved_center(center, logits, 0.9)
    means = all_logits.mean(1)
    torch.testing.assert_close(center, 0.1 * (0.81 * means[0] + 0.9 * means[1] + means[2]))


def test_entropies_tell_the_two_collapses():
    one = torch.eye(5)[torch.zeros(8, dtype=torch.long)]
    assert entropies(one) == pytest.approx((1, 1))
    assert entropies(torch.full((8, 5), 0.2)) == pytest.approx((5, 5))
    assert entropies(torch.eye(5)) == pytest.approx((1, 5))  # sure of every view, and no two alike


def test_the_teacher_is_the_moving_average():
    teacher, student = (torch.nn.Linear(3, 2) for _ in range(2))
    before = teacher.weight.detach().clone()
    update_teacher(teacher, student, 0.75)
    torch.testing.assert_close(teacher.weight.detach(), 0.75 * before + 0.25 * student.weight.detach())
    update_teacher(teacher, student, 1.0)
    torch.testing.assert_close(teacher.weight.detach(), 0.75 * before + 0.25 * student.weight.detach())
    update_teacher(teacher, student, 0.0)
    assert torch.equal(teacher.bias, student.bias)


def test_logits_are_cosines():
    head = DinoHead(6, hidden=12, bottleneck=5, prototypes=9)
    logits = head(noise(4, 6))
    assert logits.shape == (4, 9) and logits.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.prototypes *= 3  # lengths do not matter: the gain is 1
    torch.testing.assert_close(head(noise(4, 6)), logits)


# The views


def test_views_have_their_sizes_and_follow_the_generator():
    frames = torch.from_numpy(pictures(3, side=40))
    drawn = [draw_views(frames, VIEWS, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)]
    assert drawn[0][0].shape == (6, 3, 16, 16) and drawn[0][1].shape == (6, 3, 8, 8)
    for first, same, other in zip(*drawn, strict=True):
        assert torch.equal(first, same) and not torch.equal(first, other)
        assert first.isfinite().all()


def test_rows_are_view_major():
    frames = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    frames[1] = 255
    plain = replace(VIEWS, jitter=0.0, grey=0.0, solarise=0.0)
    for views in draw_views(frames, plain, torch.Generator().manual_seed(0)):
        light = views.mean((1, 2, 3))
        assert (light[0::2] < 0).all() and (light[1::2] > 0).all()


def test_a_crop_of_everything_is_the_picture_and_may_be_its_mirror():
    # With an area of 1 one side may still be cut, as the sides' ratio varies; this picture has one colour per row.
    columns = torch.linspace(0, 1, 16).expand(64, 3, 16, 16)
    whole = crop(columns, 16, (4.0, 4.0), 0.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole, columns)
    mirrored = crop(columns, 16, (4.0, 4.0), 1.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mirrored, columns.flip(3))
    both = crop(columns, 16, (4.0, 4.0), 0.5, torch.Generator().manual_seed(0))
    share = (both[:, 0, 0, 0] > 0.5).float().mean()
    assert 0.2 < share < 0.8


def test_a_crop_shows_its_share_of_the_picture():
    ramp = torch.linspace(0, 1, 64)
    plane = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)]).expand(200, 3, 64, 64)
    seen = crop(plane, 8, (0.2, 0.3), 0.0, torch.Generator().manual_seed(1))
    span = (seen[:, :2].amax((2, 3)) - seen[:, :2].amin((2, 3))) * 8 / 7  # from centre to centre of the outer pixels
    area = span.prod(1)
    assert ((area > 0.19) & (area < 0.31)).all()
    assert ((span[:, 0] / span[:, 1] > 0.72) & (span[:, 0] / span[:, 1] < 1.4)).all()


def test_recolouring_by_nothing_changes_nothing():
    pixels, one, zero = (
        torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)),
        torch.ones(2),
        torch.zeros(2),
    )
    torch.testing.assert_close(recolour(pixels, one, one, one, zero), pixels, atol=1e-5, rtol=0)
    grey = recolour(pixels, one, one, zero, zero)
    luma = torch.einsum("c,bchw->bhw", torch.tensor([0.299, 0.587, 0.114]), pixels)
    torch.testing.assert_close(grey, luma[:, None].expand_as(grey), atol=1e-5, rtol=0)
    dim = recolour(pixels, 0.5 * one, one, one, zero)
    torch.testing.assert_close(dim, 0.5 * pixels, atol=1e-5, rtol=0)
    flat = recolour(pixels, one, zero, one, zero)
    torch.testing.assert_close(flat, luma.mean((1, 2))[:, None, None, None].expand_as(flat), atol=1e-5, rtol=0)


def test_turning_the_hue_keeps_the_light():
    pixels = 0.4 + 0.2 * torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    one, turn = torch.ones(3), torch.tensor([0.0, 1.0, 2.0])
    turned = recolour(pixels, one, one, one, turn)
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(
        torch.einsum("c,bchw->bhw", luma, turned), torch.einsum("c,bchw->bhw", luma, pixels), atol=1e-3, rtol=0
    )
    assert torch.allclose(turned[0], pixels[0], atol=1e-5) and not torch.allclose(turned[1], pixels[1], atol=0.02)


def test_blur_is_scipys():
    from scipy.ndimage import gaussian_filter1d

    pixels, deviation = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)), torch.tensor([0.4, 1.1])
    for picture, soft, sigma in zip(pixels, blur(pixels, deviation), deviation.tolist(), strict=True):
        expected = picture.double().numpy()
        for axis in (1, 2):
            expected = gaussian_filter1d(expected, sigma, axis=axis, mode="nearest", radius=3)
        np.testing.assert_allclose(soft, expected, atol=1e-5)


# The recipe


def test_schedules_start_and_end_where_they_say():
    assert cosine(0.99, 1.0, 0.0) == pytest.approx(0.99) and cosine(0.99, 1.0, 1.0) == pytest.approx(1.0)
    assert cosine(2.0, 4.0, 0.5) == pytest.approx(3.0) and cosine(2.0, 4.0, 7.0) == 4.0
    recipe = DinoRecipe(steps=100, warmup=10, lr=1.0)
    rates = [learning_rate(step, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[-1] < 0.02


def test_every_frame_is_seen_once_a_round():
    rows = np.arange(3, 83, 2)
    rounds = [np.concatenate([rows_of(step, rows, SMALL) for step in range(i, i + 5)]) for i in (0, 5)]
    for seen in rounds:
        assert sorted(seen) == list(rows)
    assert not np.array_equal(*rounds)
    assert not np.array_equal(rows_of(0, rows, SMALL), rows_of(0, rows, replace(SMALL, seed=1)))


def test_a_stopped_run_ends_where_an_unstopped_one_does(tmp_path, monkeypatch):
    pairs = pairs_of(40)
    for name in ("whole", "parts", "other"):
        (tmp_path / name).mkdir()
    whole = train(SMALL, pairs, tmp_path / "whole", TINY, save_every=2)
    step = Training.step

    def stop(training, batch):
        if training.done == 3:
            raise KeyboardInterrupt
        step(training, batch)

    monkeypatch.setattr(Training, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, pairs, tmp_path / "parts", TINY, save_every=2)
    monkeypatch.setattr(Training, "step", step)
    parts = train(SMALL, pairs, tmp_path / "parts", TINY, save_every=2)
    assert parts.history == whole.history and whole.done == 4
    assert torch.equal(parts.center, whole.center)
    for name in ("student", "teacher"):
        for key, value in getattr(whole, name).state_dict().items():
            assert torch.equal(getattr(parts, name).state_dict()[key], value), (name, key)
    other = train(replace(SMALL, seed=1), pairs, tmp_path / "other", TINY)
    assert other.history != whole.history
    with pytest.raises(InputError) as caught:
        train(replace(SMALL, steps=6), pairs, tmp_path / "whole", TINY)
    assert str(caught.value) == (
        f"{tmp_path / 'whole' / 'checkpoint.pt'} must be of the recipe that is run, got another recipe's; "
        "give another --work."
    )


def test_only_the_student_is_trained_and_prototypes_wait(tmp_path):
    training = Training(replace(SMALL, still=1, teacher_momentum=0.5), TINY)
    before = {name: p.detach().clone() for name, p in training.student.named_parameters()}
    frames = torch.from_numpy(pictures(8))
    training.step(frames)
    after = dict(training.student.named_parameters())
    assert torch.equal(after["head.prototypes"], before["head.prototypes"])
    assert not torch.equal(after["vit.embeddings.cls_token"], before["vit.embeddings.cls_token"])
    assert all(p.grad is None and not p.requires_grad for p in training.teacher.parameters())
    moved = training.teacher.vit.embeddings.cls_token
    expected = 0.5 * before["vit.embeddings.cls_token"] + 0.5 * after["vit.embeddings.cls_token"].detach()
    torch.testing.assert_close(moved, expected)
    training.step(frames)
    assert not torch.equal(after["head.prototypes"], before["head.prototypes"])


def test_student_and_teacher_start_alike_whatever_the_global_generator_does():
    state = torch.get_rng_state()
    first = Network(TINY, SMALL)
    torch.rand(1)
    moved = torch.get_rng_state()
    second = Network(TINY, SMALL)
    assert torch.equal(torch.get_rng_state(), moved) and not torch.equal(state, moved)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(Network(TINY, replace(SMALL, seed=1)).head.prototypes, first.head.prototypes)


def test_too_few_frames_are_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        train(SMALL, pairs_of(7), tmp_path, TINY)
    assert str(caught.value) == "frames of single must fill a batch (8), got 7; draw more."


def test_only_the_kinds_named_are_learnt_from(tmp_path, monkeypatch):
    pairs = pairs_of(24)
    pairs.kinds[::2], pairs.frames[::2] = "noise", 0
    seen = []
    monkeypatch.setattr(
        train_mini_dino, "draw_views", lambda frames, *rest: seen.append(frames) or draw_views(frames, *rest)
    )
    train(replace(SMALL, steps=2), pairs, tmp_path, TINY)
    assert len(seen) == 2 and all(batch.amax((1, 2, 3)).min() > 0 for batch in seen)


def striped(count):
    """Pictures of four kinds: a bright stripe on one of four sides of a dark, noisy ground."""
    frames = pictures(count, seed=3) // 4
    for i, frame in enumerate(frames):
        stripe = np.rot90(frame, i % 4)
        stripe[:12] = 200
    return frames


def test_centring_is_what_prevents_the_collapse():
    """With DINO's centre the teacher tells views apart; with one that never moves it ends on one prototype."""
    views = replace(VIEWS, flip=0.0, solarise=0.0, global_area=(0.6, 1.0))
    recipe = replace(SMALL, steps=40, batch=16, views=views, teacher_momentum=0.9)
    frames = torch.from_numpy(striped(16))
    used = {}
    for momentum in (0.9, 1.0):
        training = Training(replace(recipe, center_momentum=momentum), TINY)
        for _ in range(recipe.steps):
            training.step(frames)
        used[momentum] = float(np.mean(training.history["used"][-10:]))
    assert used[1.0] < 1.01 and used[0.9] > 2


# Measuring and the card


def test_purity_by_hand():
    features = np.array([[1, 0], [1, 0.1], [1, 0.3], [0, 1], [0.1, 1]])
    classes = np.array(["a", "a", "b", "b", "b"])
    assert dino_card.class_purity(features, classes, 1) == pytest.approx(4 / 5)
    assert dino_card.chance_purity(classes) == pytest.approx((2 * 1 / 4 + 3 * 2 / 4) / 5)
    shuffled = np.random.default_rng(0).permutation(np.repeat(["a", "b"], 400))
    noisy = np.random.default_rng(1).normal(size=(800, 4))
    assert dino_card.class_purity(noisy, shuffled, 20) == pytest.approx(dino_card.chance_purity(shuffled), abs=0.02)


def test_from_nothing_to_a_model_and_its_card(tmp_path, monkeypatch):
    out = tmp_path / "dino"
    options = ["--cache", str(tmp_path / "pairs"), "--work", str(tmp_path / "work"), "--workers", "1"]
    options += ["--frames", "64", "--held-out", "40", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(out), *options])
    train_mini_dino.main()
    made = json.loads((out / "training.json").read_text())
    card = (out / "README.md").read_text()
    assert "| trained, patches | " in card and "| raw pixels | " in card and "| chance | " in card
    assert f"{made['parameters']:,} parameters" in card and made["parameters"] == 1_239_936
    held_out = PairsConfig(count=40, split=train_mini_dino.TEST_SPLIT, mix=tuple(ENCODER_MIX.items()))
    pairs = draw_pairs(held_out, tmp_path / "pairs", workers=1)
    loaded = load_dino(out)
    assert isinstance(loaded, Dino) and loaded.features(pairs.frames[:3]).shape == (3, 128)
    again = dino_card.measure_features({"trained": loaded}, pairs, held_out)
    assert again["frames"] == made["features"]["frames"] and again["chance"] == made["features"]["chance"]
    assert again["purity"]["raw pixels"] == made["features"]["purity"]["raw pixels"]
