"""Gene annotations: the user's table, and the recipe; samples are written for these tests."""

import pandas as pd
import pytest

from morphoclip.columns import BROAD_SAMPLE, FUNCTION, PROTEIN_NAME
from morphoclip.errors import InputError
from morphoclip.perturbations.gene_annotations import (
    GeneAnnotationsConfig,
    build_gene_annotations,
    read_gene_annotations,
    shortened,
)
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.schemas.ingestion import GENE_ANNOTATIONS

UNIPROT = pd.DataFrame(
    {
        "Entry": ["X1", "X2"],
        "Gene Names": ["AAA1 OLD1 AAAL", "BBB2"],
        "Protein names": ["First kinase (EC 9.9.9.9) (Kinase one)", "Second carrier [Cleaved]"],
        "Function [CC]": [
            "FUNCTION: Adds a phosphate (PubMed:1, PubMed:22). Stops at night. "
            "{ECO:0000269|PubMed:1}. FUNCTION: [Isoform 2]: Does nothing. {ECO:0000305}.",
            "",
        ],
    }
)
HGNC = pd.DataFrame(
    {
        "symbol": ["AAA1", "BBB2", "CCC3"],
        "name": ["AAA kinase 1", "BBB carrier 2", "CCC factor 3"],
        "alias_symbol": ["", "BTWO|SHARED", "CTHREE|SHARED"],
        "prev_symbol": ["OLD1", "", "GONE3"],
        "gene_group": ["Kinases", "Carriers|Membrane proteins", ""],
    }
)
NCBI = pd.DataFrame(
    {"Symbol": ["DDD4"], "Synonyms": ["-"], "description": ["DDD domain containing 4"]}
)
CONFIG = GeneAnnotationsConfig(date="2026-11-22")
ALL = {"uniprot": UNIPROT, "hgnc": HGNC, "ncbi": NCBI}


def build(*genes: str, config: GeneAnnotationsConfig = CONFIG, **changes: object) -> pd.DataFrame:
    return build_gene_annotations(genes, ALL | changes, config).set_index("gene")


def test_functions_come_without_references_and_with_their_source() -> None:
    row = build("AAA1").loc["AAA1"]
    assert row["name"] == "First kinase"
    assert row["function"] == "Adds a phosphate. Stops at night"
    assert row[["source", "licence", "date"]].tolist() == [
        "UniProtKB/Swiss-Prot", "CC BY 4.0", "2026-11-22"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("D(2) dopamine receptor (Dopamine D2 receptor)", "D(2) dopamine receptor"),
        ("NAD(P)H dehydrogenase [quinone] 1 (EC 1.6.5.2)", "NAD(P)H dehydrogenase"),
        ("Calmodulin-1", "Calmodulin-1"),
    ],
)
def test_brackets_within_a_name_stay(name: str, said: str) -> None:
    table = UNIPROT.head(1).assign(**{"Protein names": name, "Gene Names": "CALM1 CALM; CALM2"})
    assert build("CALM1", uniprot=table).loc["CALM1", "name"] == said


def test_what_one_source_lacks_the_next_one_gives_and_both_are_named() -> None:
    table = build("BBB2", "DDD4")
    assert table.loc["BBB2", "function"] == "Carriers, Membrane proteins"
    assert table.loc["BBB2", "source"] == "UniProtKB/Swiss-Prot; HGNC"
    assert table.loc["BBB2", "licence"] == "CC BY 4.0; CC0"
    assert table.loc["DDD4", "name"] == "DDD domain containing 4"
    assert pd.isna(table.loc["DDD4", "function"])


def test_an_older_symbol_is_found_and_one_that_two_genes_share_is_not() -> None:
    table = build("gone3", "SHARED", "NOBODY", uniprot=None)
    assert table["name"].to_dict() == {"GONE3": "CCC factor 3"}


def test_an_alias_never_takes_the_place_of_the_gene_itself() -> None:
    stranger = UNIPROT.head(1).assign(**{"Gene Names": "ZZZ9 DDD4"})
    row = build("DDD4", uniprot=stranger).loc["DDD4"]
    assert row["name"] == "DDD domain containing 4"
    assert row["source"] == "NCBI Gene"


def test_sentences_are_kept_whole() -> None:
    text = "Binds e.g. iron. Acts in the cell. Then leaves."
    assert shortened(text, 300) == text.rstrip(".")
    assert shortened(text, 35) == "Binds e.g. iron. Acts in the cell"
    assert shortened(text, 20) == "Binds e.g. iron"


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        (dict.fromkeys(ALL), CONFIG, "name at least one of gene_annotations.uniprot"),
        ({"hgnc": HGNC.drop(columns="name")}, CONFIG, r"HGNC table lacks the column\(s\) name"),
        ({}, GeneAnnotationsConfig(), "date says when the files were downloaded"),
    ],
)
def test_what_the_recipe_needs_is_said(changes: dict, config, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("AAA1", config=config, **changes)


def test_the_recipes_table_is_what_perturbations_read() -> None:
    table = GENE_ANNOTATIONS.validate(build("AAA1", "BBB2").reset_index())
    guides = pd.DataFrame(
        {
            "broad_sample": ["g1", "g2", "g3"],
            "gene": ["AAA1", "EEE5", ""],
            "control_type": ["", "", "negcon"],
        }
    )
    read = perturbation_table(
        {"x_crispr_metadata": guides}, gene_annotations=table.astype("str")
    ).set_index(BROAD_SAMPLE)
    assert read.loc["g1", PROTEIN_NAME] == "First kinase"
    assert read.loc["g1", FUNCTION] == "Adds a phosphate. Stops at night"
    assert read.loc[["g2", "g3"], FUNCTION].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gene": ["a", "A"]}, "more than once, e.g. A in lines 2 and 3"),
        ({"source": ["", "s"]}, "lack gene, source, licence or date, e.g. line 2"),
    ],
)
def test_a_users_table_is_checked(change: dict[str, list[str]], message: str) -> None:
    table = pd.DataFrame({"gene": ["A", "B"], "name": "n", "function": "f"}).assign(
        source="s", licence="l", date="d"
    )
    assert read_gene_annotations(table)["gene"].tolist() == ["A", "B"]
    with pytest.raises(InputError, match=message):
        read_gene_annotations(table.assign(**change))
