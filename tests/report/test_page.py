"""One page of sections: in order, escaped, with its figures inside and nothing to fetch."""

import base64
import io
import re
from html.parser import HTMLParser
from importlib.resources import files

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure

from morphoclip.columns import PROMPT
from morphoclip.report.page import write_page
from morphoclip.report.rendering import Section, best_middle_worst, inline_image, records, render
from morphoclip.report.sections.texts import texts_section

QUALITY = [{"metric": "plate_silhouette", "scope": "compound", "value": 0.12345}]


class Reader(HTMLParser):
    """Headings, images, text and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        fetched = ("src", "href", "srcset", "data", "poster", "action")
        self.addresses += [str(value) for name, value in attrs if name in fetched]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.tags[-1] in {"h1", "h2"}:
            self.headings.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")


def figure(width: float = 2.0, height: float = 1.0) -> Figure:
    drawn = Figure(figsize=(width, height))
    drawn.subplots().plot([0, 1])
    return drawn


def test_sections_stand_in_order_each_below_its_title() -> None:
    page = write_page([Section("B", "<p>one</p>"), Section("A", "<p>two</p>")])
    assert Reader(page).headings == ["MorphoCLIP report", "B", "A"]
    places = [page.index(part) for part in ("<h2>B", "<p>one</p>", "<h2>A", "<p>two</p>")]
    assert places == sorted(places)


def test_sections_may_come_one_by_one() -> None:
    sections = [Section("B", "<p>one</p>"), Section("A", "<p>two</p>")]
    assert write_page(iter(sections)) == write_page(sections)


def test_an_empty_section_leaves_no_heading() -> None:
    full = [Section("Data", "<p>one</p>"), Section("Texts", "<p>two</p>")]
    assert write_page([full[0], Section("Images", ""), full[1]]) == write_page(full)
    assert Reader(write_page([Section("Images", "")])).headings == ["MorphoCLIP report"]


def test_a_section_without_a_title_is_shown_without_a_heading() -> None:
    page = write_page([Section("", "<p>first numbers</p>")])
    assert "<p>first numbers</p>" in page
    assert "<h2>" not in page


def test_titles_are_escaped_and_the_content_of_sections_is_html() -> None:
    page = Reader(write_page([Section("a < b & <i>c</i>", "<p>d <b>e</b></p>")]))
    assert "".join(page.headings) == "MorphoCLIP reporta < b & <i>c</i>"
    assert page.tags.count("i") == 0
    assert page.tags.count("b") == 1


def test_what_tables_hold_is_shown_as_text_and_never_run() -> None:
    words = "<script>alert('x')</script> & \"Wnt\" <b>"
    prompts = pd.DataFrame({PROMPT: ["short", words]})
    summary = {"level": "<i>full</i>", "context": [], "n_without_function": 1, "n_treatments": 2}
    page = Reader(write_page([texts_section(prompts, summary)]))
    assert words in page.text
    assert "Prompts at level <i>full</i>." in page.text
    assert {"script", "i", "b"}.isdisjoint(page.tags)


def test_a_figure_is_inside_the_page() -> None:
    html = render("embedding", figure=figure(), quality=QUALITY)
    (address,) = Reader(html).addresses
    kind, _, content = address.partition(",")
    assert kind == "data:image/png;base64"
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(content, validate=True)))
    assert image.shape == (150, 300, 4)
    assert np.ptp(image[..., :3]) > 0


def test_a_figures_size_follows_its_resolution() -> None:
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(inline_image(figure(), dpi=40))))
    assert image.shape == (40, 80, 4)


def test_numbers_have_three_digits_and_names_of_columns_are_words() -> None:
    html = render("embedding", figure="", quality=[*QUALITY, QUALITY[0] | {"value": None}])
    assert '<td>plate silhouette</td><td>compound</td><td class="n">0.123</td>' in html
    assert "no condition has two plates" in html


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="quality"):
        render("embedding", figure="")


def test_nothing_is_fetched_when_the_page_is_opened() -> None:
    sections = [Section("Embedding", render("embedding", figure=figure(), quality=QUALITY))]
    page = write_page(sections)
    read = Reader(page)
    assert len(read.addresses) == 2, "the icon and the figure"
    assert all(address.startswith("data:") for address in read.addresses)
    assert {"script", "iframe", "object", "embed"}.isdisjoint(read.tags)
    assert not re.search(r"@import|url\(|http-equiv", page)


@pytest.mark.parametrize(
    "template",
    sorted(p.name for p in files("morphoclip.report").joinpath("sections").iterdir()
           if p.name.endswith(".html")),
)  # fmt: skip
def test_no_template_names_an_address_outside_the_page(template: str) -> None:
    html = files("morphoclip.report").joinpath("sections", template).read_text("utf-8")
    addresses = Reader(html).addresses
    assert [a for a in addresses if not a.startswith(("data:", "#"))] == []
    assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|url\(", html)


def test_rows_of_a_table_have_none_where_it_has_nothing() -> None:
    table = pd.DataFrame({"name": ["a", None], "value": [1.5, float("nan")]}, index=[4, 4])
    assert records(table) == [{"name": "a", "value": 1.5}, {"name": None, "value": None}]
    assert records(table.iloc[:0]) == []


@pytest.mark.parametrize(("number", "rows"), [(1, (0, 0, 0)), (2, (0, 1, 1)), (9, (0, 4, 8))])
def test_three_rows_of_a_ranked_table_have_names(number: int, rows: tuple[int, ...]) -> None:
    assert best_middle_worst(number) == tuple(zip(("best", "middle", "worst"), rows, strict=True))
