"""A section of the report: a function of its tables, with a template of its own."""

import base64
import io
from collections.abc import Callable, Mapping
from functools import wraps
from importlib.resources import files
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure
from pandas import isna

from morphoclip.perturbations.well_index import readable_condition

_TEMPLATES = files("morphoclip.report").joinpath("sections")


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        title: Its heading; "" for none.
        html: Its content; figures are inside.
        figures: The figures that it shows, by the name under which the catalog keeps them.
    """

    title: str
    html: str
    figures: Mapping[str, Figure] = {}


def section_node(section: Callable[..., Section]) -> Callable[..., dict[str, Any]]:
    """A section as a node: the section, and each of its figures as a catalog entry of its own."""

    @wraps(section)
    def node(*args: Any, **kwargs: Any) -> dict[str, Any]:
        made = section(*args, **kwargs)
        return {"section": made._replace(figures={}), **made.figures}

    return node


def render(template: str, **context: Any) -> str:
    """Fill in ``sections/<template>.html``; figures in the context become inline images."""
    shown = {
        name: inline_image(value) if isinstance(value, Figure) else value
        for name, value in context.items()
    }
    text = _TEMPLATES.joinpath(f"{template}.html").read_text(encoding="utf-8")
    return _environment().from_string(text).render(**shown)


def inline_image(figure: Figure, dpi: int = 150) -> str:
    """The figure as a PNG in base64."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries; missing is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def best_middle_worst(number: int) -> tuple[tuple[str, int], ...]:
    """Three rows of a ranked table, by name."""
    return (("best", 0), ("middle", number // 2), ("worst", number - 1))


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: (
        "" if value is None or isna(value) else f"{value:.3f}"
    )
    environment.filters["condition"] = readable_condition
    environment.filters["words"] = lambda value: str(value).replace("_", " ")
    return environment
