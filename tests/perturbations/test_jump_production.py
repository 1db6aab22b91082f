"""JUMP's production metadata: which plates, and what is in their wells."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from morphoclip.columns import (
    BATCH,
    BROAD_SAMPLE,
    CELL_TYPE,
    GENE,
    MODALITY,
    PERT_INAME,
    PLATE,
    ROLE,
    SMILES,
    SOURCE,
    WELL,
)
from morphoclip.datasets.jump_metadata import JumpMetadataDataset
from morphoclip.errors import InputError
from morphoclip.perturbations.described_wells import perturbations_of, well_index_of
from morphoclip.perturbations.jump_production import TABLES, chosen_plates, jump_wells
from morphoclip.perturbations.wells_table import read_wells_table
from morphoclip.schemas.ingestion import PERTURBATIONS, WELL_INDEX

REAL = os.environ.get("MORPHOCLIP_TEST_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="MORPHOCLIP_TEST_DATA is not set")

ROWS = {
    "plate": (
        "Metadata_Source,Metadata_Batch,Metadata_Plate,Metadata_PlateType",
        "source_4,B1,BR1,TARGET2",
        "source_4,B2,BR2,ORF",
        "source_13,B9,CP1,CRISPR",
        "source_3,B1,X1,TARGET2",
    ),
    "well": (
        "Metadata_Source,Metadata_Plate,Metadata_Well,Metadata_JCP2022",
        "source_4,BR1,A01,JCP2022_033924",
        "source_4,BR1,A02,JCP2022_000001",
        "source_4,BR1,A03,JCP2022_037716",
        "source_4,BR1,A04,JCP2022_999999",
        "source_4,BR1,A05,JCP2022_UNKNOWN",
        "source_4,BR2,A01,JCP2022_915131",
        "source_4,BR2,A02,JCP2022_900002",
        "source_4,BR2,A03,JCP2022_037716",
        "source_13,CP1,A01,JCP2022_800002",
        "source_13,CP1,A02,JCP2022_805264",
        "source_13,CP1,A03,JCP2022_800003",
        "source_3,X1,A01,JCP2022_000001",
    ),
    "compound": (
        "Metadata_JCP2022,Metadata_InChIKey,Metadata_SMILES",
        "JCP2022_000001,AAAA,CCO",
        "JCP2022_033924,IAZD,CS(C)=O",
        "JCP2022_037716,AMGX,CCN",
    ),
    "crispr": (
        "Metadata_JCP2022,Metadata_NCBI_Gene_ID,Metadata_Symbol",
        "JCP2022_800002,,non-targeting",
        "JCP2022_800003,2,A2M",
        "JCP2022_805264,5347,PLK1",
    ),
    "orf": (
        "Metadata_JCP2022,Metadata_broad_sample,Metadata_Symbol",
        "JCP2022_900002,ccsb1,NAT1",
        "JCP2022_915131,ccsb2,LacZ",
    ),
    "perturbation_control": (
        "Metadata_JCP2022,Metadata_pert_type,Metadata_Name,Metadata_modality",
        "JCP2022_999999,empty,Empty,any",
        "JCP2022_033924,negcon,DMSO,compound",
        "JCP2022_037716,poscon,AMG900,compound",
        "JCP2022_800002,negcon,non-targeting,crispr",
        "JCP2022_805264,poscon,PLK1,crispr",
        "JCP2022_915131,negcon,LacZ,orf",
    ),
}

Loaders = dict[str, Callable[[], pd.DataFrame]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in ROWS.items():
        with gzip.open(tmp_path / f"{name}.csv.gz", "wt") as file:
            file.write("\n".join(rows) + "\n")
    return tmp_path


def load(folder: Path) -> Loaders:
    return dict(JumpMetadataDataset(path=str(folder)).load())


def wells_of(folder: Path, *wanted: str) -> pd.DataFrame:
    wells = read_wells_table(jump_wells(load(folder), wanted or None), {})
    perturbations = PERTURBATIONS.validate(perturbations_of(wells))
    index = well_index_of(wells, perturbations, sorted(wells[PLATE].unique()))
    names = perturbations.set_index([MODALITY, BROAD_SAMPLE])[[PERT_INAME, SMILES]]
    table = WELL_INDEX.validate(index).join(names, on=[MODALITY, BROAD_SAMPLE])
    return table.set_index([PLATE, WELL])


def test_each_well_has_what_the_tables_say_of_its_id(folder) -> None:
    wells = wells_of(folder)
    assert wells[ROLE].to_dict() == {
        ("BR1", "A01"): "negcon",
        ("BR1", "A02"): "trt",
        ("BR1", "A03"): "poscon_cp",
        ("BR1", "A04"): "empty",
        ("BR2", "A01"): "negcon",
        ("BR2", "A02"): "trt",
        ("CP1", "A01"): "negcon",
        ("CP1", "A02"): "poscon_cp",
        ("CP1", "A03"): "trt",
        ("X1", "A01"): "trt",
    }
    assert wells.loc["BR1", PERT_INAME].dropna().to_dict() == {"A01": "DMSO", "A03": "AMG900"}
    assert wells.loc[("BR1", "A02"), SMILES] == "CCO"
    assert wells[GENE].dropna().to_dict() == {
        ("BR2", "A02"): "NAT1", ("CP1", "A02"): "PLK1", ("CP1", "A03"): "A2M"
    }  # fmt: skip
    assert wells[[SOURCE, BATCH, CELL_TYPE]].drop_duplicates().to_numpy().tolist() == [
        ["source_4", "B1", "U2OS"],
        ["source_4", "B2", "U2OS"],
        ["source_13", "B9", "U2OS"],
        ["source_3", "B1", "U2OS"],
    ]


def test_what_is_not_described_or_of_another_kind_is_counted(folder, caplog) -> None:
    wells_of(folder)
    assert "2 of 12 wells hold what no table describes for a plate of their kind" in caplog.text
    assert "JCP2022_UNKNOWN" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "plates"),
    [
        (("source_4/TARGET2",), ["BR1"]),
        (("TARGET2/",), ["BR1", "X1"]),
        (("source_4/",), ["BR1", "BR2"]),
        (("source_4/B2", "CP1"), ["BR2", "CP1"]),
        (("B1/source_3/X1",), ["X1"]),
        (("source_4/", "BR1"), ["BR1", "BR2"]),
    ],
)
def test_plates_are_chosen_by_source_batch_type_and_barcode(folder, wanted, plates) -> None:
    assert sorted(chosen_plates(load(folder)["plate"](), wanted)["Metadata_Plate"]) == plates


def test_a_selection_of_nothing_shows_what_there_is(folder) -> None:
    plate = load(folder)["plate"]()
    with pytest.raises(InputError, match=r"no plate is of 'TARGET3' in 'source_4/TARGET3'.*ORF"):
        chosen_plates(plate, ("source_4/TARGET3",))
    with pytest.raises(InputError, match="no plate is of 'TARGET2' in 'TARGET2'"):
        chosen_plates(plate, ("TARGET2",))  # without a slash it would be a barcode


def test_one_barcode_of_two_sources_is_told(folder) -> None:
    plate = load(folder)["plate"]().replace({"Metadata_Plate": {"X1": "BR1"}})
    with pytest.raises(
        InputError, match=r"1 barcode.* of two sources, e.g. BR1 of source_4, source_3"
    ):
        chosen_plates(plate, None)
    assert len(chosen_plates(plate, ("source_3/BR1",))) == 1


def test_missing_tables_columns_and_wells_are_told(folder) -> None:
    tables = load(folder)
    few = {name: read for name, read in tables.items() if name not in {"orf", "well"}}
    with pytest.raises(InputError, match=r"lack orf, well"):
        jump_wells(few, None)
    other = tables | {"orf": lambda: tables["orf"]().drop(columns="Metadata_Symbol")}
    with pytest.raises(InputError, match=r"JUMP's table orf lacks the column\(s\) Metadata_Symbol"):
        jump_wells(other, None)
    head = tables | {"well": lambda: tables["well"]().head(3)}
    with pytest.raises(InputError, match=r"no row of 3 chosen plate\(s\), e.g. BR2, CP1, X1"):
        jump_wells(head, None)
    (folder / "orf.csv.gz").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"orf.csv.gz of JUMP's metadata cannot be read"):
        load(folder)["orf"]()


def test_no_folder_is_no_tables() -> None:
    assert JumpMetadataDataset(path=None).load() == {}


@needs_real
def test_the_published_tables_choose_their_plates() -> None:
    plate = load(Path(str(REAL)) / "jump")["plate"]()
    assert len(chosen_plates(plate, None)) == 2525
    assert plate["Metadata_Source"].nunique() == 13  # twelve partners; source_4 has two roles
    assert len(chosen_plates(plate, ("source_4/TARGET2",))) == 22
    assert len(chosen_plates(plate, ("source_13/CRISPR", "source_4/ORF"))) == 148 + 251


@needs_real
def test_every_published_gene_control_and_guide_is_read() -> None:
    real = load(Path(str(REAL)) / "jump")
    assert set(TABLES) - set(real) == {"well", "compound"}
    plate = real["plate"]()
    chosen = {"ORF": real["orf"](), "CRISPR": real["crispr"]()}
    rows = []
    for kind, table in chosen.items():
        barcodes = plate.loc[plate["Metadata_PlateType"] == kind, "Metadata_Plate"].tolist()
        for number, jcp in enumerate(table["Metadata_JCP2022"]):
            row, column = divmod(number % 384, 24)
            place = (barcodes[number // 384], f"{chr(65 + row)}{column + 1:02d}")
            rows.append(("source_4" if kind == "ORF" else "source_13", *place, jcp))
    well = pd.DataFrame(rows, columns=sorted(TABLES["well"], key=_order))
    compound = pd.DataFrame(columns=sorted(TABLES["compound"]), dtype="str")
    tables = real | {"well": lambda: well, "compound": lambda: compound}
    wanted = tuple(well["Metadata_Plate"].unique())
    wells = read_wells_table(jump_wells(tables, wanted), {})
    by_role = wells.groupby([MODALITY, ROLE])[BROAD_SAMPLE].nunique().to_dict()
    assert by_role == {
        ("crispr", "negcon"): 2,
        ("crispr", "poscon_cp"): 1,
        ("crispr", "trt"): 7974,
        ("orf", "negcon"): 4,
        ("orf", "poscon_cp"): 1,
        ("orf", "trt"): len(chosen["ORF"]) - 5 - chosen["ORF"]["Metadata_Symbol"].eq("NA").sum(),
    }


def _order(column: str) -> int:
    return ["Source", "Plate", "Well", "JCP2022"].index(column.removeprefix("Metadata_"))
