"""The report: nothing lost, nothing loaded, nothing unescaped, and bounded however long the video is."""

import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from moca.core.step import Proposals, Segment, StepResult
from moca.errors import InputError
from moca.reports.chart import MAX_COLUMNS, StepRow, draw_chart
from moca.reports.summary import summarise_reasons
from moca.reports.thumbnails import THUMBNAIL_PX
from moca.reports.video import ReportBuilder

HEIGHT, WIDTH = 24, 40
VOID = {"meta", "img", "br", "link", "input"}
LINKS = {"overlay": "overlay.mp4", "segments": "segments.json", "masks": "masks/"}
EVIL = "\"><script>alert(1)</script>&amp;\x00'<img src=x onerror=alert(2)>"


class Reader(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def step(index, *, reason=None, score=0.3, level_dbfs=-20.0, size=(HEIGHT, WIDTH), pixels=None):
    mask = np.zeros(size, bool)
    if reason is None:
        mask[: size[0] // 2, : size[1] // 2] = True
    if pixels is not None:
        mask[:] = False
        mask.ravel()[:pixels] = True
    result = StepResult(
        index=index,
        start_s=float(index),
        end_s=index + 1.0,
        frame_s=index + 0.5,
        mask=mask,
        heat=mask.astype(np.float32),
        score=score,
        level_dbfs=level_dbfs,
        segments=(Segment(mask=mask, score=0.5),) if mask.any() else (),
        reason=reason,
    )
    frame = np.full((*size, 3), (index * 7) % 256, np.uint8)
    return SimpleNamespace(index=index, frame=frame), result


def build(steps, *, title="clip.mp4", settings=None, info=None, notes=(), **options):
    builder = ReportBuilder(title, settings or {}, info or {}, list(notes), **options)
    for frame, result in steps:
        builder.add(frame, result)
    return builder


def written(builder, folder, **options):
    builder.write(folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def silent(index, level=-72.0):
    reason = f"the audio is silent (level {level:.1f} dBFS, below -60 dBFS)"
    return step(index, reason=reason, score=math.nan, level_dbfs=level)


def test_shows_what_it_was_given(tmp_path):
    builder = build(
        [step(0), step(1, score=0.5), silent(2)],
        settings={"clusters": 8, "segment": {"gate": 0.125}},
        info={"Size": "40 x 24", "Model": "mini", "Licence": "Apache-2.0"},
        notes=["mini knows only Soundstage's classes."],
        versions={"torch": "2.13"},
    )
    page = Reader(written(builder, tmp_path, links=LINKS))
    for text in ("clip.mp4", "40 x 24", "mini", "Apache-2.0", "mini knows only Soundstage's classes."):
        assert text in page.text
    for text in (
        "clusters",
        "8",
        "segment.gate",
        "0.125",
        "torch",
        "2.13",
        "67 % of the steps",
        "33 % of the steps",
        "25.0 %",
    ):
        assert text in page.text
    assert "the audio is silent (level -72.0 dBFS, below -60 dBFS)" in page.text
    assert [video["src"] for video in page.all("video")] == ["./overlay.mp4"]
    assert {"./segments.json", "./masks/"} <= {link["href"] for link in page.all("a")}
    assert len(page.all("img")) == 3 + 3 + 2  # the empty mask is words, not a picture
    assert "All masks are empty" not in page.text


def test_pictures_are_the_frames(tmp_path):
    page = Reader(written(build([step(0), step(20)]), tmp_path))
    sources = [image["src"] for image in page.all("img")]
    head = "data:image/jpeg;base64,"
    assert all(source.startswith(head) for source in sources)
    data = np.frombuffer(base64.b64decode(sources[3][len(head) :]), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image.shape == (HEIGHT, WIDTH, 3) and abs(int(image.mean()) - 140) <= 2
    assert all(image["alt"] and image["width"] == "40" for image in page.all("img"))
    assert len({image["alt"] for image in page.all("img")}) == 6


def test_loads_nothing_from_elsewhere_and_runs_no_script(tmp_path):
    text = written(build([step(0), silent(1)]), tmp_path, links=LINKS)
    page = Reader(text)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert not re.search(r"https?:|url\((?!#)|@import|//[a-z]", re.sub(r"base64,[^\"]*", "", text))
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "poster"):
            assert re.match(r"data:image/jpeg;base64,|\./|#step-\d+$", attrs.get(name) or "./")


def test_escapes_every_text(tmp_path):
    builder = build(
        [step(0), step(1, reason=EVIL)],
        title=EVIL,
        settings={EVIL: EVIL},
        info={EVIL: EVIL},
        notes=[EVIL],
        versions={EVIL: EVIL},
    )
    links = {"overlay": EVIL, EVIL: EVIL, "a": "javascript:alert(1)", "b": "//host/x"}
    text = written(builder, tmp_path, links=links)
    plain = Reader(written(build([step(0), step(1, reason="r")], settings={"a": "b"}), tmp_path))
    page = Reader(text)
    assert not page.all("script") and "<script" not in text and "\x00" not in text
    assert len(page.all("img")) == len(plain.all("img"))
    assert EVIL.replace("\x00", "�") in page.text
    targets = [link["href"] for link in page.all("a")]
    assert "./javascript%3Aalert%281%29" in targets and ".///host/x" in targets


def test_says_plainly_why_every_mask_is_empty(tmp_path):
    page = Reader(written(build([silent(0, -72), silent(1, -80)]), tmp_path))
    assert (
        "All masks are empty: in every one of the 2 steps the reason is "
        "“the audio is silent (level -80.0 to -72.0 dBFS, below -60 dBFS)”."
    ) in page.text
    mixed = build([silent(0), silent(1), step(2, reason="no region supports the sound")])
    assert (
        "All masks are empty: “the audio is silent (level -72.0 dBFS, below -60 dBFS)” in 2 steps, "
        "“no region supports the sound” in 1 step."
    ) in Reader(written(mixed, tmp_path)).text
    alone = Reader(written(build([step(0, reason="no audio stream")]), tmp_path))
    assert "All masks are empty: in the only step the reason is “no audio stream”." in alone.text


def test_a_video_without_steps(tmp_path):
    page = Reader(written(build([]), tmp_path))
    assert "There is nothing to show: the video gave no steps." in page.text
    assert not page.all("svg") and not page.all("img")


def test_an_empty_mask_without_a_reason_gets_one(tmp_path):
    _, result = step(0, pixels=0)
    assert result.reason is None
    page = Reader(written(build([step(0, pixels=0)]), tmp_path))
    assert "the method found no sounding region" in page.text


@pytest.mark.parametrize("max_steps", [1, 2, 7, 60])
def test_pictures_are_thinned_evenly_and_figures_are_kept(tmp_path, max_steps):
    builder = ReportBuilder("long.mp4", {}, {}, [], max_steps)
    for index in range(301):
        builder.add(*step(index, size=(16, 16)))
        assert len(builder._pictures) <= max_steps
    page = Reader(written(builder, tmp_path))
    shown = [int(article["id"].removeprefix("step-")) for article in page.all("article")]
    assert max_steps / 2 <= len(shown) <= max_steps
    assert shown[0] == 0 and len(set(np.diff(shown))) <= 1
    assert f"{len(shown)} of 301, evenly spaced" in page.text


def test_up_to_max_steps_all_are_shown(tmp_path):
    page = Reader(written(build((step(i) for i in range(8)), max_steps=8), tmp_path))
    assert len(page.all("article")) == 8 and "all 8" in page.text


def test_an_hour_of_video_stays_small(tmp_path):
    large = step(0, size=(90, 160))
    builder = build([], max_steps=60)
    for index in range(3600):
        frame, result = step(index, size=(2, 2)) if index % 64 else large
        builder.add(frame, result)
    text = written(builder, tmp_path)
    assert text.count('class="hit"') <= MAX_COLUMNS
    assert len(text) < 1_500_000


def test_large_frames_become_thumbnails_and_small_masks_stay_visible(tmp_path):
    page = Reader(written(build([step(0, size=(1080, 1920), pixels=3)]), tmp_path))
    images = page.all("img")
    assert [image["width"] for image in images] == [str(THUMBNAIL_PX)] * 3
    assert images[0]["src"] != images[2]["src"]


@pytest.mark.parametrize("size", [(16, 16000), (16000, 16), (1, 5000), (5000, 1), (1, 1), (16, 70000)])
def test_a_frame_of_any_shape_becomes_a_thumbnail(tmp_path, size):
    frame, result = step(0, size=size, pixels=1)
    proposals = Proposals(masks=result.mask[None], scores=np.ones(1), measured=np.ones(1), matched=(0,))
    staged = replace(result, coarse=result.mask, proposals=proposals)
    images = Reader(written(build([(frame, staged)]), tmp_path)).all("img")
    longest = min(max(size), THUMBNAIL_PX)
    assert len(images) == 5 and {max(int(image["width"]), int(image["height"])) for image in images} == {longest}
    assert min(int(images[0]["width"]), int(images[0]["height"])) >= 1


def test_writing_is_repeatable_and_leaves_no_other_file(tmp_path):
    builder = build([step(0), silent(1)])
    first = written(builder, tmp_path / "new" / "folder")
    assert written(builder, tmp_path / "new" / "folder") == first
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_old_page(tmp_path, monkeypatch):
    old = written(build([step(0)]), tmp_path)

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        build([step(0), step(1)]).write(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == old
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_refuses_to_show_no_steps():
    with pytest.raises(InputError) as error:
        ReportBuilder("clip.mp4", {}, {}, [], 0)
    assert str(error.value) == "max_steps must be at least 1 (steps shown with pictures), got 0."


@pytest.mark.parametrize(
    ("reasons", "summary"),
    [
        ([], []),
        ([None, None], []),
        (["a 1", "a 1", None, "b"], [("a 1", 2), ("b", 1)]),
        (["b", "x -3.5 of 7", "x -12 of 7"], [("x -12 to -3.5 of 7", 2), ("b", 1)]),
        (["level -inf dBFS", "level -70 dBFS"], [("level -inf to -70 dBFS", 2)]),
        (["top-5 of 16x16, 3%.", "top-5 of 16x16, 4%."], [("top-5 of 16x16, 3 to 4%.", 2)]),
    ],
)
def test_summarise_reasons(reasons, summary):
    assert summarise_reasons(reasons) == summary


def rows(count, empty=(), start_s=0.0, **changes):
    fields = {"level_dbfs": -30.0, "score": 0.2, "area": 0.1}
    return [
        StepRow(
            index=i,
            start_s=start_s + i,
            end_s=start_s + i + 1,
            reason=f"silent <{i}>" if i in empty else None,
            **(fields | changes | ({"area": 0.0} if i in empty else {})),
        )
        for i in range(count)
    ]


def elements(svg, tag, css=None):
    nodes = [node for node in ElementTree.fromstring(svg).iter() if node.tag == tag]
    return [node for node in nodes if css is None or node.get("class") == css]


def test_chart_shades_each_run_of_empty_steps_and_names_the_reason():
    svg = draw_chart(rows(10, empty={2, 3, 7}), shown=set())
    shades = elements(svg, "rect", "empty")
    widths = [float(shade.get("width")) for shade in shades]
    assert len(shades) == 2 and widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    titles = [node.text for node in elements(svg, "title")][1:]
    assert len(titles) == 10
    assert titles[2] == (
        "Step 2, 0:02 to 0:03\nlevel: -30 dBFS\nmask: 0.0 % of the frame\ngate score: 0.200\nempty: silent <2>"
    )
    assert "empty" not in titles[4]


def test_chart_draws_gaps_where_a_figure_is_missing():
    values = rows(5)
    silent_rows = rows(5, level_dbfs=-math.inf, score=math.nan)
    mixed = [*values[:2], silent_rows[2], *values[3:]]
    assert len(elements(draw_chart(mixed, set()), "path", "score line")) == 2
    assert len(elements(draw_chart(mixed, set()), "path", "level line")) == 2
    assert len(elements(draw_chart(values, set()), "path", "score line")) == 1
    svg = draw_chart(silent_rows, set())
    names = [node.text for node in elements(svg, "text", "name")]
    assert "Audio level (dBFS): no sound in any step" in names
    assert "Gate score: not computed in any step" in names


def test_chart_links_columns_to_the_steps_shown():
    assert [node.get("href") for node in elements(draw_chart(rows(4), {1, 3}), "a")] == ["#step-1", "#step-3"]


@pytest.mark.parametrize("count", [1, 2, MAX_COLUMNS, MAX_COLUMNS + 1, 5000])
@pytest.mark.parametrize("start_s", [0.0, 86_000.3])
def test_chart_is_well_formed_and_inside_its_box(count, start_s):
    svg = draw_chart(rows(count, start_s=start_s, score=-0.37, area=1.0, level_dbfs=-140.0), {0})
    root = ElementTree.fromstring(svg)
    width, height = (float(side) for side in root.get("viewBox").split()[2:])
    assert 1 <= len(elements(svg, "rect", "hit")) <= MAX_COLUMNS
    assert 1 <= len(elements(svg, "text", "tick middle")) <= 13
    for path in elements(svg, "path"):
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d", path.get("d"))]
        assert min(numbers[0::2]) >= 0 and max(numbers[0::2]) <= width
        assert min(numbers[1::2]) >= 0 and max(numbers[1::2]) <= height


def proposed(index, count=5, matched=(0, 3), *, empty=False):
    """A step with proposals; the frame and the coarse mask are those of `step`."""
    frame, result = step(index, reason="no proposal matches the coarse mask: none was found" if empty else None)
    _, coarse = step(index)
    masks = np.zeros((count, HEIGHT, WIDTH), bool)
    for rank, mask in enumerate(masks):
        mask[2 : 6 + 2 * rank, 3 * rank : 3 * rank + 9] = True
    proposals = Proposals(
        masks=masks, scores=np.full(count, 0.9, np.float32), measured=np.full(count, 0.6), matched=matched
    )
    return frame, replace(result, coarse=coarse.mask, proposals=proposals)


def test_proposals_are_shown_between_the_coarse_mask_and_the_mask(tmp_path):
    page = Reader(written(build([proposed(0)]), tmp_path))
    assert [image["alt"].partition(" at ")[0] for image in page.all("img")] == [
        "Frame", "Heat map", "Coarse mask", "Proposals", "Mask",
    ]  # fmt: skip
    assert len({image["src"] for image in page.all("img")}) == 5
    assert "2 of 5" in page.text and "Proposals: 2 of 5 match" in page.text
    assert len(page.all("figcaption")) == 5


def test_without_proposals_the_page_is_as_it_was(tmp_path):
    text = written(build([step(0)]), tmp_path)
    page = Reader(text)
    assert len(page.all("img")) == 3 and "Proposals" not in page.text and "Coarse" not in page.text
    assert not page.all("figure") and 'class="row"' in text and 'class="row staged"' not in text


def test_steps_without_proposals_keep_their_place_beside_those_with(tmp_path):
    text = written(build([proposed(0), silent(1), step(2), proposed(3, 0, (), empty=True)]), tmp_path)
    page = Reader(text)
    assert len(page.all("article")) == text.count('class="row staged"') == 4
    assert len(page.all("img")) == 5 + 2 + 3 + 4
    assert [figure.get("class") for figure in page.all("figure") if figure] == ["wide", "last"]
    assert "Proposals: 0 of 0 match" in page.text
    assert "no proposal matches the coarse mask: none was found" in page.text


def test_many_proposals_of_a_large_frame_stay_small(tmp_path):
    generator = np.random.default_rng(0)
    frame, result = step(0, size=(540, 960))
    masks = generator.random((40, 540, 960)) > 0.5
    figures = np.ones(40)
    proposals = Proposals(masks=masks, scores=figures, measured=figures, matched=(1,))
    result = replace(result, coarse=result.mask, proposals=proposals)
    assert len(written(build([(frame, result)]), tmp_path)) < 600_000
