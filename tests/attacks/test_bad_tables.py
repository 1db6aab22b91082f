"""Tables in every dialect that is read, and what spreadsheets, scripts and disks do to them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from attacks.outcomes import Attack, Expected, outcome
from lab_plates import wells_table

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    GENE,
    INCHIKEY,
    MODALITY,
    PERT_INAME,
    PLATE,
    ROLE,
    SUBSET,
    TARGET_LIST,
    WELL,
)
from morphoclip.datasets.external_table import ExternalTableDataset
from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.datasets.text_table import TextTableDataset
from morphoclip.evaluation.external_profiles import read_external_profiles
from morphoclip.gallery.load_data import ListedImages
from morphoclip.imaging.sites import index_plates
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.platemaps import build_well_index
from morphoclip.perturbations.wells_table import read_wells_table
from morphoclip.splits.external_split import CheckSplitConfig, manifest_of

WELLS = wells_table(24, plates=("P1",))
RNG = np.random.default_rng(0)
FEATURES = pd.DataFrame(
    RNG.standard_normal((len(WELLS), 6)), columns=[f"Cells_Feature_{n}" for n in range(6)]
)
PROFILES = pd.concat([WELLS[["plate", "well"]].set_axis([PLATE, WELL], axis=1), FEATURES], axis=1)
INDEX = PROFILES[[PLATE, WELL]].assign(
    **{
        ROLE: ["negcon" if n % 4 == 0 else "trt" for n in range(len(WELLS))],
        BROAD_SAMPLE: [f"c{n % 9}" for n in range(len(WELLS))],
        ENTITY: [f"e{n % 9}" for n in range(len(WELLS))],
        MODALITY: "compound", GENE: "A", INCHIKEY: None, TARGET_LIST: None, PERT_INAME: "x",
    }
)  # fmt: skip
SPLIT = PROFILES[[PLATE, WELL]].assign(
    **{SUBSET: ["train", "validation", "test"] * (len(WELLS) // 3)}
)
MAP = pd.DataFrame({"well_position": WELLS["well"], "broad_sample": ["BRD-1", ""] * 12})
LISTED = pd.DataFrame(
    {
        "Metadata_Plate": "P1", "Metadata_Well": WELLS["well"], "Metadata_Site": "1",
        "FileName_OrigDNA": [f"{well}.tif" for well in WELLS["well"]], "PathName_OrigDNA": "/x",
    }
)  # fmt: skip
PERTURBATIONS = perturbation_table(
    {
        "x_compound_metadata": pd.DataFrame(
            {
                "broad_sample": ["BRD-1", ""], "pert_iname": ["a", "DMSO"],
                "control_type": ["", "negcon"], "smiles": ["", ""],
            }
        )
    }
)  # fmt: skip

Write = Callable[[pd.DataFrame, Path], None]
DIALECTS: dict[str, Write] = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    ".csv.gz": lambda table, path: table.to_csv(path, index=False, compression="gzip"),
    ".parquet": lambda table, path: table.to_parquet(path, index=False),
    ".xlsx": lambda table, path: table.to_excel(path, index=False),
}


def read_wells(path: Path) -> Any:
    table = SpreadsheetDataset(filepath=str(path), called="the wells table").load()
    return read_wells_table(table, {})


def read_profiles(path: Path) -> Any:
    found = read_external_profiles(ExternalTableDataset(filepath=str(path)).load(), INDEX)
    return pd.concat([found.metadata[[PLATE, WELL]], pd.DataFrame(found.matrix)], axis=1)


def read_split(path: Path) -> Any:
    table = ExternalTableDataset(filepath=str(path)).load()
    return manifest_of(table, INDEX, CheckSplitConfig(path=str(path), column=SUBSET))


def read_platemap(path: Path) -> Any:
    table = TextTableDataset(filepath=str(path)).load()
    barcodes = pd.DataFrame({"Assay_Plate_Barcode": ["P1"], "Plate_Map_Name": ["x_compound"]})
    return build_well_index(["P1"], barcodes, {"x_compound": table}, PERTURBATIONS, None, "b")


def read_load_data(path: Path) -> Any:
    table = SpreadsheetDataset(filepath=str(path), called="the LoadData table").load()
    listed = ListedImages(table)
    return index_plates(((p, listed.of(p)) for p in listed.plates), {"DNA": "DNA"}).site_index


READERS: dict[str, tuple[pd.DataFrame, str, Callable[[Path], Any], tuple[str, ...]]] = {
    "wells": (WELLS, "well", read_wells, (".csv", ".tsv", ".parquet", ".xlsx")),
    "profiles": (PROFILES, WELL, read_profiles, (".csv", ".tsv", ".csv.gz", ".parquet")),
    "split": (SPLIT, WELL, read_split, (".csv", ".tsv", ".parquet")),
    "platemap": (MAP, "well_position", read_platemap, (".tsv",)),
    "LoadData": (LISTED, "Metadata_Well", read_load_data, (".csv", ".parquet")),
}


def with_cell(table: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    changed = table.astype({column: "object"})
    changed.loc[row, column] = value
    return changed


def changes(table: pd.DataFrame, well: str) -> Iterator[tuple[str, pd.DataFrame, Expected]]:
    """What may befall any table that has wells."""
    yield "as it is", table, "same"
    yield "a header alone", table.head(0), "refused"
    yield "no column of wells", table.drop(columns=well), "refused"
    for name in ("A00", "Z99", "well 3", "", None, "A01;B01", "١", "A-1", "1e5"):
        yield f"the well {name!r}", with_cell(table, 2, well, name), "refused"
    yield "a well twice", pd.concat([table, table.tail(1)], ignore_index=True), "refused"
    yield "names of wells in lower case", table.assign(**{well: table[well].str.lower()}), "same"
    yield "blanks around wells", table.assign(**{well: " " + table[well] + " "}), "same"


def of_profiles(table: pd.DataFrame, _: str) -> Iterator[tuple[str, pd.DataFrame, Expected]]:
    index = pd.DataFrame({"Unnamed: 0": range(len(table))})
    yield "an index without a name", pd.concat([index, table], axis=1), "same"
    yield "a count of rows", table.assign(number=range(5, 5 + len(table))), "same"
    yield "a value that is infinite", table.assign(extra=[np.inf, *range(len(table) - 1)]), "said"
    yield "a value that is missing", table.assign(extra=[None, *range(len(table) - 1)]), "said"
    yield "numbers with commas", table.assign(extra=[f"{n},5" for n in range(len(table))]), "said"
    yield "no number at all", table[[PLATE, WELL]].assign(a="x"), "refused"
    yield (
        "nothing finite",
        table[[PLATE, WELL]].assign(a=[np.nan, *([1.5] * (len(table) - 1))]),
        "refused",
    )
    yield "controls alone", table.iloc[::4].reset_index(drop=True), "refused"
    yield "a plate that nobody knows", table.assign(**{PLATE: "other"}), "refused"
    yield "a plate without a name", with_cell(table, 3, PLATE, None), "refused"
    yield "wells of no plate", table.drop(columns=PLATE), "refused"


def of_wells(table: pd.DataFrame, _: str) -> Iterator[tuple[str, pd.DataFrame, Expected]]:
    yield "a control of another kind", with_cell(table, 1, "control", "perhaps"), "refused"
    yield "a date for a name", with_cell(table, 1, "perturbation", "2024-03-01"), "refused"
    yield "a well without a perturbation", with_cell(table, 1, "perturbation", ""), "refused"
    yield "a word for a missing control", with_cell(table, 1, "control", "NaN"), "said"
    yield "two sets of targets", with_cell(table, 1, "targets", "OTHER"), "refused"
    yield "a plate without a name", with_cell(table, 1, "plate", ""), "refused"
    yield "an empty line", pd.concat([table, table.tail(1).replace(r".*", "", regex=True)]), "same"


def of_platemaps(table: pd.DataFrame, _: str) -> Iterator[tuple[str, pd.DataFrame, Expected]]:
    for word in ("NaN", "NA", "nan", "None", "null", "#N/A"):
        yield f"the word {word}", with_cell(table, 1, "broad_sample", word), "said"
    yield "an ID that no table knows", with_cell(table, 1, "broad_sample", "BRD-2"), "refused"
    yield "no column of IDs", table.drop(columns="broad_sample"), "refused"


def of_splits(table: pd.DataFrame, _: str) -> Iterator[tuple[str, pd.DataFrame, Expected]]:
    yield "one subset", table.assign(**{SUBSET: "train"}), "refused"
    yield "no subset", table.assign(**{SUBSET: ""}), "refused"
    yield "one well", table.head(1), "refused"
    yield "another word", with_cell(table, 1, SUBSET, "holdout"), "refused"
    yield "no column of subsets", table.drop(columns=SUBSET), "refused"


def of_load_data(table: pd.DataFrame, _: str) -> Iterator[tuple[str, pd.DataFrame, Expected]]:
    yield "no file names", table.drop(columns="FileName_OrigDNA"), "refused"
    yield "a site without a number", with_cell(table, 1, "Metadata_Site", "one"), "refused"
    yield "a plate without a name", with_cell(table, 1, "Metadata_Plate", ""), "refused"


OWN = {
    "wells": of_wells, "profiles": of_profiles, "platemap": of_platemaps, "split": of_splits,
    "LoadData": of_load_data,
}  # fmt: skip


def harmed(content: bytes, suffix: str) -> Iterator[tuple[str, bytes, Expected]]:
    """What may befall a file, whatever it holds."""
    yield "nothing", b"", "refused"
    yield "noise", RNG.bytes(500), "refused"
    yield "a page of an error", b"<html><body>404</body></html>\n", "refused"
    if suffix in (".parquet", ".xlsx", ".csv.gz"):
        yield "half of it", content[: len(content) // 2], "refused"
        yield "another suffix", b"plate,well\nP1,A01\n", "refused"
        return
    yield "a mark of byte order", b"\xef\xbb\xbf" + content, "same"
    yield "lines of Windows", content.replace(b"\n", b"\r\n"), "same"
    yield "UTF-16", content.decode().encode("utf-16"), "refused"
    yield "Latin-1", content.replace(b"A02", b"A0\xe4"), "refused"
    yield (
        "a row too long",
        content + b"a,b,c,d,e,f,g,h,i,j,k\ta\tb\tc\td\te\tf\tg\th\ti\n",
        "refused",
    )
    yield "a quote that does not end", content + b'"P9', "refused"
    yield "a byte of nought", content.replace(b"A02", b"A\x0002"), "refused"


def attacks(folder: Path) -> Iterator[tuple[Attack, Callable[[Any], bool]]]:
    for reader, (table, well, read, dialects) in READERS.items():
        for suffix in dialects:
            whole = folder / f"{reader}{suffix}"
            DIALECTS[suffix](table, whole)
            expected = read(whole)

            def same(found: Any, expected: Any = expected) -> bool:
                pd.testing.assert_frame_equal(found, expected, check_dtype=False)
                return True

            cases: list[tuple[str, Expected, Callable[[Path], None]]] = [
                (name, what, lambda path, t=changed, w=DIALECTS[suffix]: w(t, path))
                for of in (changes, OWN[reader])
                for name, changed, what in of(table, well)
            ]
            cases += [
                (name, what, lambda path, c=content: path.write_bytes(c))
                for name, content, what in harmed(whole.read_bytes(), suffix)
            ]
            for number, (name, what, write) in enumerate(cases):
                path = folder / f"{reader}-{number}{suffix}"
                yield Attack(f"{reader}{suffix}: {name}", _act(write, read, path), what), same


def _act(write: Callable[[Path], None], read: Callable[[Path], Any], path: Path) -> Any:
    def act() -> Any:
        write(path)
        return read(path)

    return act


def test_bad_tables_end_in_a_sentence_a_warning_or_what_was_meant(tmp_path, caplog) -> None:
    found = {
        str(attack): outcome(attack, same, caplog.records) for attack, same in attacks(tmp_path)
    }
    wrong = {name: what for name, what in found.items() if what}
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert len(found) > 250
