"""Templates: what is escaped, what is replaced, and what a template may not leave out."""

import html

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from moca.reports.histogram import draw_histogram
from moca.reports.templating import render


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert('1')</script>", "<script>alert('1')</script>"),
        ('"><img src=x>', '"><img src=x>'),
        ("a\x00b\x1bc\rd", "a�b�c�d"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("{{ 7 * 7 }} {% raise %}", "{{ 7 * 7 }} {% raise %}"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_a_text_from_outside_stays_a_text(text, shown):
    page = render("no_histogram.html", title=text)
    inner = page.removeprefix('<p class="note">').removesuffix(" exists for none of the clips.</p>")
    assert html.unescape(inner) == shown
    assert not set("<>\"'") & set(inner)


def test_a_drawing_escapes_its_title():
    svg = draw_histogram([0.5], '"><b>&')
    assert "<b>" not in svg and "&#34;&gt;&lt;b&gt;&amp; of 1 clips" in svg


def test_what_a_template_made_is_not_escaped_again():
    inner = render("no_histogram.html", title="&")
    assert isinstance(inner, Markup) and '<p class="note">&amp; exists' in render("no_histogram.html", title=inner)


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render("no_histogram.html")
