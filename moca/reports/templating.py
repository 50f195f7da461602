"""HTML and SVG from the templates in `templates/`: every text from outside is escaped, whatever it holds."""

from __future__ import annotations

import base64
import math
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from moca.reports.captions import format_level, format_time, meter_fill


def render(name: str, **values: object) -> Markup:
    """A template of `templates/` filled with values; a value that a template names and did not get is an error."""
    return Markup(_environment().get_template(name).render(values))


def steps_in_words(count: int) -> str:
    """'1 step', '2 steps'."""
    return "1 step" if count == 1 else f"{count} steps"


def level_in_words(level_dbfs: float) -> str:
    """As `format_level`, with a minus instead of a hyphen."""
    return format_level(level_dbfs).replace("-", "−")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_allowed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"px": _px, "href": _href, "data_url": _data_url, "steps": steps_in_words}
    environment.filters |= {"time": format_time, "level": level_in_words, "score": _score, "meter": meter_fill}
    return environment


def _allowed(value: object) -> object:
    """The text of a value without the characters that HTML forbids; escaping comes after it."""
    if isinstance(value, Markup):
        return value
    text = "".join(c if c >= " " or c in "\n\t" else "�" for c in str(value))
    return text.encode("utf-8", "replace").decode("utf-8")


def _score(value: float) -> str:
    """A gate score, a dash where it was not computed."""
    return "–" if math.isnan(value) else f"{value:.3f}".replace("-", "−")


def _px(value: float) -> str:
    """A length or place in a drawing, to a tenth of its unit."""
    return f"{value:.1f}"


def _href(name: str) -> str:
    """Always relative to the page, whatever the name: './' cannot be followed by a scheme or a host."""
    return "./" + quote(name.encode("utf-8", "surrogateescape"), safe="/")


def _data_url(jpeg: bytes) -> str:
    """A JPEG as the address of itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
