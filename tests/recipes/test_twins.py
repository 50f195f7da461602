"""The one loop of the supervised models: resumed where it stopped, averaged, clipped, recorded."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.progress import Progress
from torch import nn

from moca.errors import InputError
from recipes import (
    twins,
)
from recipes.schedule import learning_rate, rows_of
from recipes.twins import SPLITS, Training, TwinRecipe, scenes_of, train_twin, twin_parser

SMALL = TwinRecipe(scenes=20, steps=5, batch=4, warmup=2, lr=0.05, average=0.5)
COUNT = 20


class Quiet(Progress):
    """No bar: drawing it again and again takes longer than a tiny model's steps."""

    def __init__(self, *columns):
        super().__init__(*columns, disable=True)


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setattr(twins, "Progress", Quiet)


def network():
    """A bit of everything: matrices, vectors, what is frozen, and what draws from the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Dropout(0.3), nn.Linear(8, 1))
    model[0].bias.requires_grad_(False)
    return model


def loss_of(model, rows, rng):
    """Regression on rows, with noise from the generator."""
    inputs = np.stack([np.sin(rows), np.cos(rows), rng.normal(size=len(rows))], 1).astype(np.float32)
    error = model(torch.from_numpy(inputs))[:, 0] - torch.from_numpy(rows.astype(np.float32))
    loss = error.square().mean()
    return loss, {"worst": error.detach().abs().max().item()}


def run(work, recipe=SMALL, loss=loss_of, **options):
    return train_twin(network(), loss, recipe, COUNT, work, name="net", save_every=2, **options)


def states(training):
    return {"model": training.model.state_dict(), "average": training.average.state_dict()}


def test_a_stopped_run_ends_where_an_unstopped_one_does(tmp_path):
    whole = run(tmp_path / "whole")
    calls = []

    def stopped(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss_of(*given)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", loss=stopped)
    assert torch.load(tmp_path / "parts" / "net.pt", weights_only=True)["done"] == 2
    parts = run(tmp_path / "parts")
    assert parts.history == whole.history and parts.done == whole.done == 5
    for name, state in states(whole).items():
        for key, value in state.items():
            assert torch.equal(states(parts)[name][key], value), (name, key)
    other = run(tmp_path / "other", replace(SMALL, seed=1))
    assert other.history != whole.history
    assert not torch.equal(other.model[0].weight, whole.model[0].weight)


def test_a_finished_run_is_not_gone_on_with(tmp_path):
    first = run(tmp_path)

    def never(*given):
        raise AssertionError("a step was taken")

    again = run(tmp_path, loss=never)
    assert again.history == first.history and again.seconds == first.seconds > 0
    assert torch.equal(again.averaged()[0].weight, first.averaged()[0].weight)


def test_another_recipes_checkpoint_is_refused_and_stays(tmp_path):
    run(tmp_path)
    before = (tmp_path / "net.pt").read_bytes()
    for other in (replace(SMALL, steps=6), replace(SMALL, seed=1), replace(SMALL, bf16=True)):
        with pytest.raises(InputError) as caught:
            run(tmp_path, other)
        assert str(caught.value) == (
            f"{tmp_path / 'net.pt'} must be of the recipe that is run, got another recipe's; give another --work."
        )
    assert (tmp_path / "net.pt").read_bytes() == before


def test_the_running_average_is_what_is_kept():
    training, expected = Training(network().train(), SMALL), None
    for _ in range(4):
        training.step(loss_of, COUNT)
        now = training.model[3].weight.detach().clone()
        expected = now if expected is None else 0.5 * expected + 0.5 * now
    kept = training.averaged()
    torch.testing.assert_close(kept[3].weight.detach(), expected)
    assert not torch.allclose(kept[3].weight, training.model[3].weight, atol=1e-4)
    assert not kept.training and training.model.training


def test_a_step_is_the_recipes(monkeypatch):
    training, seen = Training(network().train(), replace(SMALL, clip=0.01)), []
    before = copy.deepcopy(training.model)

    def watched(model, rows, rng):
        seen.append((rows, rng.random()))
        return loss_of(model, rows, rng)

    for _ in range(5):
        training.step(watched, COUNT)
        norm = torch.stack([p.grad.norm() for p in training.model.parameters() if p.grad is not None]).norm()
        assert norm <= 0.01 + 1e-6  # of losses of hundreds
        step = training.done - 1
        [adamw] = training.optimisers
        rate = learning_rate(step, training.recipe)
        assert [group["lr"] for group in adamw.param_groups] == pytest.approx([rate, rate])
        np.testing.assert_array_equal(seen[-1][0], rows_of(step, np.arange(COUNT), training.recipe))
    assert sorted(np.concatenate([rows for rows, _ in seen])) == list(range(COUNT))
    assert len({draw for _, draw in seen}) == 5
    assert torch.equal(training.model[0].bias, before[0].bias)
    assert not torch.equal(training.model[0].weight, before[0].weight)


def test_only_matrices_decay_and_frozen_ones_are_left_out():
    training = Training(network(), SMALL)
    [adamw] = training.optimisers
    matrices, vectors = (group["params"] for group in adamw.param_groups)
    assert {id(p) for p in matrices} == {id(training.model[i].weight) for i in (0, 3)}
    assert {id(p) for p in vectors} == {id(p) for p in (*training.model[1].parameters(), training.model[3].bias)}
    assert [group["weight_decay"] for group in adamw.param_groups] == [SMALL.weight_decay, 0.0]


def test_muon_moves_the_matrices_of_linear_layers_at_its_own_rate(tmp_path):
    recipe = replace(SMALL, muon=0.1, clip=1e9)
    model = nn.Sequential(nn.Embedding(COUNT, 3), network())
    model[1][3].weight.requires_grad_(False)

    def loss_of(model, rows, rng):
        return model(torch.from_numpy(rows)).square().mean(), {}

    training = Training(model.train(), recipe)
    adamw, muon = training.optimisers
    assert [p is model[1][0].weight for p in muon.param_groups[0]["params"]] == [True]
    assert [p is model[0].weight for p in adamw.param_groups[0]["params"]] == [True]
    for step in range(3):
        before = model[1][0].weight.detach().clone()
        training.step(loss_of, COUNT)
        rate = learning_rate(step, recipe)
        assert muon.param_groups[0]["lr"] == pytest.approx(2 * rate)  # 0.1 beside 0.05
        assert adamw.param_groups[0]["lr"] == pytest.approx(rate)
        moved = (model[1][0].weight - before * (1 - 2 * rate * recipe.weight_decay)).detach()
        singular = torch.linalg.svdvals(moved) / (0.2 * 2 * rate * 8**0.5)  # AdamW's measure: 0.2 of the longer side
        assert singular.min() > 0.6 and singular.max() < 1.3  # all directions alike
    training.save(tmp_path / "net.pt")
    again = Training(copy.deepcopy(model), recipe)
    again.resume(tmp_path / "net.pt")
    for run in (training, again):
        run.step(loss_of, COUNT)
    assert torch.equal(again.model[1][0].weight, training.model[1][0].weight)


def test_bfloat16_is_for_the_forward_pass_only():
    types = []

    def watched(model, rows, rng):
        types.append(model[0](torch.ones(1, 3)).dtype)
        return loss_of(model, rows, rng)

    for bf16 in (False, True):
        training = Training(network().train(), replace(SMALL, bf16=bf16))
        training.step(watched, COUNT)
        assert all(p.dtype == torch.float32 for p in training.averaged().parameters())
        assert np.isfinite(training.history["loss"]).all()
    assert types == [torch.float32, torch.bfloat16]


def test_every_step_is_recorded():
    training = Training(network().train(), SMALL)
    for _ in range(5):
        training.step(loss_of, COUNT)
    assert set(training.history) == {"loss", "worst"} and all(len(v) == 5 for v in training.history.values())
    assert training.recent(2) == {name: pytest.approx(np.mean(v[-2:])) for name, v in training.history.items()}
    assert training.recent()["loss"] == pytest.approx(np.mean(training.history["loss"]))


def test_a_second_round_knows_of_the_first():
    recipes = [SMALL, replace(SMALL, lr=0.01), replace(SMALL, lr=0.002)]
    first, second, third = (Training(network(), recipe, seconds=10.0) for recipe in recipes)
    assert third.after(second.after(first)) is third
    assert third.rounds == recipes[:2] and third.recipe == recipes[2] and third.seconds == 30.0
    assert first.rounds == [] and first.seconds == 10.0


def test_scripts_learn_from_one_split_and_are_measured_on_others(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(twins, "draw_scenes", lambda config, cache, workers: asked.append((config, cache, workers)))
    options = twin_parser("words", "net", 7).parse_args(["--scenes", "40", "--held-out", "9", "--seed", "3"])
    for split in ("train", "val", "test"):
        scenes_of(split, options)
    assert [config.count for config, *_ in asked] == [40, 9, 9] and {config.seed for config, *_ in asked} == {3}
    assert [config.split for config, *_ in asked] == list(SPLITS.values()) and len(set(SPLITS.values())) == 3
    assert options.steps == 7 and options.out.parts == ("weights", "mini", "net")
