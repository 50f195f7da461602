"""The takes' views and loss, purity and affinity by hand, and the recipe from nothing to a loadable model."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from moca.errors import InputError
from moca.foundation.dino import Dino, load_dino
from recipes import dino_card, train_mini_dino
from recipes.schedule import cosine, learning_rate, rows_of
from recipes.stage_pairs import PairsConfig, draw_pairs
from recipes.stage_takes import TakesConfig, draw_takes, takes_tasks
from recipes.stepwise import Stepwise
from recipes.takes_net import TakesNet
from recipes.takes_views import ViewsConfig, crop, draw_views, takes_loss
from recipes.train_mini_dino import FindingTakes, Imitating, StepsRecipe, TakesRecipe, mini_config, train

VIEWS = ViewsConfig(pixels=16)
STEPS = StepsRecipe(steps=4, batch=8, warmup=1, views=VIEWS)
SMALL = TakesRecipe(steps=4, batch=8, warmup=1, hidden=16, projected=8, views=VIEWS, width=16, blocks=1)
PLAIN = replace(VIEWS, flip=0.0, brightness=0.0, contrast=0.0, permuted=0.0, grey=0.0)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def takes_of(count, side=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 2, side, side, 3), dtype=np.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The loss


def test_the_loss_is_the_naive_one():
    projected = noise(6, 5)
    first, second = (half / np.linalg.norm(half, axis=1, keepdims=True) for half in np.split(projected.numpy(), 2))
    total, found = 0.0, 0
    for one, other in ((first, second), (second, first)):
        for row in range(3):
            logits = 7.0 * other @ one[row]
            total -= np.log(np.exp(logits[row]) / np.exp(logits).sum()) / 6
            found += int(logits.argmax() == row)
    loss, share = takes_loss(projected, 7.0)
    assert loss.item() == pytest.approx(total, rel=1e-5) and share.item() == pytest.approx(found / 6)


def test_takes_that_belong_together_lose_little_and_all_alike_lose_the_logarithm():
    alike = noise(8, 5).repeat(2, 1)
    loss, found = takes_loss(alike, 50.0)
    assert loss < 0.05 and found == 1
    swapped, missed = takes_loss(torch.cat([alike[:8], alike[8:].roll(1, 0)]), 50.0)
    assert swapped > 5 and missed == 0
    same, _ = takes_loss(torch.ones(16, 5), 50.0)
    assert same.item() == pytest.approx(np.log(8), rel=1e-5)


# The views


def test_views_have_their_size_and_follow_the_generator():
    takes = torch.from_numpy(takes_of(3, side=40))
    first, same, other = (draw_views(takes, VIEWS, seeded(seed)) for seed in (4, 4, 5))
    assert first.shape == (6, 3, 16, 16) and first.isfinite().all()
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_first_takes_come_first():
    takes = torch.zeros(3, 2, 32, 32, 3, dtype=torch.uint8)
    takes[:, 1] = 255
    light = draw_views(takes, PLAIN, seeded()).mean((1, 2, 3))
    assert (light[:3] < 0).all() and (light[3:] > 0).all()


def test_permuting_keeps_the_channels_and_grey_loses_them():
    takes = torch.zeros(32, 2, 32, 32, 3, dtype=torch.uint8)
    takes[..., 0], takes[..., 1] = 200, 100

    def colours(**changed):
        mean, std = (torch.tensor(x).reshape(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        views = draw_views(takes, replace(PLAIN, **changed), seeded(1)) * std + mean
        return (views.mean((2, 3)) * 255).round().int()

    assert (colours() == torch.tensor([200, 100, 0])).all()
    permuted = colours(permuted=1.0)
    assert (permuted.sort(1).values == torch.tensor([0, 100, 200])).all() and len({*map(tuple, permuted.tolist())}) > 3
    assert (colours(grey=1.0) - (200 * 0.299 + 100 * 0.587)).abs().max() < 1
    assert colours(brightness=0.4)[:, 0].float().std() > 5 and (colours(brightness=0.4)[:, 2] == 0).all()


def test_a_crop_of_everything_is_the_picture_and_may_be_its_mirror():
    columns = torch.linspace(0, 1, 16).expand(64, 3, 16, 16)
    torch.testing.assert_close(crop(columns, 16, (4.0, 4.0), 0.0, seeded()), columns)
    torch.testing.assert_close(crop(columns, 16, (4.0, 4.0), 1.0, seeded()), columns.flip(3))
    both = crop(columns, 16, (4.0, 4.0), 0.5, seeded())
    assert 0.2 < (both[:, 0, 0, 0] > 0.5).float().mean() < 0.8


def test_a_crop_shows_its_share_of_the_picture():
    ramp = torch.linspace(0, 1, 64)
    plane = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)]).expand(200, 3, 64, 64)
    seen = crop(plane, 8, (0.2, 0.3), 0.0, seeded(1))
    span = (seen[:, :2].amax((2, 3)) - seen[:, :2].amin((2, 3))) * 8 / 7  # from centre to centre of the outer pixels
    area = span.prod(1)
    assert ((area > 0.19) & (area < 0.31)).all()
    assert ((span[:, 0] / span[:, 1] > 0.72) & (span[:, 0] / span[:, 1] < 1.4)).all()


# The takes on disk


def test_takes_are_drawn_once_and_read_again(tmp_path):
    config = TakesConfig(count=3, split="takes-train", size=32)
    takes = draw_takes(config, tmp_path, workers=1)
    assert takes.shape == (3, 2, 32, 32, 3) and takes.dtype == np.uint8
    stamp = next(tmp_path.rglob("takes.npy")).stat().st_mtime_ns
    np.testing.assert_array_equal(draw_takes(config, tmp_path, workers=1), takes)
    assert next(tmp_path.rglob("takes.npy")).stat().st_mtime_ns == stamp
    other = draw_takes(replace(config, split="dino-val"), tmp_path, workers=1)
    assert not np.array_equal(other, takes)
    assert takes_tasks(replace(config, count=9))[:3] == takes_tasks(config)  # more are the same and more


# The recipe


def test_schedules_start_and_end_where_they_say():
    assert cosine(0.99, 1.0, 0.0) == pytest.approx(0.99) and cosine(0.99, 1.0, 1.0) == pytest.approx(1.0)
    assert cosine(2.0, 4.0, 0.5) == pytest.approx(3.0) and cosine(2.0, 4.0, 7.0) == 4.0
    recipe = StepsRecipe(steps=100, warmup=10, lr=1.0)
    rates = [learning_rate(step, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[-1] < 0.02


def test_every_row_is_seen_once_a_round():
    rows = np.arange(3, 83, 2)
    rounds = [np.concatenate([rows_of(step, rows, SMALL) for step in range(i, i + 5)]) for i in (0, 5)]
    for seen in rounds:
        assert sorted(seen) == list(rows)
    assert not np.array_equal(*rounds)
    assert not np.array_equal(rows_of(0, rows, SMALL), rows_of(0, rows, replace(SMALL, seed=1)))


def test_a_stopped_run_ends_where_an_unstopped_one_does(tmp_path, monkeypatch):
    takes = takes_of(40)
    for name in ("whole", "parts", "other"):
        (tmp_path / name).mkdir()
    wholes = train(SMALL, STEPS, takes, tmp_path / "whole")
    step, taken = Stepwise.step, []

    def stop(training, rows):
        if len(taken) in (3, 7):  # once in each of the two trainings
            taken.append("stopped")
            raise KeyboardInterrupt
        taken.append("done")
        step(training, rows)

    run = Stepwise.run
    monkeypatch.setattr(Stepwise, "run", lambda *given, **named: run(*given, **named, save_every=2))
    monkeypatch.setattr(Stepwise, "step", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(SMALL, STEPS, takes, tmp_path / "parts")
    parts = train(SMALL, STEPS, takes, tmp_path / "parts")
    assert taken.count("stopped") == 2
    for whole, part in zip(wholes, parts, strict=True):
        assert part.history == whole.history and whole.done == 4
        for key, value in whole.network.state_dict().items():
            assert torch.equal(part.network.state_dict()[key], value), key
    other, _ = train(replace(SMALL, seed=1), STEPS, takes, tmp_path / "other")
    assert other.history != wholes[0].history
    with pytest.raises(InputError) as caught:
        train(replace(SMALL, steps=6), STEPS, takes, tmp_path / "whole")
    assert str(caught.value) == (
        f"{tmp_path / 'whole' / 'takes.pt'} must be of the recipe that is run, got another recipe's; "
        "give another --work."
    )


def test_the_start_is_ruled_by_the_seed_alone():
    state = torch.get_rng_state()
    first = FindingTakes(SMALL).network
    torch.rand(1)
    moved = torch.get_rng_state()
    second = FindingTakes(SMALL).network
    assert torch.equal(torch.get_rng_state(), moved) and not torch.equal(state, moved)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    other = FindingTakes(replace(SMALL, seed=1)).network
    assert any(not torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True))


def test_the_net_and_its_head_learn_and_only_the_convnext_imitates():
    finding, takes = FindingTakes(SMALL), torch.from_numpy(takes_of(8))
    before = {name: p.detach().clone() for name, p in finding.network.named_parameters()}
    finding.step(takes)
    still = {name for name, p in finding.network.named_parameters() if torch.equal(p, before[name])}
    assert not {name for name in still if not name.endswith("bias")}  # a norm takes away what a bias before it adds
    imitating = Imitating(STEPS, finding.network["net"], mini_config(16))
    taught = {name: p.detach().clone() for name, p in imitating.net.state_dict().items()}
    start = {name: p.detach().clone() for name, p in imitating.network.named_parameters()}
    imitating.step(takes)
    assert all(torch.equal(value, taught[name]) for name, value in imitating.net.state_dict().items())
    assert not {name for name, p in imitating.network.named_parameters() if torch.equal(p, start[name])}


def test_a_place_of_the_convnext_is_one_of_the_net():
    net, model = TakesNet(16, 1), Imitating(STEPS, TakesNet(16, 1), mini_config(16)).network
    views = noise(2, 3, 32, 32)
    assert net(views).shape == (2, 16, 4, 4)
    enlarged = train_mini_dino.doubled(views, model.config)
    assert enlarged.shape == (2, 3, 64, 64) and model(enlarged).last_hidden_state.shape == (2, 17, 16)


def test_objects_in_changing_scenes_are_found_and_what_finds_them_is_imitated():
    """A bright stripe on one of four sides of noise that differs between takes: both losses fall."""
    takes = takes_of(64, seed=3) // 4
    for number, pair in enumerate(takes):
        for take in pair:
            np.rot90(take, number % 4)[:12] = 200
    batches = [torch.from_numpy(takes[start : start + 4]) for start in range(0, 64, 4)]
    views = replace(VIEWS, area=(0.9, 1.0), flip=0.0)
    finding = FindingTakes(replace(SMALL, steps=48, batch=4, lr=1e-2, views=views))
    for step in range(48):
        finding.step(batches[step % 16])
    last = finding.told()["last"]
    assert last["loss"] < 0.7 * np.log(4) and last["found"] > 0.7
    imitating = Imitating(replace(STEPS, steps=48, lr=1e-2, views=views), finding.network["net"], mini_config(16))
    for step in range(48):
        imitating.step(batches[step % 16])
    assert np.mean(imitating.history["loss"][-8:]) < 0.6 * np.mean(imitating.history["loss"][:3])


def test_too_few_objects_are_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        train(SMALL, STEPS, takes_of(7), tmp_path)
    assert str(caught.value) == "objects must fill a batch (8), got 7; draw more."


# Measuring and the card


def test_purity_by_hand():
    features = np.array([[1, 0], [1, 0.1], [1, 0.3], [0, 1], [0.1, 1]])
    classes = np.array(["a", "a", "b", "b", "b"])
    assert dino_card.class_purity(features, classes, 1) == pytest.approx(4 / 5)
    assert dino_card.chance_purity(classes) == pytest.approx((2 * 1 / 4 + 3 * 2 / 4) / 5)
    shuffled = np.random.default_rng(0).permutation(np.repeat(["a", "b"], 400))
    noisy = np.random.default_rng(1).normal(size=(800, 4))
    assert dino_card.class_purity(noisy, shuffled, 20) == pytest.approx(dino_card.chance_purity(shuffled), abs=0.02)


def test_affinity_by_hand():
    """An object of 2 x 2 places in a grid of 4: three inside places beside its middle, twelve outside."""
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    cells = np.tile(np.float32([0, 1]), (4, 4, 1))
    cells[1:3, 1:3] = (1, 0)
    assert dino_card.patch_affinity(cells, mask) == 1
    assert dino_card.patch_affinity(np.ones((4, 4, 2), np.float32), mask) == 0.5  # all alike: ties
    cells[1, 1], cells[0, 0] = (0, 1), (1, 0)  # whichever is the middle, one of three inside is like the outside
    pairs = dino_card.patch_affinity(cells, mask)
    inside, outside = np.array([1, 1, 0]), np.array([1] + [0] * 11)
    by_hand = [[0.5 * (a == b) + (a > b) for b in outside] for a in inside]
    middle_is_unlike = [[0.5 * (a == b) + (a > b) for b in 1 - outside] for a in 1 - np.array([1, 1, 1])]
    assert pairs in (pytest.approx(np.mean(by_hand)), pytest.approx(np.mean(middle_is_unlike)))
    assert np.isnan(dino_card.patch_affinity(cells, np.zeros((16, 16), bool)))
    assert np.isnan(dino_card.patch_affinity(cells, np.ones((16, 16), bool)))


def test_from_nothing_to_a_model_and_its_card(tmp_path, monkeypatch):
    out = tmp_path / "dino"
    options = ["--cache", str(tmp_path / "pairs"), "--work", str(tmp_path / "work"), "--workers", "1"]
    options += ["--objects", "8", "--batch", "4", "--held-out", "60", "--steps", "1", "1", "--seeds", "0", "1"]
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(out), *options])
    train_mini_dino.main()
    made = json.loads((out / "training.json").read_text())
    card = (out / "README.md").read_text()
    assert "| trained, patches | " in card and "| raw pixels | " in card and "| chance | " in card
    assert "| raw colours | " in card and "all seeds" in card and f"{made['parameters']:,} parameters" in card
    assert (out / "model.safetensors").stat().st_size < 2.5e6
    held_out = PairsConfig(count=60, split=train_mini_dino.TEST_SPLIT, mix=train_mini_dino.TEST_MIX)
    pairs = draw_pairs(held_out, tmp_path / "pairs", workers=1)
    loaded = load_dino(out)
    assert isinstance(loaded, Dino) and loaded.features(pairs.frames[:3]).shape == (3, 128)
    assert loaded.patches(pairs.frames[:3]).shape == (3, 14, 14, 128)
    again = dino_card.measure_features({"trained": loaded}, pairs, held_out)
    shipped = made["runs"][0]
    assert again["frames"] == shipped["features"]["frames"] and again["chance"] == shipped["features"]["chance"]
    assert again["purity"]["raw pixels"] == shipped["features"]["purity"]["raw pixels"]
    auc = dino_card.measure_affinity({"trained": loaded}, pairs)["auc"]
    assert auc["trained"] == pytest.approx(shipped["affinity"]["auc"]["trained"], abs=0.01)
