"""One self-contained HTML page about a run."""

from collections.abc import Iterable
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from morphoclip.report.rendering import Section

_PAGE = files("morphoclip.report").joinpath("page.html")


def write_page(sections: Iterable[Section]) -> str:
    """Join sections to one page; nothing is fetched when it is opened.

    Empty sections, as of images where there are none, are left out.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    parts = [(part.title, Markup(part.html)) for part in sections if part.html]
    return environment.from_string(_PAGE.read_text(encoding="utf-8")).render(sections=parts)
