"""Names and functions of genes: an optional table, and a recipe that builds it.

No gene text comes with this project: the recipe takes it from files that the user downloads, and
writes beside each row where it is from, under which licence and of which date.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from pydantic import Field

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.perturbations.missing_values import with_missing
from morphoclip.schemas.ingestion import GENE_ANNOTATIONS
from morphoclip.table_checks import refuse_repeats, require_columns

_COLUMNS = list(GENE_ANNOTATIONS.columns)


class GeneAnnotationsConfig(Config):
    """``params:gene_annotations``."""

    uniprot: str | None = Field(None, description="UniProtKB export with function comments.")
    hgnc: str | None = Field(None, description="HGNC's complete set.")
    ncbi: str | None = Field(None, description="NCBI's Homo_sapiens.gene_info.")
    date: str | None = Field(
        None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="When they were downloaded: YYYY-MM-DD."
    )
    longest_function: int = Field(
        300,
        ge=20,
        le=100_000,
        description="Characters; whole sentences are kept, at least the first.",
    )


@dataclass(frozen=True)
class GeneSource:
    """One database's file: where a gene's symbol, name and function stand in it."""

    name: str
    licence: str
    read: Callable[[pd.DataFrame], pd.DataFrame]


def read_gene_annotations(table: pd.DataFrame | None) -> pd.DataFrame:
    """The optional ``gene_annotations.tsv`` with missing values, symbols in capitals.

    Raises:
        InputError: A column is missing, a gene has two rows, or a row does not say its source.
    """
    if table is None:
        return pd.DataFrame(columns=_COLUMNS, dtype="str")
    require_columns(table, set(_COLUMNS), "the gene annotations")
    annotations = with_missing(table, "the gene annotations")[_COLUMNS]
    annotations["gene"] = annotations["gene"].str.upper()
    refuse_repeats(annotations, "gene", "the gene annotations", "keep one row per gene")
    unsourced = annotations[annotations[["gene", "source", "licence", "date"]].isna().any(axis=1)]
    if len(unsourced):
        raise InputError(
            f"{len(unsourced)} row(s) of the gene annotations lack gene, source, licence or date, "
            f"e.g. line {unsourced.index[0] + 2}: fill in source, licence and date"
        )
    return annotations


def build_gene_annotations(
    genes: Iterable[str],
    tables: Mapping[str, pd.DataFrame | None],
    config: GeneAnnotationsConfig,
) -> pd.DataFrame:
    """One row per gene that any of the tables knows, in the order of `SOURCES`.

    Args:
        genes: Symbols that are wanted.
        tables: Name of a source -> its file, or None where there is none.
        config: Date, and how long a function may be.

    Raises:
        InputError: There is no file at all, one lacks a column, or the date is not given.
    """
    wanted = sorted({gene.upper() for gene in genes})
    read = [
        SOURCES[name].read(table.astype("str")).assign(source=name)
        for name, table in tables.items()
        if table is not None
    ]
    if not read:
        raise InputError(
            "there is no file to take gene annotations from: name at least one of "
            + ", ".join(f"gene_annotations.{name}" for name in SOURCES)
        )
    if config.date is None:
        raise InputError(
            "gene_annotations.date says when the files were downloaded, as in 2026-11-22: every "
            "row of the table carries it"
        )
    rows = pd.concat(read, ignore_index=True)
    rows["order"] = rows["source"].map({name: place for place, name in enumerate(SOURCES)})
    rows = rows[rows["symbol"].isin(wanted)].sort_values(["symbol", "order"], kind="stable")
    annotated = [
        _row(gene, chosen, config)
        for gene, found in rows.groupby("symbol")
        if len(chosen := _meant(found))
    ]
    return pd.DataFrame(annotated, columns=_COLUMNS)


def _meant(found: pd.DataFrame) -> pd.DataFrame:
    """Rows whose symbol is the gene's; without any, those of an alias that only one gene has."""
    by_symbol = found[~found["alias"]]
    if len(by_symbol):
        return by_symbol
    return found[~found["source"].duplicated(keep=False)]


def _row(gene: str, found: pd.DataFrame, config: GeneAnnotationsConfig) -> dict[str, object]:
    """The first source that has a name gives the name, the first that has a function gives that."""
    taken = {}
    used = []
    for field in ("name", "function"):
        having = found[found[field].notna()]
        if len(having):
            taken[field] = having[field].iloc[0]
            used.append(having["source"].iloc[0])
    sources = list(dict.fromkeys(used)) or [found["source"].iloc[0]]
    function = taken.get("function")
    return {
        "gene": gene,
        "name": taken.get("name"),
        "function": shortened(function, config.longest_function) if function else None,
        "source": "; ".join(SOURCES[source].name for source in sources),
        "licence": "; ".join(dict.fromkeys(SOURCES[source].licence for source in sources)),
        "date": config.date,
    }


def shortened(text: str, longest: int) -> str:
    """Whole sentences up to ``longest`` characters, at least one, without the last full stop."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip())
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept) + 1 + len(sentence) > longest:
            break
        kept += " " + sentence
    return kept.rstrip(".")


def _read_uniprot(table: pd.DataFrame) -> pd.DataFrame:
    """A UniProtKB export (TSV) with gene names, protein names and the function comment."""
    names, protein, function = "Gene Names", "Protein names", "Function [CC]"
    require_columns(table, {names, protein, function}, "the UniProt table")
    symbols = table[names].str.upper().str.replace(";", " ", regex=False).str.split()
    return _exploded(
        symbols.str[0],
        symbols.str[1:],
        name=table[protein].str.replace(r"\s+[\(\[].*$", "", regex=True),
        function=table[function].map(_without_references),
    )


def _without_references(comment: str) -> str:
    """A function comment without ``FUNCTION:``, evidence codes, PubMed numbers and isoform tags."""
    text = comment.split("FUNCTION:")[1] if "FUNCTION:" in comment else comment
    text = re.sub(r"\{ECO:[^}]*\}\.?|\(PubMed:[^)]*\)|\[Isoform[^\]]*\]:?", "", text)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\s+([.,;])", r"\1", text).strip(" ;")


def _read_hgnc(table: pd.DataFrame) -> pd.DataFrame:
    """HGNC's complete set; the gene group stands in for a function."""
    require_columns(
        table, {"symbol", "name", "alias_symbol", "prev_symbol", "gene_group"}, "the HGNC table"
    )
    other = table["alias_symbol"] + "|" + table["prev_symbol"]
    return _exploded(
        table["symbol"].str.upper(),
        other.str.strip('"').str.upper().str.split("|"),
        name=table["name"],
        function=table["gene_group"].str.strip('"').str.replace("|", ", ", regex=False),
    )


def _read_ncbi(table: pd.DataFrame) -> pd.DataFrame:
    """NCBI's ``Homo_sapiens.gene_info``: a description, no function."""
    require_columns(table, {"Symbol", "Synonyms", "description"}, "the NCBI table")
    return _exploded(
        table["Symbol"].str.upper(),
        table["Synonyms"].str.upper().str.split("|"),
        name=table["description"],
        function=pd.Series("", index=table.index),
    )


def _exploded(
    symbol: pd.Series, others: pd.Series, *, name: pd.Series, function: pd.Series
) -> pd.DataFrame:
    """One row per symbol, and one per older or other symbol, which ``alias`` marks."""
    facts = pd.DataFrame({"name": name, "function": function})
    facts = with_missing(facts, "the sources of gene annotations")
    by_symbol = facts.assign(symbol=symbol, alias=False)
    by_alias = facts.assign(symbol=others, alias=True).explode("symbol")
    rows = pd.concat([by_symbol, by_alias], ignore_index=True)
    return rows[rows["symbol"].notna() & ~rows["symbol"].isin(["", "-", "NAN"])]


SOURCES = {
    "uniprot": GeneSource("UniProtKB/Swiss-Prot", "CC BY 4.0", _read_uniprot),
    "hgnc": GeneSource("HGNC", "CC0", _read_hgnc),
    "ncbi": GeneSource("NCBI Gene", "public domain", _read_ncbi),
}
"""In the order in which they are asked."""
