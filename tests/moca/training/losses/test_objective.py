"""The loss of a step: what it is made of, what it depends on, and whom it teaches."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moca.core.loudness import level_dbfs
from moca.errors import InputError
from moca.mining import MiningConfig
from moca.training.config import LabelConfig, TrainConfig
from moca.training.losses import distillation, triplets
from moca.training.losses.distillation import COSINE_SCALE, coloured_noise, distillation_loss
from moca.training.losses.objective import Objective
from moca.training.losses.pixel_matching import triplet_loss
from moca.training.losses.preparing import prepare
from moca.training.losses.triplets import ImageFeatures

LABELS = LabelConfig(alike=3, unlike=4, refine=False)
MINING = MiningConfig(source="audio", neighbours=3)
BOTH = TrainConfig(
    batch=6, matching=0.7, distillation=1.3, mining=MINING, labels=LABELS, readout="learned",
    noise=0.3, keep=0.5, dice=0.5,
)  # fmt: skip
DISTILLING = replace(BOTH, matching=0.0, distillation=1.0)
MATCHING = replace(BOTH, matching=1.0, distillation=0.0, readout="cosine")
UNWEIGHED = replace(LABELS, absent=10.0, present=10.0)  # nothing is doubtful, so every pair weighs the same


@pytest.fixture
def make(encoder, corpus, attach, randomise, tmp_path):
    """make(config, randomised=True) -> Objective around towers of its own."""

    def build(config=BOTH, *, randomised=True, data=corpus, folder=tmp_path, **options):
        towers = attach(8 if config.readout == "learned" else None)
        prepared = prepare(encoder, data, config, folder, **options)
        return Objective(encoder, randomise(towers) if randomised else towers, data, config, prepared)

    return build


def refusal(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def watched(monkeypatch, owner, name):
    """The (positional arguments, result) of every call of owner.name."""
    calls, original = [], getattr(owner, name)

    def call(*arguments, **keywords):
        result = original(*arguments, **keywords)
        calls.append((arguments, result))
        return result

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, call)
        yield calls


def test_loss_is_the_weighed_sum_of_its_parts(make):
    loss, logged = make().loss(3)
    assert loss.ndim == 0 and loss.requires_grad and logged.keys() == {"matching", "active", "distillation"}
    assert loss.item() == pytest.approx(0.7 * logged["matching"] + 1.3 * logged["distillation"], rel=1e-5)
    assert 0 <= logged["active"] <= 1 and all(isinstance(value, float) for value in logged.values())
    for change, names in (({"matching": 0.0}, {"distillation"}), ({"distillation": 0.0}, {"matching", "active"})):
        config = replace(BOTH, **({"matching": 1.0, "distillation": 1.0, "readout": "cosine"} | change))
        loss, logged = make(config).loss(3)
        assert logged.keys() == names
        assert loss.item() == pytest.approx(logged[min(names, key="distillation matching active".find)])


def test_loss_is_a_pure_function_of_seed_and_step(make, tmp_path):
    first = make()
    losses = [first.loss(step)[0].item() for step in range(4)]
    torch.manual_seed(7)
    np.random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for again in (first, make(), make(folder=tmp_path / "elsewhere")):
        assert [again.loss(step)[0].item() for step in reversed(range(4))] == losses[::-1]
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert len(set(losses)) == 4
    assert make(replace(BOTH, seed=1)).loss(0)[0].item() != losses[0]


def test_labels_and_neighbours_do_not_depend_on_the_runs_seed(make):
    one, other = make(), make(replace(BOTH, seed=9))
    np.testing.assert_array_equal(one.distillation.labels.targets, other.distillation.labels.targets)
    np.testing.assert_array_equal(one.matching.mined.table.indices, other.matching.mined.table.indices)


@pytest.mark.parametrize("config", [BOTH, DISTILLING, MATCHING], ids=["both", "distilling", "matching"])
def test_gradients_reach_adapters_and_read_out_and_nothing_else(make, encoder, config):
    objective = make(config)
    assert all(parameter.requires_grad for parameter in encoder.modality_heads.parameters())
    objective.loss(0)[0].backward()
    for name, parameter in objective.towers.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    trunks = [*encoder.modality_trunks.parameters(), *encoder.modality_preprocessors.parameters()]
    trunks += [*encoder.modality_heads["audio"].parameters()]
    assert all(parameter.grad is None for parameter in trunks)


def test_encoder_given_with_frozen_heads_stays_without_gradients(make, encoder):
    encoder.requires_grad_(False)
    objective = make()
    objective.loss(0)[0].backward()
    assert all(parameter.grad is None for parameter in encoder.parameters())


@pytest.mark.parametrize("config", [DISTILLING, replace(DISTILLING, readout="cosine"), MATCHING])
def test_steps_down_the_gradient_lower_the_loss(make, config):
    objective = make(replace(config, noise=0.0), randomised=config.readout == "cosine")
    optimiser = torch.optim.Adam(objective.towers.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss, _ = objective.loss(0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_before_training_only_the_read_out_learns_then_the_adapters_follow(make):
    objective = make(DISTILLING, randomised=False)
    optimiser = torch.optim.SGD(objective.towers.parameters(), lr=0.1)
    reached = []
    for step in range(2):
        optimiser.zero_grad()
        objective.loss(step)[0].backward()
        optimiser.step()
        named = objective.towers.named_parameters()
        reached.append({name.split(".")[-2:][0] for name, parameter in named if parameter.grad.abs().sum() > 0})
    assert reached[0] == {"readout"} and reached[1] == {"readout", "up"}


def test_the_read_out_has_a_rate_of_its_own(make):
    for config, names in ((DISTILLING, ["adapters", "readout"]), (MATCHING, ["adapters"])):
        objective = make(config)
        groups = objective.parameter_groups()
        assert [group.name for group in groups] == names
        assert [group.lr for group in groups] == [config.lr, config.readout_lr][: len(names)]
        trained = [parameter for parameter in objective.towers.parameters() if parameter.requires_grad]
        assert {id(each) for group in groups for each in group.parameters} == {id(each) for each in trained}
        assert sum(len(group.parameters) for group in groups) == len(trained)


# --- distillation ---------------------------------------------------------------------------------------------------


def logits_of(monkeypatch, objective, step=0):
    """Logits (B, S, n) of a step, and its targets and weights."""
    with watched(monkeypatch, distillation, "distillation_loss") as calls:
        objective.loss(step)
    (((logits, targets, weights), _),) = calls
    sounds = len(logits) // objective.config.batch
    return tuple(part.detach().unflatten(0, (-1, sounds)) for part in (logits, targets, weights))


def heard_by(monkeypatch, objective):
    return watched(monkeypatch, objective.distillation.adapted, "hear")


def test_the_read_out_hears_through_the_adapters_alone(make, monkeypatch):
    def differ(config, randomised):
        objective = make(config, randomised=randomised)
        if not randomised and objective.towers.readout is not None:
            torch.nn.init.normal_(objective.towers.readout, generator=torch.Generator().manual_seed(0))
        own, other = logits_of(monkeypatch, objective)[0].unbind(1)
        assert own.std() > 0.01
        return not torch.allclose(own, other, atol=1e-5)

    assert not differ(DISTILLING, False)  # zero exit: the same frame looks the same under both sounds
    assert differ(DISTILLING, True)
    assert differ(replace(DISTILLING, readout="cosine"), False)  # the cosine hears by itself


@pytest.mark.parametrize("readout", ["learned", "cosine"])
def test_logits_and_targets_agree_with_the_whole_towers_one_pair_at_a_time(make, encoder, corpus, monkeypatch, readout):
    objective = make(replace(DISTILLING, readout=readout, keep=1.0, noise=0.0))
    towers, labels, adapted = objective.towers, objective.distillation.labels, objective.distillation.adapted
    with watched(monkeypatch, adapted, "prefix") as frames, watched(monkeypatch, adapted, "hear") as heard:
        logits, targets, weights = logits_of(monkeypatch, objective)
    rows, waves = frames[0][0][0], heard[0][0][0].reshape(6, 2, -1)
    for anchor, row in enumerate(rows):
        index = labels.rows.tolist().index(row)
        for pair in range(2):
            heard_rows = [s for s in labels.sounds[index] if np.array_equal(corpus.sound(s), waves[anchor, pair])]
            column = labels.sounds[index].tolist().index(heard_rows[0])
            assert column == 0 if pair == 0 else column > 0 or heard_rows[0] == row
            pixels, mels = adapted.reader.pixels(corpus.frames[[row]]), adapted.reader.mels(waves[[anchor], pair])
            patches = encoder.project_image(towers(pixels, mels))[0]
            if readout == "learned":
                expected = towers.score(patches)
            else:
                sound = F.normalize(encoder.embed_audio(mels)[0], dim=-1)
                expected = COSINE_SCALE * (patches @ sound - labels.centre)
            torch.testing.assert_close(logits[anchor, pair], expected, atol=2e-4, rtol=1e-4)
            if pair == 0:
                expected = torch.from_numpy(labels.targets[index, 0].ravel() / 255).float()
                torch.testing.assert_close(targets[anchor, 0], expected)
            assert weights[anchor, pair] == labels.weights[index, column]


@pytest.mark.parametrize(("keep", "count"), [(1.0, 16), (0.5, 8), (0.01, 1)])
def test_keep_is_the_share_of_patches_that_is_seen(make, monkeypatch, keep, count):
    objective = make(replace(DISTILLING, keep=keep))
    with watched(monkeypatch, objective.towers, "suffix") as calls:
        logits, targets, _ = logits_of(monkeypatch, objective)
    assert calls[0][0][0].shape == (12, 1 + count, 16)
    assert logits.shape == targets.shape == (6, 2, count)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_share_of_the_other_sounds_is_noise_that_nothing_makes(make, corpus, monkeypatch, noise):
    objective = make(replace(DISTILLING, noise=noise))
    with watched(monkeypatch, distillation, "coloured_noise") as drawn, heard_by(monkeypatch, objective) as heard:
        _, targets, weights = logits_of(monkeypatch, objective)
    waves = heard[0][0][0].reshape(6, 2, -1)
    corpus_waves = {wave.tobytes() for wave in corpus.sound(slice(None))}
    assert all(wave.tobytes() in corpus_waves for wave in waves[:, 0])
    assert [wave.tobytes() in corpus_waves for wave in waves[:, 1]] == [not noise] * 6
    if noise:
        np.testing.assert_array_equal(waves[:, 1], drawn[0][1])
        assert not targets[:, 1].any() and (weights[:, 1] == 1).all()
    assert targets[:, 0].any()


def test_without_other_sounds_every_anchor_has_its_own(make, monkeypatch):
    objective = make(replace(DISTILLING, labels=replace(LABELS, other_sounds=0), noise=1.0))
    logits, _, weights = logits_of(monkeypatch, objective)
    assert logits.shape == (6, 1, 8) and (weights == 1).all()


@pytest.mark.parametrize("dice", [0.0, 0.8])
def test_distillation_loss_agrees_with_a_loop(dice):
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(5, 7)), generator.random((5, 7))
    targets[1] = 0
    weights = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    entropy, overlaps = [], []
    for pair in np.flatnonzero(weights):
        predicted = 1 / (1 + np.exp(-logits[pair]))
        terms = [t * np.log(p) + (1 - t) * np.log(1 - p) for p, t in zip(predicted, targets[pair], strict=True)]
        entropy.append(-np.mean(terms))
        if targets[pair].sum() > 0.5:
            overlaps.append((2 * (predicted * targets[pair]).sum() + 1) / (predicted.sum() + targets[pair].sum() + 1))
    expected = np.mean(entropy) + dice * (1 - np.mean(overlaps))
    given = [torch.from_numpy(array) for array in (logits, targets, weights)]
    assert distillation_loss(*given, dice=dice).item() == pytest.approx(expected)


def test_distillation_loss_at_its_bounds():
    targets = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0]])
    weights = torch.ones(2)
    right, wrong = 40 * (2 * targets - 1), 40 * (1 - 2 * targets)
    assert distillation_loss(right, targets, weights, dice=1.0).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(wrong, targets, weights, dice=1.0).item() > 40
    assert distillation_loss(wrong, targets, torch.zeros(2), dice=1.0).item() == 0  # nothing known, nothing asked
    empty = distillation_loss(wrong[1:], targets[1:], weights[1:], dice=5.0)
    assert empty.item() == pytest.approx(40)  # no overlap is asked of an empty target


def test_distillation_loss_does_not_depend_on_pairs_of_weight_0():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 6, generator=generator, requires_grad=True)
    targets, weights = torch.rand(3, 6, generator=generator), torch.tensor([1.0, 0.0, 1.0])
    loss = distillation_loss(logits, targets, weights, dice=0.5)
    loss.backward()
    assert not logits.grad[1].any() and logits.grad[0].all() and logits.grad[2].all()
    without = distillation_loss(logits[[2, 0]], targets[[2, 0]], weights[[2, 0]], dice=0.5)
    torch.testing.assert_close(without, loss)


# --- matching -------------------------------------------------------------------------------------------------------


def test_matching_agrees_with_the_whole_towers_one_triplet_at_a_time(make, corpus, monkeypatch):
    objective = make(MATCHING)
    with watched(monkeypatch, triplets, "mine_triplets") as mined:
        loss, logged = objective.loss(5)
    (((anchors, table, _), (positives, negatives)),) = mined
    losses, active = [], []
    for roles in zip(anchors, positives, negatives, strict=True):
        assert roles[1] in table[roles[0]] and roles[2] not in table[roles[0]]
        rows = objective.matching.rows[list(roles)]
        reader = objective.matching.adapted.reader
        mels = reader.mels(corpus.sound(rows[[0, 0, 0]]))  # all three under the anchor's sound
        tokens = objective.towers(reader.pixels(corpus.frames[rows]), mels)[:, 1:]
        maps = tokens.transpose(1, 2).unflatten(2, (4, 4)).split(1)
        triplet = triplet_loss(*maps, MATCHING.pixel_matching)
        losses.append(triplet[0].item())
        active.append(triplet[1].item())
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-3)
    assert logged["active"] == pytest.approx(np.mean(active)) and len(set(losses)) > 1


def test_hard_negatives_and_videos_left_out_reach_the_mining(make, corpus, monkeypatch):
    config = replace(MATCHING, mining=replace(MINING, hard_negatives=True, exclude_same_video=True))
    objective = make(config)
    with watched(monkeypatch, triplets, "mine_triplets") as mined:
        loss, _ = objective.loss(0)
    videos = corpus.videos[objective.matching.rows]
    (((anchors, _, _), triplet),) = mined
    for other in triplet:
        assert (videos[anchors] != videos[other]).all()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("source", ["image", "both"])
def test_image_features_are_asked_for_once_and_only_of_sounding_rows(make, corpus, drawn, source):
    seen = []

    def features(frames):
        seen.append(frames)
        return frames.reshape(len(frames), -1)[:, ::97].astype(np.float64)

    images = ImageFeatures(features=features, fingerprint="every 97th number")
    config = replace(MATCHING, mining=replace(MINING, source=source))
    first = make(config, images=images).loss(0)[0].item()
    sounding = [row for row in range(28) if row not in drawn.silent]
    np.testing.assert_array_equal(np.concatenate(seen), corpus.frames[sounding])
    count = len(seen)
    assert make(config, images=images).loss(0)[0].item() == first and len(seen) == count
    make(MATCHING, images=images)
    assert len(seen) == count  # mining by audio does not look


# --- parts of a batch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize(
    "config",
    [MATCHING, replace(DISTILLING, noise=0.0, dice=0.0, labels=UNWEIGHED)],
    ids=["matching", "entropy"],
)
def test_equal_parts_of_a_batch_average_to_the_whole(make, config, parts):
    objective = make(config)
    parameters = list(objective.towers.parameters())
    whole = objective.loss(2)[0]
    losses = [objective.loss(2, part=part, parts=parts)[0] for part in range(parts)]
    torch.testing.assert_close(torch.stack(losses).mean(), whole, rtol=1e-4, atol=1e-5)
    assert len({loss.item() for loss in losses}) > 1
    gradient = torch.autograd.grad(whole, parameters)
    averaged = torch.autograd.grad(torch.stack(losses).mean(), parameters)
    for one, other in zip(gradient, averaged, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


def test_parts_share_out_the_anchors_of_the_whole(make, monkeypatch):
    """With doubtful pairs, overlap terms and noise, parts need not average to the whole; who is in them still holds."""
    objective = make(DISTILLING)
    with watched(monkeypatch, objective.distillation.adapted, "prefix") as calls:
        whole = objective.loss(4)[0].item()
        parts = [objective.loss(4, part=part, parts=4)[0].item() for part in range(4)]
    rows = [call[0][0].tolist() for call in calls]
    assert len(set(rows[0])) == 6 and [len(part) for part in rows[1:]] == [2, 2, 1, 1]
    assert [rows[0][part::4] for part in range(4)] == rows[1:]
    assert all(np.isfinite([whole, *parts]))
    assert [objective.loss(4, part=part, parts=4)[0].item() for part in range(4)] == parts


# --- noise, caches, refusals ----------------------------------------------------------------------------------------


def test_noise_has_the_promised_level_and_colour():
    waves = coloured_noise(np.random.default_rng(0), 60, 16_000)
    assert waves.shape == (60, 16_000) and waves.dtype == np.float32 and np.abs(waves).max() <= 1
    levels = np.array([level_dbfs(wave) for wave in waves])
    assert levels.min() >= -30.1 and levels.max() <= -11.9 and np.ptp(levels) > 12
    power = np.abs(np.fft.rfft(waves)) ** 2
    octaves = [power[:, 100 * 2**n : 200 * 2**n].mean(1) for n in range(6)]
    slopes = np.polyfit(np.arange(6), np.log2(octaves), 1)[0]
    assert slopes.min() > -2.2 and slopes.max() < 0.2 and np.ptp(slopes) > 1
    again = coloured_noise(np.random.default_rng(0), 60, 16_000)
    np.testing.assert_array_equal(waves, again)
    assert len({wave.tobytes() for wave in waves}) == 60
    assert coloured_noise(np.random.default_rng(0), 0, 16_000).shape == (0, 16_000)


def test_a_second_objective_reads_what_the_first_prepared(make, encoder, tmp_path, monkeypatch):
    expected = make().loss(1)[0].item()
    files = sorted(tmp_path.rglob("*"))
    for name in ("embed_audio", "embed_patches"):
        monkeypatch.setattr(encoder, name, None)
    assert make().loss(1)[0].item() == expected
    assert sorted(tmp_path.rglob("*")) == files and not [path for path in files if "partial" in path.name]


def test_what_is_prepared_is_reported(make):
    told = []
    config = replace(BOTH, mining=replace(MINING, source="both"))
    images = ImageFeatures(features=lambda frames: frames[:, 0, 0].astype(float), fingerprint="one pixel")
    make(config, images=images, progress=lambda *report: told.append(report))
    last = {what: (done, total) for what, done, total in told}
    assert last == dict.fromkeys(
        ("image features", "neighbours", "reading frames to compare with", "labelling"), (25, 25)
    )


def test_refusals(make, silent_corpus, one_video, tmp_path):
    assert refusal(lambda: make(data=silent_corpus, folder=tmp_path / "run")) == (
        "training needs more than 6 frames with sound (the batch), got 0 among 28 frames; add videos or lower --batch."
    )
    assert refusal(lambda: make(replace(BOTH, batch=25), folder=tmp_path / "run")) == (
        "training needs more than 25 frames with sound (the batch), got 25 among 28 frames; add videos or lower "
        "--batch."
    )
    assert not (tmp_path / "run").exists()
    for source in ("image", "both"):
        assert refusal(lambda by=source: make(replace(MATCHING, mining=replace(MINING, source=by)))) == (
            f"mining by {source} needs image features; name a DINO model, or mine by audio."
        )
    assert refusal(lambda: make(DISTILLING, data=one_video)) == (
        "labels need 7 frames with sound of other videos for every frame (labels.alike + labels.unlike, and "
        "labels.other_sounds), got 0; add videos."
    )


def test_one_video_and_the_largest_batch_can_be_matched(make, one_video):
    loss, logged = make(replace(MATCHING, batch=24), data=one_video).loss(0)
    assert torch.isfinite(loss) and 0 <= logged["active"] <= 1
