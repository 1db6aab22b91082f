"""CPJUMP1's published counts."""

import pandas as pd
import pytest

from morphoclip.columns import (
    GENE,
    MODALITY,
    PLATE,
    ROLE,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.cpjump1 import require_cpjump1
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.platemaps import build_well_index, modality_of_barcode


@pytest.fixture(scope="module")
def real(gallery, real_data):
    def read(path, sep: str = "\t") -> pd.DataFrame:
        return pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)

    metadata = gallery / "workspace/metadata"
    maps = metadata / "platemaps/2020_11_04_CPJUMP1"
    barcodes = read(maps / "barcode_platemap.csv", ",")
    tables = {p.stem: read(p) for p in (metadata / "external_metadata").glob("*.tsv")}
    perturbations = perturbation_table(tables)
    wells = build_well_index(
        list(barcodes["Assay_Plate_Barcode"]),
        barcodes,
        {path.stem: read(path) for path in (maps / "platemap").glob("*.txt")},
        perturbations,
        read(real_data / "cpjump1/experiment-metadata.tsv"),
        "2020_11_04_CPJUMP1",
    )
    return perturbations, wells, modality_of_barcode(barcodes)


def test_the_real_metadata_pass_whole_and_in_part(real) -> None:
    perturbations, wells, modalities = real
    require_cpjump1(perturbations, wells, modalities)
    require_cpjump1(perturbations, wells[wells[PLATE] == "BR00117011"], modalities)


def test_golden_rows_of_every_role(real) -> None:
    _, wells, _ = real
    rows = wells.set_index([PLATE, WELL])
    first = rows.reset_index().groupby([MODALITY, ROLE]).first()[[WELL, "Metadata_broad_sample"]]
    assert first.index.tolist() == [
        ("compound", "negcon"), ("compound", "poscon_cp"), ("compound", "poscon_diverse"),
        ("compound", "poscon_orf"), ("compound", "trt"),
        ("crispr", "empty"), ("crispr", "negcon"), ("crispr", "poscon_cp"),
        ("crispr", "poscon_diverse"), ("crispr", "poscon_orf"), ("crispr", "trt"),
        ("orf", "empty"), ("orf", "negcon"), ("orf", "poscon_cp"), ("orf", "poscon_diverse"),
        ("orf", "poscon_orf"), ("orf", "trt"),
    ]  # fmt: skip
    empty = wells[(wells[MODALITY] == "crispr") & (wells[ROLE] == "empty")]
    assert sorted(set(empty[WELL])) == ["E01", "G04", "J05", "L08"]
    types = wells.groupby(ROLE)["Metadata_perturbation_type"].unique().map(list).to_dict()
    assert types["negcon"] == ["NEGCON"]
    assert types["poscon_cp"] == types["poscon_orf"] == types["poscon_diverse"] == ["POSCON"]
    assert sorted(types["trt"]) == ["COMPOUND", "CRISPR", "ORF"]
    across = [
        set(wells.loc[(wells[MODALITY] == m) & (wells[ROLE] != "negcon"), GENE].dropna())
        for m in ("compound", "crispr", "orf")
    ]
    assert len(set.intersection(*across)) == 160


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, w, m: (p.drop(index=3), w, m), r"259 compound trt IDs, not 260"),
        (lambda p, w, m: (p, w.drop(index=5), m), r"plate BR00116991 has 383 wells, not 384"),
        (lambda p, w, m: (p, w, {"X": m["BR00117011"], **m}), r"25 compound plates"),
    ],
)
def test_other_counts_are_another_experiment(real, change, message: str) -> None:
    with pytest.raises(InputError, match=message + r".*ingestion\.experiment to other"):
        require_cpjump1(*change(*real))
