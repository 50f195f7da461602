from dataclasses import dataclass, field
from typing import Literal

import pytest

from moca.core.settings import changed, parse_value, setting_names
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
        ({"name": 3}, "name must be text or none, got 3; change it."),
        ({"part.share": "half"}, "part.share must be a number, got 'half'; change it."),
        ({"part.word": "three"}, "part.word must be one or two, got 'three'; change it."),
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
