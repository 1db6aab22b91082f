"""The JUMP-Target tables, dialects and all."""

import pandas as pd
import pytest

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    GENE,
    MOA_LIST,
    MODALITY,
    PERTURBATION_TYPE,
    ROLE,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.jump_target import DMSO, perturbation_table
from morphoclip.schemas.ingestion import PERTURBATIONS


def text(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=str)


COMPOUNDS = text(
    broad_sample=["BRD-1", "BRD-2", "BRD-3", ""],
    InChIKey=["AAA", "BBB", "BBB", ""],
    pert_iname=["alpha", "beta", "gamma", "DMSO"],
    target=["ABC1", "", "abc1", ""],
    control_type=["", "poscon_cp", "NA", "negcon"],
    smiles=["C", "CC", "CC", ""],
)
GUIDES = text(
    broad_sample=["G1", "G2", "G3"],
    gene=["ABC1", "ABC1", ""],
    control_type=["", "poscon_diverse", "negcon"],
)
BOTH = {"X_compound_metadata": COMPOUNDS, "X_crispr_metadata": GUIDES}


def read(path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def test_roles_types_genes_and_entities() -> None:
    table = PERTURBATIONS.validate(perturbation_table(BOTH)).set_index(BROAD_SAMPLE)
    assert table[ROLE].to_dict() == {
        "BRD-1": "trt", "BRD-2": "poscon_cp", "BRD-3": "trt", DMSO: "negcon",
        "G1": "trt", "G2": "poscon_diverse", "G3": "negcon",
    }  # fmt: skip
    assert table[PERTURBATION_TYPE].tolist() == [
        "COMPOUND", "POSCON", "COMPOUND", "NEGCON", "CRISPR", "POSCON", "NEGCON"
    ]  # fmt: skip
    assert table.loc["BRD-3", GENE] == "ABC1"
    assert pd.isna(table.loc["BRD-2", GENE])
    assert table.loc["BRD-2", ENTITY] == table.loc["BRD-3", ENTITY] == "compound:BRD-2"
    assert table.loc["G3", ENTITY] == "crispr:negcon"
    assert table.loc["G1", ENTITY] == table.loc["G2", ENTITY] == "crispr:ABC1"


def test_one_name_under_two_ids_is_one_entity() -> None:
    names = ["same", "SAME", "other", "DMSO"]
    table = COMPOUNDS.assign(InChIKey="", pert_iname=names, smiles=["C", "CC", "CCC", ""])
    entities = perturbation_table({"X_compound_metadata": table})[ENTITY].tolist()
    assert entities == ["compound:BRD-1", "compound:BRD-1", "compound:BRD-3", "compound:DMSO"]


def test_chains_of_names_and_structures_are_followed() -> None:
    table = text(
        broad_sample=["C", "A", "B"],
        InChIKey=["K1", "K2", "K1"],
        pert_iname=["x", "y", "Y"],
        control_type=["", "", ""],
        smiles=["", "", ""],
    )
    assert set(perturbation_table({"X_compound_metadata": table})[ENTITY][:3]) == {"compound:A"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control_type": ["", "positive", "", ""]}, "unknown control_type.* positive"),
        ({"broad_sample": ["BRD-1", "BRD-1", "BRD-3", ""]}, "BRD-1"),
        ({"pert_iname": ["", "b", "c", "DMSO"]}, "1 perturbation.* no pert_iname: BRD-1"),
    ],
)
def test_bad_tables_are_refused_in_words(change: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        perturbation_table({"X_compound_metadata": COMPOUNDS.assign(**change)})


def test_a_missing_column_names_file_and_column() -> None:
    with pytest.raises(InputError, match=r"X_crispr_metadata lacks the column\(s\) gene"):
        perturbation_table({"X_crispr_metadata": GUIDES.drop(columns="gene")})


def test_without_tables_the_expected_names_are_told() -> None:
    with pytest.raises(InputError, match=r"JUMP-Target-1_compound_metadata\.tsv"):
        perturbation_table({"readme": GUIDES})


@pytest.fixture(scope="module")
def real_tables(gallery) -> dict[str, pd.DataFrame]:
    folder = gallery / "workspace/metadata/external_metadata"
    return {path.stem: read(path) for path in folder.glob("*.tsv")}


def test_real_counts(real_tables) -> None:
    table = PERTURBATIONS.validate(perturbation_table(real_tables))
    counts = table.groupby([MODALITY, ROLE]).size().to_dict()
    assert counts == {
        ("compound", "negcon"): 1, ("compound", "poscon_cp"): 26,
        ("compound", "poscon_diverse"): 14, ("compound", "poscon_orf"): 6, ("compound", "trt"): 260,
        ("crispr", "negcon"): 30, ("crispr", "poscon_cp"): 25, ("crispr", "poscon_diverse"): 28,
        ("crispr", "poscon_orf"): 5, ("crispr", "trt"): 247,
        ("orf", "negcon"): 15, ("orf", "poscon_cp"): 13, ("orf", "poscon_diverse"): 14,
        ("orf", "poscon_orf"): 3, ("orf", "trt"): 130,
    }  # fmt: skip
    treated = table[table[ROLE] != "negcon"]
    assert treated.groupby(MODALITY)[ENTITY].nunique().to_dict() == {
        "compound": 301, "crispr": 160, "orf": 160
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "cpjump1/JUMP-Target-1_compound_metadata.jump-target-repo.tsv",
        "cpjump1/JUMP-Target-1_compound_metadata_additional_annotations.tsv",
    ],
)
def test_every_dialect_of_the_compound_table_is_read(real_data, real_tables, name) -> None:
    table = perturbation_table(real_tables, read(real_data / name))
    compounds = table[(table[MODALITY] == "compound") & (table[ROLE] != "negcon")]
    assert len(compounds) == 306
    assert compounds[ENTITY].nunique() == 301
    assert compounds[MOA_LIST].notna().any() == ("annotations" in name)
