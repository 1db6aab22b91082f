"""Conditions that are compared: those on the same cells; and the one subset of a treatment."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.columns import CELL_TYPE, CONDITION, MODALITY
from morphoclip.metrics.conditions import by_cell_type, compound_gene_pairs, single_subset


def table(*rows: tuple[str, str | None, str]) -> pd.DataFrame:
    """Modality, cell type and hour of each row."""
    columns = pd.DataFrame(rows, columns=[MODALITY, CELL_TYPE, "hour"])
    names = columns[MODALITY] + "|" + columns[CELL_TYPE].fillna("?") + "|" + columns["hour"]
    return columns.assign(**{CONDITION: names})


ROWS = table(
    ("orf", "U2OS", "48"),
    ("compound", "U2OS", "24"),
    ("compound", "A549", "24"),
    ("crispr", "U2OS", "96"),
    ("compound", "U2OS", "48"),
    ("compound", "U2OS", "24"),
    ("crispr", "HeLa", "96"),
)


def test_every_compound_condition_meets_every_genetic_one_of_its_cells() -> None:
    pairs = list(compound_gene_pairs(ROWS))
    assert [(pair.compound_condition, pair.genetic_condition) for pair in pairs] == [
        ("compound|U2OS|24", "crispr|U2OS|96"),
        ("compound|U2OS|24", "orf|U2OS|48"),
        ("compound|U2OS|48", "crispr|U2OS|96"),
        ("compound|U2OS|48", "orf|U2OS|48"),
    ]
    assert [list(pair.compounds.index) for pair in pairs] == [[1, 5], [1, 5], [4], [4]]
    assert [list(pair.genetic.index) for pair in pairs] == [[3], [0], [3], [0]]


def test_compounds_alone_meet_nothing() -> None:
    assert list(compound_gene_pairs(ROWS[ROWS[MODALITY] == "compound"])) == []
    assert list(compound_gene_pairs(ROWS[ROWS[MODALITY] != "compound"])) == []


def test_unknown_cells_belong_together_and_to_no_known_ones() -> None:
    rows = table(("compound", None, "24"), ("crispr", None, "96"), ("orf", "U2OS", "48"))
    pairs = list(compound_gene_pairs(rows))
    assert [(pair.compound_condition, pair.genetic_condition) for pair in pairs] == [
        ("compound|?|24", "crispr|?|96")
    ]


@given(cells=st.lists(st.sampled_from(["U2OS", "A549", None]), min_size=1, max_size=12))
def test_cell_types_part_the_rows_and_keep_their_order(cells: list[str | None]) -> None:
    rows = table(*(("orf", cell, "48") for cell in cells))
    parts = list(by_cell_type(rows))
    assert len(parts) == len(set(cells))
    assert all(len(set(part[CELL_TYPE].fillna(""))) == 1 for part in parts)
    assert all(part.index.is_monotonic_increasing for part in parts)
    assert pd.concat(parts).sort_index().equals(rows)


@pytest.mark.parametrize(
    ("subsets", "one"),
    [
        (["test", "test"], "test"),
        (["train"], "train"),
        (["train", "test"], None),
        (["train", "train", "excluded"], None),
        (["train", None], None),
    ],
)
def test_only_wells_of_one_subset_have_it(subsets: list[str | None], one: str | None) -> None:
    assert single_subset(pd.Series(subsets)) == one
    assert single_subset(pd.Series(subsets[::-1], index=range(5, 5 + len(subsets)))) == one
