"""Roles and conditions of wells."""

import pandas as pd
import pytest

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    MODALITY,
    N_SITES,
    PLATE,
    ROLE,
    SITE,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.platemaps import build_well_index, platemap_of
from morphoclip.perturbations.well_index import with_site_counts
from morphoclip.schemas.ingestion import WELL_INDEX

BARCODES = pd.DataFrame(
    {"Assay_Plate_Barcode": ["P1", "P2"], "Plate_Map_Name": ["x_compound_map", "x_crispr_map"]}
)
MAPS = {
    "x_compound_map": pd.DataFrame(
        {"well_position": ["a1", "B02", "C03"], "broad_sample": ["BRD-1", "", "BRD-1"]}
    ),
    "x_crispr_map": pd.DataFrame({"well_position": ["A01", "A02"], "broad_sample": ["G1", ""]}),
}
PERTURBATIONS = perturbation_table(
    {
        "x_compound_metadata": pd.DataFrame(
            {
                "broad_sample": ["BRD-1", ""],
                "pert_iname": ["a", "DMSO"],
                "control_type": ["", "negcon"],
                "smiles": ["", ""],
            }
        ),
        "x_crispr_metadata": pd.DataFrame(
            {"broad_sample": ["G1"], "gene": ["ABC1"], "control_type": [""]}
        ),
    }
)


def build(**changes: object) -> pd.DataFrame:
    arguments = {
        "plates": ["P1", "P2"],
        "barcode_platemap": BARCODES,
        "platemaps": MAPS,
        "perturbations": PERTURBATIONS,
        "experiment_metadata": None,
        "batch": "b",
    }
    return build_well_index(**arguments | changes)


def test_a_well_called_empty_or_without_a_vehicle_in_the_table_is_no_control() -> None:
    map_with_words = MAPS["x_compound_map"].assign(broad_sample=["BRD-1", "Empty", "blank"])
    wells = build(plates=["P1"], platemaps={"x_compound_map": map_with_words})
    assert wells[ROLE].tolist() == ["trt", "empty", "empty"]
    without_vehicle = PERTURBATIONS[PERTURBATIONS[BROAD_SAMPLE] != "DMSO"]
    assert build(perturbations=without_vehicle)[ROLE].tolist() == [
        "trt", "empty", "trt", "trt", "empty"
    ]  # fmt: skip


def test_a_dmso_row_of_the_tables_own_is_an_id_like_others() -> None:
    table = pd.DataFrame(
        {
            "broad_sample": ["BRD-1", "DMSO"],
            "pert_iname": ["a", ""],
            "control_type": ["", "negcon"],
            "smiles": ["", ""],
        }
    )
    perturbations = perturbation_table({"x_compound_metadata": table})
    assert perturbations[BROAD_SAMPLE].tolist() == ["BRD-1", "DMSO"]
    layout = MAPS["x_compound_map"].assign(broad_sample=["BRD-1", "", "DMSO"])
    wells = build(plates=["P1"], platemaps={"x_compound_map": layout}, perturbations=perturbations)
    assert wells[ROLE].tolist() == ["trt", "empty", "negcon"]


def test_a_blank_is_dmso_on_a_compound_plate_and_empty_on_a_genetic_one() -> None:
    wells = WELL_INDEX.validate(build()).set_index([PLATE, WELL])
    assert wells.loc[("P1", "B02"), [BROAD_SAMPLE, ROLE]].tolist() == ["DMSO", "negcon"]
    assert wells.loc[("P2", "A02"), ROLE] == "empty"
    assert pd.isna(wells.loc[("P2", "A02"), BROAD_SAMPLE])
    assert wells.loc[("P1", "A01"), MODALITY] == "compound"
    assert (wells[CONDITION] == wells[MODALITY]).all()


def test_conditions_come_from_the_batchs_own_rows() -> None:
    row = {"Density": "100", "Antibiotics": "absent", "Cell_line": "Cas9"}
    experiments = pd.DataFrame(
        [
            {"Batch": "b", "Assay_Plate_Barcode": "P1", "Cell_type": "A549", "Time": "24"} | row,
            {"Batch": "b", "Assay_Plate_Barcode": "P2", "Cell_type": "U2OS", "Time": "96"} | row,
            {"Batch": "c", "Assay_Plate_Barcode": "P1", "Cell_type": "HeLa", "Time": "1"} | row,
        ]
    )
    wells = build(experiment_metadata=experiments).drop_duplicates(PLATE).set_index(PLATE)
    assert wells.loc["P1", [CELL_TYPE, TIMEPOINT]].tolist() == ["A549", "24"]
    assert wells.loc["P2", CONDITION] == "crispr|U2OS|96|100|absent|Cas9"
    with pytest.raises(InputError, match="no row of batch d; it has b, c"):
        build(experiment_metadata=experiments, batch="d")


def test_imaged_wells_without_a_row_are_counted_and_named(caplog) -> None:
    sites = pd.DataFrame(
        [("P1", "A01", 1), ("P1", "D04", 1), ("P1", "D04", 2), ("P9", "A01", 1)],
        columns=[PLATE, WELL, SITE],
    )
    counted = with_site_counts(build(plates=["P1"]), sites)
    assert counted.set_index(WELL)[N_SITES].to_dict() == {"A01": 1, "B02": 0, "C03": 0}
    assert (
        "2 well(s) of 2 plate(s) have images or profiles and no row in the table of wells, and are "
        "left out: P1 D04, P9 A01"
    ) in caplog.text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (["A01", "a1"], r"lists 1 well\(s\) more than once, e\.g\. A01 in lines 2 and 3"),
        (["A01", "no"], "name no well, e.g. line 3: 'no'"),
    ],
)
def test_bad_wells_are_refused(table: list[str], message: str) -> None:
    maps = MAPS | {
        "x_crispr_map": pd.DataFrame({"well_position": table, "broad_sample": ["G1", "G1"]})
    }
    with pytest.raises(InputError, match=message):
        build(platemaps=maps)


def test_an_id_that_no_table_knows_is_named_with_its_well() -> None:
    maps = MAPS | {"x_crispr_map": pd.DataFrame({"well_position": ["A01"], "broad_sample": ["G9"]})}
    with pytest.raises(InputError, match=r"e\.g\. G9 in well A01 of the crispr platemap"):
        build(platemaps=maps)


def test_a_barcode_listed_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"e\.g\. P1 in lines 2 and 2"):
        platemap_of(pd.concat([BARCODES, BARCODES.head(1)]))


def test_sites_are_counted_and_wells_without_any_have_none() -> None:
    sites = pd.DataFrame({PLATE: ["P1", "P1"], WELL: ["A01", "A01"], SITE: [1, 2]})
    counted = with_site_counts(build(), sites).set_index([PLATE, WELL])[N_SITES]
    assert counted.loc[("P1", "A01")] == 2
    assert counted.sum() == 2


def test_real_plates_have_their_published_controls(gallery, real_data) -> None:
    metadata = gallery / "workspace/metadata"

    def read(path, sep: str = "\t") -> pd.DataFrame:
        return pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)

    maps = metadata / "platemaps/2020_11_04_CPJUMP1"
    barcodes = read(maps / "barcode_platemap.csv", ",")
    tables = {p.stem: read(p) for p in (metadata / "external_metadata").glob("*.tsv")}
    wells = build_well_index(
        list(barcodes["Assay_Plate_Barcode"]),
        barcodes,
        {path.stem: read(path) for path in (maps / "platemap").glob("*.txt")},
        perturbation_table(tables),
        read(real_data / "cpjump1/experiment-metadata.tsv"),
        "2020_11_04_CPJUMP1",
    )
    assert len(WELL_INDEX.validate(wells)) == 51 * 384
    plates = wells.drop_duplicates(PLATE)[MODALITY].value_counts().to_dict()
    assert plates == {"compound": 24, "crispr": 18, "orf": 9}
    controls = wells[wells[ROLE] == "negcon"].groupby([MODALITY, PLATE]).size()
    assert controls.groupby(MODALITY).unique().map(list).to_dict() == {
        "compound": [64], "crispr": [60], "orf": [60]
    }  # fmt: skip
    assert wells[CONDITION].notna().all()
