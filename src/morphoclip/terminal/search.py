"""``morphoclip search``: a question to a packed model, on the terminal."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from morphoclip.errors import InputError

if TYPE_CHECKING:
    from morphoclip.bundle.loaded import Among
    from morphoclip.search.questions import Kind


def default_bundle() -> str:
    """Where pack_model writes, of the data folder that the environment names."""
    return str(Path(os.environ.get("MORPHOCLIP_DATA", "data")) / "06_models" / "bundle")


@click.command()
@click.argument("question")
@click.option(
    "--in",
    "place",
    metavar="BUNDLE",
    help="Folder of a bundle, or its name on the Hugging Face hub; the one that pack_model wrote.",
)
@click.option(
    "--among",
    type=click.Choice(["treatments", "wells", "texts"]),
    default="treatments",
    show_default=True,
    help="What to rank.",
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["text", "treatment", "well", "structure"]),
    help="What the question is; by what it names, where not given.",
)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--csv", "csv", type=click.Path(dir_okay=False), help="Write the answers here, too.")
def search(
    question: str, place: str | None, among: "Among", kind: "Kind | None", top: int, csv: str | None
) -> None:
    """What is most similar to QUESTION: words, a treatment, 'PLATE WELL', a SMILES, or a .npy file.

    \b
    morphoclip search "HDAC inhibitor"
    morphoclip search HDAC1 --among wells
    morphoclip search "BR00117010 A01" --among texts
    """  # noqa: D301 - \b is click's mark for lines that stay
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        click.echo(_answer(question, place, among, kind, top, csv))
    except InputError as error:
        raise click.ClickException(str(error)) from error


def _answer(
    question: str, place: str | None, among: "Among", kind: "Kind | None", top: int, csv: str | None
) -> str:
    import morphoclip
    from morphoclip.search.answers import texts_as_text, treatments_as_text, wells_as_text

    bundle = morphoclip.load(place or default_bundle())
    asked: Any = _vector(question) if question.endswith(".npy") and kind is None else question
    found = bundle.search(asked, among=among, kind=kind, top_k=top)
    if csv is not None:
        found.to_csv(csv, index=False)
    shown = {"treatments": treatments_as_text, "wells": wells_as_text, "texts": texts_as_text}
    blocks = [
        f"most similar to {query}{f' ({condition})' if condition else ''}\n{shown[among](rows)}"
        for (query, condition), rows in found.groupby(["query", "query_condition"], sort=False)
    ]
    null = (
        "q: false discovery rate against negative controls of the same condition; a small q says "
        "unlike controls, not like the question for a reason"
    )
    return "\n".join([*blocks, null])


def _vector(path: str) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no vector ({error}): write one with numpy.save") from error
