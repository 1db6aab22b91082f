"""What hosts that train together tell each other, and how a stranger's words are kept harmless."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_LONGEST = 2000


def _printable(text: str) -> str:
    """The same as a terminal shows it."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)[-_LONGEST:]


Text = Annotated[str, AfterValidator(_printable)]


class Note(BaseModel):
    """One note in the store; what is not of its shape counts as none."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Run(Note):
    """The leading host gathers others."""

    run: Text
    nodes: int = Field(ge=2, le=1000)


class Place(Note):
    """A worker's own mark on the place that it takes."""

    worker: Text


class Hello(Note):
    """What a host is."""

    host: Text
    morphoclip: Text
    torch: Text
    gpus: int = Field(ge=0, le=1000)


class Sign(Note):
    """A host is alive."""

    number: int


class Begun(Note):
    """All hosts are there: processes of each, and of all."""

    devices: int = Field(ge=1, le=64)
    size: int = Field(ge=2, le=64_000)


class FileSent(Note):
    """A file that is sent in parts."""

    sha256: Text
    size: int = Field(ge=0, le=2**50)


class Refusal(Note):
    """Why a host cannot take part."""

    text: Text


class End(Note):
    """How a host ended."""

    kind: Literal["done", "sentence", "died"]
    text: Text = ""
