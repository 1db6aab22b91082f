"""The base of every parameter model, and the shapes a command line can give to lists."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Config(BaseModel):
    """Frozen; a key that no field names is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


Names = Annotated[tuple[str, ...], BeforeValidator(as_names)]
"""A list of names; ``A+B`` on the command line, where Kedro splits at commas."""


def _split_channels(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = "+".join(str(part) for part in value)
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split("+") if part]
        value = {
            name.strip(): (called if equals else name).strip() for name, equals, called in pairs
        }
    if isinstance(value, dict):
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
