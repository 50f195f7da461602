from dataclasses import asdict

import pytest

from moca.core.changing import changed, setting_names
from moca.errors import InputError
from moca.training.config import TrainConfig, preset


def refusal(**changes) -> str:
    with pytest.raises(InputError) as caught:
        changed(TrainConfig(), {name.replace("__", "."): value for name, value in changes.items()})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_own_and_nested_settings_change_and_nothing_else():
    before = TrainConfig()
    after = changed(
        before, {"steps": 7, "lr": 1, "clip_norm": None, "mining.neighbours": 3, "labels.contrast": 0, "blocks": 2}
    )
    assert (after.steps, after.lr, after.clip_norm, after.blocks) == (7, 1, None, 2)
    assert (after.mining.neighbours, after.labels.contrast) == (3, 0)
    restored = changed(
        after,
        {"steps": before.steps, "lr": before.lr, "clip_norm": before.clip_norm, "blocks": None}
        | {"mining.neighbours": before.mining.neighbours, "labels.contrast": before.labels.contrast},
    )
    assert asdict(restored) == asdict(before) != asdict(after)


def test_no_change_is_the_same_configuration():
    assert changed(preset("paper"), {}) == preset("paper")


def test_every_setting_may_be_given_its_own_value():
    config = preset("paper")
    for name in setting_names(config):
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        assert changed(config, {name: value}) == config
        if value is not None and not isinstance(value, str):
            assert (
                f"{name} must be " in (line := refusal(**{name.replace(".", "__"): "text"})) and "got 'text'; " in line
            )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"batch": 0}, "batch must be a whole number of at least 1, got 0; change it."),
        ({"batch": 2.5}, "batch must be a whole number of at least 1, got 2.5; change it."),
        ({"batch": True}, "batch must be a whole number of at least 1, got True; change it."),
        ({"lr": "fast"}, "lr must be a number above 0, got 'fast'; change it."),
        ({"clip_norm": "x"}, "clip_norm must be a number above 0, or none, got 'x'; change it."),
        ({"placement": "middle"}, "placement must be one of last, first, interleaved, got 'middle'; change it."),
        ({"mining__source": "video"}, "mining.source must be one of image, audio, both, got 'video'; change it."),
        (
            {"mining__neighbours": 0},
            "mining.neighbours must be a whole number of at least 1, got 0; 20 is the default.",
        ),
        ({"labels__refine": 1}, "labels.refine must be true or false, got 1; change it."),
        (
            {"pixel_matching__margin": -1.0},
            "pixel_matching.margin must be a number of at least 0, got -1.0; change it.",
        ),
    ],
)
def test_bad_values_are_refused_with_the_rule(changes, line):
    assert refusal(**changes) == line


@pytest.mark.parametrize("name", ["stepz", "mining", "mining.k", "labels.", ".steps", "preset", "to_dict"])
def test_what_is_no_setting_is_refused_with_those_there_are(name):
    line = refusal(**{name.replace(".", "__"): 1})
    assert line.startswith(f"{name} is not a setting; the settings are steps, warmup, schedule, clip_norm, ")
    assert "mining.neighbours" in line and line.endswith("noise, keep.")
