import configparser
import json
import sys
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from moca import methods
from moca.core.step import Segment, result_of
from moca.errors import InputError
from moca.foundation.imagebind.reading import PatchReading
from moca.media import probe, write_video
from moca.methods import GROUP, PAPER, load_method, method_names, own_settings
from moca.output.config import OutputConfig
from moca.output.segment_file import segment_file
from moca.output.segments_json import described
from moca.segmentation.config import ProposalConfig
from moca.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class LeftConfig:
    share: float = 0.5
    flip: bool = False

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise InputError(f"share must be between 0 and 1, got {self.share}.")


class Left:
    """Somebody's method: the left of every frame sounds."""

    name, notice, licence, config_class = "left", "it does not listen", "public domain", LeftConfig

    def __init__(self, model, device, config):
        self.device, self.config = device, config
        self.settings = {"model": model, "share": config.share}

    @classmethod
    def load(cls, model, *, device, config):
        return cls(model, device, config)

    def segment_steps(self, steps):
        for step in steps:
            mask = np.zeros(step.frame.shape[:2], bool)
            mask[:, : round(self.config.share * mask.shape[1])] = True
            segments = (Segment(mask=mask, score=1.0, label="left"),)
            yield result_of(step, mask=mask, heat=mask.astype(np.float32), score=1.0, segments=segments)


@pytest.fixture
def brings(monkeypatch):
    """Have packages bring methods: pairs of a name and module:Class."""
    module = ModuleType("somebody")
    module.Left, module.Bare = Left, object
    monkeypatch.setitem(sys.modules, "somebody", module)

    def bring(*pairs):
        entries = [EntryPoint(name=name, value=value, group=GROUP) for name, value in pairs]
        monkeypatch.setattr(methods, "entry_points", lambda group: entries if group == GROUP else [])

    return bring


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        load_method(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_installed_methods_are_found_by_name(brings):
    brings(("right", "somebody:Right"), ("left", "somebody:Left"))
    assert method_names() == ("moca", "left", "right")
    brings()
    assert method_names() == ("moca",)
    assert refusal("left") == (
        "method must be one of moca, got 'left'; choose one of them, or install the package that brings it."
    )


def test_settings_reach_the_method(brings):
    brings(("left", "somebody:Left"), ("left", "somebody:Left"))  # found twice, as where it is installed in place
    assert load_method("left", "mini").config == LeftConfig()
    loaded = load_method("left", "some/folder", device="cpu", settings={"share": 1, "flip": True})
    assert loaded.config == LeftConfig(share=1, flip=True) and loaded.settings["model"] == "some/folder"
    assert loaded.device == "cpu"


def test_a_methods_own_defaults_of_a_model_come_first(brings, monkeypatch):
    brings(("left", "somebody:Left"))
    monkeypatch.setattr(
        Left,
        "defaults",
        classmethod(lambda cls, model: LeftConfig(share=0.1 if model == "mini" else 0.9)),
        raising=False,
    )
    assert load_method("left", "mini").config.share == 0.1 != load_method("left", "huge").config.share
    assert load_method("left", "mini", settings={"flip": True}).config == LeftConfig(share=0.1, flip=True)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"size": 1}, "size is not a setting of left; its settings are share, flip."),
        ({"size": 1, "flip": 2, "no": 3}, "size, no is not a setting of left; its settings are share, flip."),
        ({"share": "half"}, "share must be a number, got 'half'; change it."),
        ({"flip": 1}, "flip must be true or false, got 1; change it."),
        ({"share": 2}, "share must be between 0 and 1, got 2."),
    ],
)
def test_settings_are_checked_before_loading(brings, monkeypatch, settings, line):
    brings(("left", "somebody:Left"))
    monkeypatch.setattr(Left, "load", classmethod(lambda cls, *_, **__: pytest.fail("loaded")))
    assert refusal("left", settings=settings) == line


def test_the_papers_preset_leaves_the_models_own_defaults_out(brings, monkeypatch):
    brings(("left", "somebody:Left"))
    of_model = classmethod(lambda cls, model: LeftConfig(share=0.1))
    monkeypatch.setattr(Left, "defaults", of_model, raising=False)
    assert load_method("left", "mini", settings={"preset": "model"}).config.share == 0.1
    assert load_method("left", "mini", settings={"preset": "paper", "flip": True}).config == LeftConfig(flip=True)
    assert refusal("left", settings={"preset": "own"}) == "preset must be one of model, paper, got 'own'; change it."


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, PAPER),
        ({"match": 0.4, "scores": "relative"}, {**PAPER, "match": 0.4, "scores": "relative"}),
        ({"proposals": None}, {"scores": "absolute", "gate_rank": 0.0, "proposals": "none"}),
        ({"rule": "crops"}, {**{name: value for name, value in PAPER.items() if name != "match"}, "rule": "crops"}),
    ],
)
def test_the_papers_preset_of_moca_gives_way_to_what_is_given(monkeypatch, settings, wanted):
    loaded = []
    monkeypatch.setattr("moca.segmenter.Segmenter.load", lambda model, **given: loaded.append(given))
    load_method("moca", "mini", device="cpu", settings={"preset": "paper", **settings})
    load_method(
        "moca", "mini", device="cpu", settings=settings if settings.get("proposals", 1) else {"proposals": None}
    )
    assert loaded[0] == {"device": "cpu", **wanted} and "gate_rank" not in loaded[1]


def test_broken_packages_are_one_line(brings):
    brings(("gone", "nowhere:Gone"), ("left", "somebody:Absent"), ("bare", "somebody:Bare"))
    assert refusal("gone") == (
        "method gone must be importable as nowhere:Gone, which fails (No module named 'nowhere'); install its package "
        "again."
    )
    assert "somebody:Absent, which fails" in refusal("left")
    assert refusal("bare") == (
        "method bare must be a class with config_class and load, got somebody:Bare without config_class and load; mend "
        "its package."
    )
    brings(("left", "somebody:Left"), ("left", "other:Left"))
    assert refusal("left") == (
        "a method must have a name of its own, got left from other:Left beside somebody:Left; uninstall one of the "
        "packages."
    )
    brings(("moca", "somebody:Left"))
    assert refusal("left") == (
        "a method must have a name of its own, got moca from somebody:Left beside this package's own; uninstall one of "
        "the packages."
    )


@pytest.fixture
def loading(monkeypatch):
    """What `Segmenter.load` is called with."""
    calls = []
    monkeypatch.setattr(Segmenter, "load", lambda model, **keywords: calls.append((model, keywords)))
    return calls


def test_moca_takes_the_segmenters_keywords(loading):
    load_method("moca")
    load_method("moca", "huge", device="cpu", settings={"adapters": None, "proposals": None, "clusters": 6})
    load_method("moca", settings={"proposals": "grid", "match": 0.7, "adapters": Path("run")})
    assert loading == [
        ("mini", {"device": "auto"}),
        ("huge", {"device": "cpu", "adapters": None, "proposals": "none", "clusters": 6}),
        ("mini", {"device": "auto", "proposals": "grid", "match": 0.7, "adapters": "run"}),
    ]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"clusters": "many"}, "clusters must be a whole number between 1 and 64, got 'many'; 4 suits most frames."),
        ({"match": "x"}, "match must be a number of at least 0 and below 1, got 'x'; the paper uses 0.5."),
        ({"proposals": 3}, "proposals must be one of none, boxes, grid, got 3; change it."),
    ],
)
def test_mocas_settings_are_checked_before_loading(loading, settings, line):
    assert refusal("moca", settings=settings) == line and loading == []


def test_a_reading_is_a_setting(model):
    found = load_method("moca", model, device="cpu", settings={"reading": "clear", "clear_by": "key"})
    assert found.settings["reading"] == PatchReading(reading="clear", clear_by="key").to_json()
    assert own_settings({}, {}, {}, {"reading": "clear"}, frozen=True) == {"reading": "clear", "adapters": None}
    with pytest.raises(InputError, match=r"^reading must be one of token, value, value2, clear, proxy, got 'key'"):
        load_method("moca", model, settings={"reading": "key"})
    with pytest.raises(InputError, match=r"^clear_by is a setting of reading clear, got it with reading token; "):
        load_method("moca", model, device="cpu", settings={"clear_by": "key"})


def test_an_unknown_setting_of_moca_names_the_known_ones(loading):
    line = refusal("moca", settings={"clustrs": 3})
    assert line.startswith("clustrs is not a setting of moca; its settings are adapters, weights, ")
    assert line.endswith("heat_low, heat_high, seed.") and loading == []


def test_the_packages_own_entries_name_methods():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    lines = setup["options.entry_points"][GROUP].split("\n")
    pairs = dict(line.split(" = ") for line in lines if line.strip())
    assert sorted(pairs) == ["at-gdino-sam", "owod-bind", "sam-bind"]
    for name, value in pairs.items():
        found = EntryPoint(name=name, value=value, group=GROUP).load()
        assert found.name == name and found.config_class() and callable(found.load)


def test_any_method_writes_everything(tmp_path):
    frames = [np.full((36, 52, 3), 90, np.uint8)] * 8
    audio = (0.3 * np.sin(np.arange(32_000) / 9)).astype(np.float32)
    write_video(tmp_path / "clip.mp4", iter(frames), rate_hz=4, audio=audio, sample_rate_hz=16_000)
    method, out = Left("tiny", "cpu", LeftConfig()), tmp_path / "out"
    summary = segment_file(method, tmp_path / "clip.mp4", out, OutputConfig())
    assert summary.sounding == 2 and summary.notes == ("it does not listen",)
    settings = json.loads((out / "segments.json").read_text())["settings"]
    assert settings["method"] == "left" and settings["share"] == 0.5
    assert "public domain" in (out / "report.html").read_text()
    assert segment_file(method, tmp_path / "clip.mp4", out, OutputConfig()).reused
    other = Left("tiny", "cpu", LeftConfig(share=0.2))
    with pytest.raises(InputError, match="holds a run of another video or with other settings"):
        segment_file(other, tmp_path / "clip.mp4", out, OutputConfig())
    other.name, other.settings = "right", method.settings  # the name alone tells two methods apart
    with pytest.raises(InputError, match="holds a run of another video or with other settings"):
        segment_file(other, tmp_path / "clip.mp4", out, OutputConfig())
    assert {"Method": "left", "Model": "tiny"}.items() <= described(probe(tmp_path / "clip.mp4"), method).items()


def test_the_segmenter_is_described_with_its_parts(pipeline, tmp_path):
    write_video(
        tmp_path / "clip.mp4", iter([np.zeros((36, 52, 3), np.uint8)] * 4), rate_hz=4, audio=None, sample_rate_hz=16_000
    )
    segmenter, info = Segmenter(replace(pipeline, notice="tiny")), probe(tmp_path / "clip.mp4")
    assert (segmenter.notice, segmenter.licence) == ("tiny", "none")
    facts = described(info, segmenter)
    assert (facts["Method"], facts["Model"], facts["Mask proposals"]) == ("moca", "tiny, frozen encoder alone", "none")

    class Proposing(Segmenter):
        settings = {**segmenter.settings, "adapted": True, "proposals": ProposalConfig(kind="boxes").used()}  # noqa: RUF012

    facts = described(info, Proposing(pipeline))
    assert facts["Model"] == "tiny, with adapters"
    assert facts["Mask proposals"] == "from boxes, match where IoU is above 0.5"
