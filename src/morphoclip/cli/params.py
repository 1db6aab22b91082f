"""``--params key:value``, as the spec writes it, and texts with commas in them."""

import itertools
import re
from typing import Any

import click
from kedro.framework.cli.utils import _split_params
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from morphoclip.renamed import PARAMETERS, renamed

# a dotted parameter name, then the first colon that comes before any equals sign
_COLON_ITEM = re.compile(r"^(\s*[\w.\-]+\s*):(.*)$", flags=re.DOTALL)

# a dotted parameter name and its value
_ITEM = re.compile(r"^\s*(?P<key>[\w.\-]+)\s*[:=](?P<value>.*)$", flags=re.DOTALL)

# what YAML makes other numbers of
_OTHER_NUMBER = re.compile(r"[-+]?(0\d+|0[oxb]\w+|\d+(:\d+)+|\d+(_\d+)+)")

_FREE_TEXT = (
    "find_similar.text",
    "find_similar.treatment",
    "find_similar.well",
    "find_similar.site",
    "find_similar.structure",
    "training.rendezvous.address",
)
"""Parameters that are text: commas, colons and brackets in them mean themselves."""


def read_params(context: click.Context, param: click.Parameter, value: Any) -> Any:
    """Rewrite ``a.b:1`` to ``a.b=1`` and let Kedro parse the result."""
    if isinstance(value, tuple):  # the option, given several times
        value = ",".join(value)
    if not isinstance(value, str):
        return _split_params(context, param, value)
    _refuse_old_names(value)
    texts, items = _apart_from_text(value.split(","))
    _refuse_repeats([*texts, *(match["key"] for item in items if (match := _ITEM.match(item)))])
    for before, item in itertools.pairwise(items):
        if not re.search("[:=]", item):
            raise click.BadParameter(
                f"{item} stands alone after a comma; join the values of a list with a plus: "
                f"{before}+{item}"
            )
    rewritten = ",".join(_COLON_ITEM.sub(r"\1=\2", _as_written(item), count=1) for item in items)
    try:
        parsed: dict[str, Any] = _split_params(context, param, rewritten)
    except (YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise click.BadParameter(f"{rewritten} cannot be read as YAML ({reason})") from error
    for key, text in texts.items():
        *groups, field = key.split(".")
        own = parsed
        for group in groups:
            own = own.setdefault(group, {})
        own[field] = text.strip().replace("${", "\\${")
    return parsed


def _refuse_old_names(value: str) -> None:
    """A parameter that has another name now is named before its value is read."""
    for item in value.split(","):
        match = _ITEM.match(item)
        key = match["key"] if match else ""
        for name in (key, key.partition(".")[0]):
            if name in PARAMETERS:
                raise click.BadParameter(renamed("parameter", name, PARAMETERS))


def _refuse_repeats(keys: list[str]) -> None:
    """A parameter that is given twice has two values, of which one would be lost."""
    for key in keys:
        if keys.count(key) > 1:
            raise click.BadParameter(f"{key} is given {keys.count(key)} times; give it once")


def _as_written(item: str) -> str:
    """YAML reads 0123 as 83, 12:30 as 750 and 1_000 as 1000: these stay what they are."""
    match = _ITEM.match(item)
    if match is None or not _OTHER_NUMBER.fullmatch(match["value"].strip()):
        return item
    return f'{match["key"]}="{match["value"].strip()}"'


def _apart_from_text(items: list[str]) -> tuple[dict[str, str], list[str]]:
    """Parameters that are free text, as they stand, and the other items.

    What follows a comma and sets no dotted parameter belongs to the text before it.
    """
    texts: dict[str, str] = {}
    others: list[str] = []
    last = ""
    for item in items:
        match = _ITEM.match(item)
        key = match["key"] if match else ""
        if match and key in _FREE_TEXT:
            texts[key] = match["value"]
            last = key
        elif last and "." not in key:
            texts[last] += f",{item}"
        elif item.strip():
            others.append(item.strip())
            last = ""
    return texts, others
