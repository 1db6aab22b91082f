"""A lab's table of wells: what it may look like, what it becomes, and what is refused."""

import logging
import re

import pandas as pd
import pytest

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONCENTRATION,
    CONCENTRATION_UNIT,
    CONDITION,
    DOSE,
    ENTITY,
    FUNCTION,
    GENE,
    MODALITY,
    PERT_INAME,
    PERTURBATION_TYPE,
    PLATE,
    ROLE,
    TARGET_LIST,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.described_wells import perturbations_of, well_index_of
from morphoclip.perturbations.prompts import prompt_table
from morphoclip.perturbations.wells_table import read_wells_table
from morphoclip.perturbations.wording import PromptTemplates, TextLevel
from morphoclip.schemas.ingestion import PERTURBATIONS, WELL_INDEX


def text(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype="str")


def tables(table: pd.DataFrame, **names: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Perturbations by ID, and wells by plate and name."""
    wells = read_wells_table(table, names)
    perturbations = PERTURBATIONS.validate(perturbations_of(wells))
    plates = sorted(wells[PLATE].unique())
    index = WELL_INDEX.validate(well_index_of(wells, perturbations, plates))
    return perturbations.set_index(BROAD_SAMPLE), index.set_index([PLATE, WELL])


PLAIN = text(
    plate=["P1"] * 5,
    well=["A01", "a2", "B03", "B04", "B05"],
    perturbation=["aspirin", "", "", "taxol", ""],
    control=["", "negcon", "EMPTY", "poscon", "blank"],
)


def test_three_columns_and_a_word_for_controls_are_enough() -> None:
    perturbations, wells = tables(PLAIN)
    assert wells.loc["P1", ROLE].to_dict() == {
        "A01": "trt", "A02": "negcon", "B03": "empty", "B04": "poscon_cp", "B05": "empty"
    }  # fmt: skip
    assert perturbations[PERTURBATION_TYPE].to_dict() == {
        "aspirin": "COMPOUND", "negcon": "NEGCON", "taxol": "POSCON"
    }  # fmt: skip
    assert perturbations[PERT_INAME].fillna("").to_dict() == {
        "aspirin": "aspirin", "negcon": "", "taxol": "taxol"
    }  # fmt: skip
    assert wells.loc[("P1", "B03"), [BROAD_SAMPLE, ENTITY]].isna().all()
    assert set(wells[CONDITION]) == {"compound"}


def test_a_perturbation_called_by_its_id_may_stand_in_its_prompt() -> None:
    perturbations, wells = tables(PLAIN)
    prompts = prompt_table(
        perturbations.reset_index(), wells.reset_index(), TextLevel.FULL, PromptTemplates()
    )
    assert sorted(prompts["Metadata_prompt"]) == [
        "Chemical perturbation: aspirin.",
        "Chemical perturbation: taxol.",
        "Negative control (DMSO).",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {
            "plate": "Metadata_Plate",
            "well": "Metadata_Well",
            "perturbation": "Metadata_broad_sample",
        },
        {"plate": "PLATE", "well": "Well Position", "control": "control_type"},
        {"plate": " plate ", "control": "Metadata_role"},
    ],
)
def test_columns_go_by_several_names(change: dict[str, str]) -> None:
    pd.testing.assert_frame_equal(tables(PLAIN.rename(columns=change))[1], tables(PLAIN)[1])


def test_columns_of_other_names_are_named(caplog) -> None:
    other = PLAIN.rename(columns={"plate": "Barcode", "perturbation": "Compound ID"})
    with caplog.at_level(logging.INFO):
        _, wells = tables(other.assign(operator="me"), plate="Barcode", perturbation="Compound ID")
    pd.testing.assert_frame_equal(wells, tables(PLAIN)[1])
    assert "1 column(s) of the wells table are not read: operator" in caplog.text


@pytest.mark.parametrize(
    ("row", "column", "well"),
    [("1", "1", "A01"), ("B", "03", "B03"), ("32", "48", "AF48"), ("aa", "7", "AA07")],
)
def test_wells_may_be_rows_and_columns(row: str, column: str, well: str) -> None:
    table = text(plate=["P"], row=[row], column=[column], perturbation=["x"])
    assert tables(table)[1].index.tolist() == [("P", well)]


def test_facts_that_stand_once_hold_for_all_wells_of_a_plate_or_perturbation() -> None:
    table = text(
        plate=["P1", "P1", "P2"],
        well=["A01", "A02", "A01"],
        perturbation=["c1", "c1", "c1"],
        name=["", "aspirin", ""],
        cell_type=["U2OS", "", "A549"],
        timepoint=["48 h", "", "24"],
        moa=["", "COX inhibitor; analgesic", ""],
        targets=["ptgs1, PTGS2", "", ""],
    )
    perturbations, wells = tables(table)
    assert wells[CELL_TYPE].tolist() == ["U2OS", "U2OS", "A549"]
    assert wells[TIMEPOINT].tolist() == ["48", "48", "24"]
    assert wells[CONDITION].tolist() == ["compound|U2OS|48"] * 2 + ["compound|A549|24"]
    row = perturbations.loc["c1"]
    assert row[[PERT_INAME, FUNCTION, TARGET_LIST]].tolist() == [
        "aspirin", "COX inhibitor, analgesic", "PTGS1|PTGS2"
    ]  # fmt: skip
    assert wells[TARGET_LIST].tolist() == ["PTGS1|PTGS2"] * 3
    assert pd.isna(row[GENE])


def test_the_only_target_is_the_gene() -> None:
    table = text(plate=["P"], well=["A01"], perturbation=["c"], targets=["hdac1"])
    assert tables(table)[0].loc["c", GENE] == "HDAC1"


DOSES = text(
    plate=["P"] * 5,
    well=["A01", "A02", "A03", "A04", "A05"],
    perturbation=["c1", "c1", "c1", "c2", "DMSO"],
    name=["aspirin", "", "", "taxol", ""],
    control=["", "", "", "", "negcon"],
    concentration=["1000", "1", "10", "0.5", "0.1"],
    unit=["nM", "uM", "µM", "ug/ml", "%"],
)


def test_doses_of_one_perturbation_are_told_apart_and_stay_one_entity() -> None:
    perturbations, wells = tables(DOSES)
    assert wells[BROAD_SAMPLE].tolist() == ["c1 @ 1 µM", "c1 @ 1 µM", "c1 @ 10 µM", "c2", "DMSO"]
    assert wells[CONCENTRATION].tolist()[:4] == [1, 1, 10, 0.5]
    assert wells[CONCENTRATION_UNIT].fillna("").tolist() == ["µM", "µM", "µM", "µg/mL", ""]
    assert perturbations[DOSE].fillna("").to_dict() == {
        "DMSO": "", "c1 @ 1 µM": "1 µM", "c1 @ 10 µM": "10 µM", "c2": "0.5 µg/mL"
    }  # fmt: skip
    assert perturbations[ENTITY].nunique() == 3
    prompts = prompt_table(
        perturbations.reset_index(), wells.reset_index(), TextLevel.NAME_ONLY, PromptTemplates()
    )
    assert "Chemical perturbation: aspirin. Dose: 10 µM." in set(prompts["Metadata_prompt"])


def test_genetic_plates_go_by_gene_and_controls_share_the_plates_modality() -> None:
    table = text(
        plate=["P", "P", "P", "Q"],
        well=["A01", "A02", "A03", "A01"],
        perturbation=["g1", "g2", "nt", "s1"],
        control=["", "", "negcon", ""],
        modality=["crispr", "", "", "siRNA"],
        gene=["hdac1", "HDAC1", "", "TP53"],
    )
    perturbations, wells = tables(table)
    assert wells[MODALITY].tolist() == ["crispr"] * 3 + ["sirna"]
    assert perturbations.loc[["g1", "g2", "s1"], ENTITY].tolist() == [
        "crispr:HDAC1", "crispr:HDAC1", "sirna:TP53"
    ]  # fmt: skip
    prompts = prompt_table(
        perturbations.reset_index(), wells.reset_index(), TextLevel.FULL, PromptTemplates()
    )
    assert {"CRISPR knockout of HDAC1.", "siRNA knockdown of TP53."} < set(
        prompts["Metadata_prompt"]
    )


def test_a_description_is_the_prompt_as_it_stands() -> None:
    table = text(
        plate=["P"], well=["A01"], perturbation=["x"], modality=["other"],
        description=["heat shock at 42 degrees for 1 h"],
    )  # fmt: skip
    perturbations, wells = tables(table)
    for level in TextLevel:
        prompts = prompt_table(
            perturbations.reset_index(), wells.reset_index(), level, PromptTemplates()
        )
        assert prompts["Metadata_prompt"].tolist() == ["heat shock at 42 degrees for 1 h"]


def with_rows(**columns: list[str]) -> pd.DataFrame:
    """Two wells of a plate, with these columns in place of the usual."""
    usual = {"plate": ["P", "P"], "well": ["A01", "A02"], "perturbation": ["c1", "c2"]}
    return text(**usual | columns)


REFUSED = {
    "no row": (with_rows().iloc[:0], "has no row"),
    "blank rows only": (with_rows(plate=["", ""], well=["", ""], perturbation=["", ""]), "no row"),
    "no plate column": (with_rows().drop(columns="plate"), "lacks the column(s) plate; it has"),
    "no well column": (with_rows().drop(columns="well"), "lacks the column(s) well (or row and"),
    "no perturbation column": (
        with_rows().drop(columns="perturbation"),
        "lacks the column(s) perturbation",
    ),
    "two columns of one meaning": (
        with_rows(Metadata_Well=["A01", "A02"]),
        "has 2 columns that say well: well, Metadata_Well; choose one with ingestion.well_columns",
    ),
    "a plate left blank": (with_rows(plate=["P", ""]), "1 row(s) have no plate, e.g. line 3;"),
    "a well left blank": (with_rows(well=["A01", ""]), "1 row(s) have no well, e.g. line 3"),
    "a well that is none": (
        with_rows(well=["A01", "1A"]),
        "a well that is none, e.g. line 3: '1A'",
    ),
    "a well off the plate": (with_rows(well=["A01", "AG01"]), "a well that is none, e.g. line 3"),
    "a column off the plate": (with_rows(well=["A01", "A49"]), "a well that is none"),
    "a row of nought": (
        with_rows(row=["1", "0"], column=["1", "1"]).drop(columns="well"),
        "a well that is none, e.g. line 3",
    ),
    "wells twice": (with_rows(well=["A01", "A1"]), "1 well(s) more than once, e.g. P A01 in lines"),
    "an unknown control word": (
        with_rows(control=["", "vehicle"]),
        "1 row(s) have a word in the column control that is not known, e.g. line 3: 'vehicle'",
    ),
    "neither perturbation nor control": (
        with_rows(perturbation=["c1", ""]),
        "1 row(s) name no perturbation and no control, e.g. line 3; write negcon or empty",
    ),
    "a positive control without an ID": (
        with_rows(perturbation=["c1", ""], control=["", "poscon"]),
        "name no perturbation and no control",
    ),
    "an empty well with a perturbation": (
        with_rows(control=["", "empty"]),
        "1 row(s) are called empty and name a perturbation, e.g. line 3: 'c2'",
    ),
    "an unknown modality": (
        with_rows(modality=["compound", "drug"]),
        "word in the column modality that is not known, e.g. line 3: 'drug'",
    ),
    "two modalities on a plate": (
        with_rows(modality=["compound", "antibody"]),
        "1 plate(s) do not have one modality, e.g. P has antibody, compound",
    ),
    "a plate without modality": (
        with_rows(plate=["P", "Q"], modality=["compound", ""]),
        "1 plate(s) do not have one modality, e.g. Q has none",
    ),
    "two cell types on a plate": (
        with_rows(cell_type=["U2OS", "A549"]),
        "1 plate(s) have several values in cell_type, e.g. P: A549, U2OS",
    ),
    "two times on a plate": (with_rows(timepoint=["24", "48"]), "several values in timepoint"),
    "a time in words": (
        with_rows(timepoint=["overnight", ""]),
        "a timepoint that is no number of hours, e.g. line 2: 'overnight'",
    ),
    "a time in days": (with_rows(timepoint=["2 d", ""]), "no number of hours"),
    "a guide without a gene": (
        with_rows(modality=["crispr", "crispr"], gene=["TP53", ""]),
        "1 row(s) have no gene, on a plate of guides or constructs, e.g. line 3: 'c2'",
    ),
    "two names of one ID": (
        with_rows(perturbation=["c1", "c1"], name=["aspirin", "taxol"]),
        "1 perturbation(s) have several values in name, e.g. c1 in lines 2 and 3: aspirin, taxol",
    ),
    "two structures of one ID": (
        with_rows(perturbation=["c1", "c1"], smiles=["C", "CC"]),
        "several values in smiles",
    ),
    "two genes of one ID": (
        with_rows(perturbation=["c1", "c1"], gene=["TP53", "HDAC1"]),
        "several values in gene",
    ),
    "a treatment that is a control elsewhere": (
        with_rows(perturbation=["c1", "c1"], control=["", "negcon"]),
        "several values in control, e.g. c1",
    ),
    "a decimal comma": (
        with_rows(concentration=["0,5", "1"], unit=["uM", "uM"]),
        "1 concentration(s) are written with a comma, e.g. line 2: '0,5'; write decimals with",
    ),
    "an endless time": (with_rows(timepoint=["inf", ""]), "no number of hours"),
    "an endless dose": (
        with_rows(concentration=["1e400", "1"], unit=["uM", "uM"]),
        "1 concentration(s) are no number, e.g. line 2: '1e400'",
    ),
    "a well against its row and column": (
        with_rows(row=["5", ""], column=["7", ""]),
        "1 row(s) have a well that is not that of their row and column, e.g. line 2",
    ),
    "a dash for a perturbation": (
        with_rows(perturbation=["c1", "-"]),
        "1 row(s) name no perturbation and no control, e.g. line 3",
    ),
    "a word for empty without control": (
        with_rows(perturbation=["c1", "blank"]),
        "1 row(s) name no perturbation and no control, e.g. line 3",
    ),
    "a perturbation that nobody sees": (
        with_rows(perturbation=["c1", "\u200b"]),
        "1 row(s) name no perturbation and no control, e.g. line 3",
    ),
    "an ID as one with its dose": (
        with_rows(
            well=["A01", "A02"],
            perturbation=["asp", "asp @ 5 µM"],
            concentration=["5", "1"],
            unit=["uM", "uM"],
        ).pipe(lambda t: pd.concat([t, t.iloc[:1].assign(well="A03", concentration="10")])),
        "1 row(s) call a perturbation as one with its dose is called, e.g. line 3: 'asp @ 5 µM'",
    ),
    "a time of day for a name": (
        with_rows(name=["10:30:00", ""]),
        "1 row(s) hold a date or a time in the column name, e.g. line 2: '10:30:00'",
    ),
    "a date with a time for a name": (
        with_rows(name=["2026-01-02 03:04:00", ""]),
        "1 row(s) hold a date or a time in the column name",
    ),
    "a plate of no name": (with_rows(plate=["..", ".."]), "'..' is no name of a plate"),
    "a dose without a unit": (
        with_rows(concentration=["5", "1"], unit=["", "uM"]),
        "1 concentration(s) have no unit, e.g. line 2: '5'; fill in the column unit",
    ),
    "doses without a column of units": (
        with_rows(concentration=["5", "1"]),
        "2 concentration(s) have no unit",
    ),
    "an unknown unit": (
        with_rows(concentration=["5", "1"], unit=["uM", "drops"]),
        "1 concentration(s) have a unit that is not known, e.g. line 3: 'drops'",
    ),
    "a dose in words": (
        with_rows(concentration=["high", "1"], unit=["uM", "uM"]),
        "1 concentration(s) are no number, e.g. line 2: 'high'",
    ),
    "a negative dose": (
        with_rows(concentration=["-1", "1"], unit=["uM", "uM"]),
        "are no number, e.g. line 2: '-1'",
    ),
    "a dose left blank among several": (
        text(
            plate=["P"] * 3, well=["A01", "A02", "A03"], perturbation=["c"] * 3,
            concentration=["1", "2", ""], unit=["uM"] * 3,
        ),
        "given in several doses have no concentration, e.g. line 4: 'c'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_used_ends_in_a_sentence(fault: str) -> None:
    table, said = REFUSED[fault]
    with pytest.raises(InputError, match=re.escape(said)):
        read_wells_table(table, {})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"barcode": "plate"}, "names barcode, which is no column of ours; ours are plate, well"),
        ({"plate": "Barcode"}, "has the column(s) Barcode; it has plate, well, perturbation"),
    ],
)
def test_names_of_columns_that_are_wrong_are_refused(names: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        read_wells_table(with_rows(), names)


def test_characters_that_look_alike_are_one() -> None:
    names = ["caf\u00e9", "cafe\u0301", "ca\u200bfé"]
    wells = ["A01", "A02", "A03"]
    perturbations, _ = tables(text(plate=["P"] * 3, well=wells, perturbation=names))
    assert list(perturbations.index) == ["caf\u00e9"]


def test_percent_means_percent() -> None:
    table = with_rows(concentration=["10%", "5"], unit=["%", "%"])
    _, wells = tables(table)
    assert wells[CONCENTRATION].tolist() == [10.0, 5.0]


def test_treatments_that_are_called_as_controls_are_said(caplog) -> None:
    tables(with_rows(perturbation=["c1", "DMSO"]))
    assert "1 well(s) of DMSO are treatments, e.g. line 3, since their column" in caplog.text
