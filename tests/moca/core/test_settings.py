import json
from dataclasses import dataclass, field, fields
from typing import Literal

import pytest

from moca.core.changing import changed, parse_value, setting_names
from moca.core.settings import Settings, rule_of, setting
from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Part:
    share: float = 0.5
    word: Literal["one", "two"] = "one"


@dataclass(frozen=True, kw_only=True)
class Whole:
    count: int = 3
    name: str | None = None
    on: bool = False
    part: Part = field(default_factory=Part)


def test_any_dataclass_changes_by_name_and_nothing_else():
    assert changed(Whole(), {"count": 4, "part.share": 1}) == Whole(count=4, part=Part(share=1))
    assert changed(Whole(), {}) == Whole() != changed(Whole(), {"on": True})
    assert setting_names(Whole()) == ["count", "name", "on", "part.share", "part.word"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"size": 1}, "size is not a setting; the settings are count, name, on, part.share, part.word."),
        ({"count": 2.5}, "count must be a whole number, got 2.5; change it."),
        ({"count": True}, "count must be a whole number, got True; change it."),
        ({"name": 3}, "name must be text, or none, got 3; change it."),
        ({"part.share": "half"}, "part.share must be a number, got 'half'; change it."),
        ({"part.word": "three"}, "part.word must be one of one, two, got 'three'; change it."),
    ],
)
def test_refusals(changes, line):
    with pytest.raises(InputError) as caught:
        changed(Whole(), changes)
    assert str(caught.value) == line


def test_values_as_typed():
    typed = ("3", "3.0", "1e-4", "-2", "True", "false", "none", "null", "audio", "")
    assert [parse_value(text) for text in typed] == [3, 3.0, 1e-4, -2, True, False, None, None, "audio", ""]
    assert isinstance(parse_value("3"), int) and isinstance(parse_value("3.0"), float)


@dataclass(frozen=True, kw_only=True)
class Inner(Settings):
    share: float = setting(0.5, help="A share.", above=0, most=1)


@dataclass(frozen=True, kw_only=True)
class Declared(Settings):
    count: int = setting(4, help="How many.", least=1, most=9, unit="pixels", hint="4 suits most")
    level: float = setting(0.0, help="How loud.", most=0)
    size: int | None = setting(None, help="How large.", least=1, shown="side")
    kind: Literal["one", "two"] = setting("one", help="Which.")
    on: bool = setting(False, help="Whether.")
    seeds: tuple[int, ...] = setting((0,), help="Which seeds.", least=0)
    inner: Inner = setting(default_factory=Inner, help="A group.")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"count": 0}, "count must be a whole number between 1 and 9 pixels, got 0; 4 suits most."),
        ({"count": True}, "count must be a whole number between 1 and 9 pixels, got True; 4 suits most."),
        ({"count": 2.0}, "count must be a whole number between 1 and 9 pixels, got 2.0; 4 suits most."),
        ({"level": 0.1}, "level must be a number of at most 0, got 0.1; change it."),
        ({"level": float("-inf")}, "level must be a number of at most 0, got -inf; change it."),
        ({"level": float("nan")}, "level must be a number of at most 0, got nan; change it."),
        ({"size": 0}, "side must be a whole number of at least 1, or none, got 0; change it."),
        ({"kind": "three"}, "kind must be one of one, two, got 'three'; change it."),
        ({"on": 1}, "on must be true or false, got 1; change it."),
        ({"seeds": (0, -1)}, "seeds must be a list, each a whole number of at least 0, got (0, -1); change it."),
        ({"seeds": 3}, "seeds must be a list, each a whole number of at least 0, got 3; change it."),
        ({"inner": {}}, "inner must be a Inner, got {}; change it."),
    ],
)
def test_a_value_is_checked_by_its_declaration_on_construction(values, line):
    with pytest.raises(InputError) as caught:
        Declared(**values)
    assert str(caught.value) == line


def test_the_ends_of_a_range_that_belong_to_it_are_allowed():
    assert (Declared(count=1).count, Declared(count=9).count, Inner(share=1).share) == (1, 9, 1)
    with pytest.raises(InputError, match="share must be a number above 0 and at most 1, got 0; change it"):
        Inner(share=0)


def test_settings_go_through_json_and_back():
    config = Declared(count=2, size=7, kind="two", seeds=(3, 4), inner=Inner(share=0.25))
    stored = json.loads(json.dumps(config.to_json()))
    assert Declared.from_json(stored, title="test") == config != Declared()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda stored: stored | {"more": 1}, "the test configuration has unknown keys: more; restore it."),
        (
            lambda stored: {name: value for name, value in stored.items() if name != "count"},
            "the test configuration has missing keys: count; restore it.",
        ),
        (lambda stored: stored | {"inner": {}}, "the inner configuration has missing keys: share; restore it."),
        (lambda stored: [1], "the test configuration must be a JSON object, got list; restore it."),
        (
            lambda stored: stored | {"count": 99},
            "count must be a whole number between 1 and 9 pixels, got 99; 4 suits most.",
        ),
    ],
)
def test_a_json_form_that_is_not_exactly_the_group_is_refused(change, line):
    with pytest.raises(InputError) as caught:
        Declared.from_json(change(Declared().to_json()), title="test")
    assert str(caught.value) == line


def test_a_change_is_called_by_its_whole_name():
    with pytest.raises(InputError) as caught:
        changed(Declared(), {"inner.share": 2})
    assert str(caught.value) == "inner.share must be a number above 0 and at most 1, got 2; change it."


def test_every_setting_of_the_package_says_what_it_is():
    from moca.output.config import OutputConfig
    from moca.reproduce.config import ReproduceConfig
    from moca.segmentation.config import ProposalConfig, SegmentConfig
    from moca.training.config import TrainConfig

    for group in (SegmentConfig, ProposalConfig, OutputConfig, ReproduceConfig, TrainConfig):
        for declared in fields(group):
            assert rule_of(group, declared.name).help.endswith("."), (group, declared.name)
