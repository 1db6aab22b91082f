"""The base of every parameter model, and the shapes a command line can give to lists."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Config(BaseModel):
    """Frozen; a key that no field names is an error, and so is a number that is not finite.

    Every number has bounds: by what it means, or by what no machine could do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __str__(self) -> str:
        """The model's name: fields are logged one by one, and a path in them is shortened there."""
        return type(self).__name__


def as_names(value: Any) -> Any:
    """``A+B`` as a tuple; anything but text and numbers as it is."""
    if isinstance(value, int):
        return (str(value),)
    return tuple(part for part in value.split("+") if part) if isinstance(value, str) else value


def _split_numbered_names(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split("+") if part]
    return {name: number for name, _, number in pairs}


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What every generator of random numbers takes."""

Names = Annotated[tuple[str, ...], BeforeValidator(as_names)]
"""A list of names; ``A+B`` on the command line, where Kedro splits at commas."""


_CHANNEL_NAME = re.compile(r"[A-Za-z0-9][\w -]*")


def _split_channels(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = "+".join(str(part) for part in value)
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split("+") if part]
        names = [name.strip() for name, _, _ in pairs]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the channel {repeated[0]} is named twice")
        value = {
            name.strip(): (called if equals else name).strip() for name, equals, called in pairs
        }
    if isinstance(value, dict):
        odd = [name for name in value if not _CHANNEL_NAME.fullmatch(str(name))]
        blank = [name for name, called in value.items() if called == ""]
        if odd or blank:
            raise ValueError(
                f"{(odd or blank)[0]!r} names no channel: write ours=the source's, joined by +, as "
                "in DNA=1+ER=2; ours are of letters, digits, blanks, - and _"
            )
        value = {
            name: int(called) if isinstance(called, str) and called.isdecimal() else called
            for name, called in value.items()
        }
    return value


def _split_column_names(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split("+") if part]
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


NumberedNames = Annotated[dict[str, int], BeforeValidator(_split_numbered_names)]
"""An ordered mapping of names to numbers; ``DNA=4+ER=2`` on the command line."""

Channels = Annotated[dict[str, int | str], BeforeValidator(_split_channels)]
"""An ordered mapping of channel names to what their source calls them, a number or a name:
``DNA=4+ER=2``, ``DNA=DAPI - DAPI``; ``DNA+ER`` where the source has these names."""

ColumnNames = Annotated[dict[str, str], BeforeValidator(_split_column_names)]
"""Our names of columns to others; ``plate=Barcode+well=Position`` on the command line."""
