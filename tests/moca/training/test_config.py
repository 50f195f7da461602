"""Configurations restore themselves and refuse what they cannot mean."""

import dataclasses
import json
from typing import get_args

import pytest

from moca.adapters import Reading
from moca.errors import InputError
from moca.mining import MiningConfig
from moca.training.config import CONFIG_FORMAT, PRESETS, LabelConfig, MatchingConfig, TrainConfig, preset

NESTED = TrainConfig(
    steps=7,
    pixel_matching=MatchingConfig(margin=0.1, search="plane"),
    mining=MiningConfig(neighbours=3, source="both", exclude_same_video=True),
    labels=LabelConfig(alike=2, refine=False),
    clip_norm=None,
)


def refusal(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("config", [*PRESETS.values(), NESTED], ids=[*PRESETS, "nested"])
def test_json_restores_every_value(config):
    values = json.loads(json.dumps(config.to_dict(), allow_nan=False))
    assert values["format"] == CONFIG_FORMAT
    before = json.loads(json.dumps(values))
    assert TrainConfig.from_dict(values) == config
    assert values == before  # what was read is left as it was
    assert TrainConfig.from_dict(values | {"steps": config.steps + 1}) != config


def test_every_field_is_saved():
    values = NESTED.to_dict()
    assert values.keys() - {"format"} == {field.name for field in dataclasses.fields(TrainConfig)}
    for name, kind in (("pixel_matching", MatchingConfig), ("mining", MiningConfig), ("labels", LabelConfig)):
        assert values[name].keys() == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": 99},
            f"a training configuration must have format {CONFIG_FORMAT}, got 99; train again.",
        ),
        ({"momentum": 0.9}, "the training configuration has unknown keys: momentum; restore it."),
        ({"labels": [1]}, "the labels configuration must be a JSON object, got list; restore it."),
        ({"mining": {}}, "the mining configuration has missing keys: exclude_same_video, hard_negatives, index, "
                         "neighbours, source; restore it."),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0; change it."),
    ],
)  # fmt: skip
def test_refuses_a_saved_configuration(change, message):
    assert refusal(lambda: TrainConfig.from_dict(NESTED.to_dict() | change)) == message


def test_refuses_one_without_some_keys():
    values = NESTED.to_dict()
    del values["lr"], values["batch"]
    assert refusal(lambda: TrainConfig.from_dict(values)) == (
        "the training configuration has missing keys: batch, lr; restore it."
    )
    assert refusal(lambda: TrainConfig.from_dict({})) == (
        f"a training configuration must have format {CONFIG_FORMAT}, got None; train again."
    )


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("steps", 0, "a whole number of at least 1"),
        ("steps", 2.0, "a whole number of at least 1"),
        ("batch", True, "a whole number of at least 1"),
        ("checkpoint_every", -1, "a whole number of at least 1"),
        ("warmup", -1, "a whole number of at least 0"),
        ("seed", "0", "a whole number of at least 0"),
        ("lr", 0, "a number above 0"),
        ("lr", float("nan"), "a number above 0"),
        ("readout_lr", float("inf"), "a number above 0"),
        ("lr", "fast", "a number above 0"),
        ("matching", -0.5, "a number of at least 0"),
        ("distillation", float("inf"), "a number of at least 0"),
        ("dice", None, "a number of at least 0"),
        ("noise", 1.5, "a number between 0 and 1"),
        ("noise", -0.1, "a number between 0 and 1"),
        ("keep", 0, "a number above 0 and at most 1"),
        ("keep", 1.01, "a number above 0 and at most 1"),
        ("readout", "linear", "one of cosine, learned"),
        ("schedule", "step", "one of cosine, constant"),
        ("placement", "middle", "one of last, first, interleaved"),
    ],
)
def test_refuses_a_value(field, value, rule):
    assert refusal(lambda: TrainConfig(**{field: value})) == f"{field} must be {rule}, got {value!r}; change it."


@pytest.mark.parametrize("edge", [{"noise": 0}, {"noise": 1}, {"keep": 1}, {"dice": 0}, {"warmup": 0}])
def test_accepts_the_edge_of_a_range(edge):
    ((name, value),) = edge.items()
    assert getattr(TrainConfig(**edge), name) == value


def test_refuses_values_that_contradict_each_other():
    assert refusal(lambda: TrainConfig(matching=0, distillation=0, readout="cosine")) == (
        "matching and distillation must not both be 0; raise one."
    )
    assert refusal(lambda: TrainConfig(matching=1.0, distillation=0.0, readout="learned")) == (
        "distillation must be above 0 when the read-out is learned, got 0.0; change it."
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cosine": -1.0}, "cosine must be a number of at least 0, got -1.0; change it."),
        ({"contrast": float("nan")}, "contrast must be a number of at least 0, got nan; change it."),
        ({"cosine": 0.0, "contrast": 0.0}, "cosine and contrast must not both be 0; raise one."),
        (
            {"reading": "query"},
            f"reading must be one of {', '.join(get_args(Reading))}, or none, got 'query'; change it.",
        ),
        ({"alike": 0}, "alike must be a whole number of at least 1, got 0; change it."),
        ({"unlike": 2.5}, "unlike must be a whole number of at least 1, got 2.5; change it."),
        ({"other_sounds": -1}, "other_sounds must be a whole number of at least 0, got -1; change it."),
        ({"absent": 40.0, "present": 30.0}, "absent must be at most present, got 40 and 30; change one."),
    ],
)
def test_refuses_labels(fields, message):
    assert refusal(lambda: LabelConfig(**fields)) == message


def test_presets_name_themselves_and_take_changes():
    for name, config in PRESETS.items():
        assert preset(name) == config and config.preset == name
        assert preset(name, steps=3) == dataclasses.replace(config, steps=3) != config
    assert refusal(lambda: preset("ours")) == "--preset must be one of paper, moca, got 'ours'; choose one of them."
    assert refusal(lambda: preset("paper", steps=0)).startswith("steps must be ")


def test_the_papers_preset_is_the_papers():
    config = preset("paper")
    assert (config.lr, config.schedule, config.warmup, config.clip_norm) == (1e-4, "cosine", 0, None)
    assert (config.batch, config.steps, config.pixel_matching.margin) == (8, 10_000, 0.3)
    assert (config.placement, config.blocks) == ("last", None)
    assert config.matching > 0 and config.distillation == 0 and config.readout == "cosine"
    mining = config.mining
    assert mining.source == "image" and not mining.exclude_same_video and not mining.hard_negatives


def test_adapter_sizes_are_those_asked_for_or_fit_the_width():
    given = TrainConfig(bottleneck=10, latents=3).adapter_sizes(1280)
    assert (given.bottleneck, given.latents) == (10, 3)
    narrow, wide = TrainConfig().adapter_sizes(128), TrainConfig().adapter_sizes(1280)
    assert narrow.bottleneck < wide.bottleneck
    assert all(sizes.latents == sizes.bottleneck // 2 for sizes in (narrow, wide))
    assert TrainConfig(bottleneck=1).adapter_sizes(16).latents == 1


def test_configurations_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NESTED.steps = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        NESTED.labels.alike = 3
