"""The five strategies on CPJUMP1's real metadata, against numbers that are known."""

import pandas as pd
import pytest

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    ENTITY,
    GENE,
    MODALITY,
    N_SITES,
    PLATE,
    REASON,
    ROLE,
    SUBSET,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.metrics.chance import expected_metrics
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.platemaps import build_well_index
from morphoclip.perturbations.prompts import prompt_table
from morphoclip.perturbations.wording import PromptTemplates, TextLevel
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.manifest import assign_subsets
from morphoclip.splits.official import require_official
from morphoclip.splits.strategies import STRATEGIES


@pytest.fixture(scope="module")
def perturbations(gallery) -> pd.DataFrame:
    folder = gallery / "workspace/metadata/external_metadata"
    tables = {
        p.stem: pd.read_csv(p, sep="\t", dtype=str, keep_default_na=False)
        for p in folder.glob("*.tsv")
    }
    return perturbation_table(tables)


@pytest.fixture(scope="module")
def wells(gallery, real_data, perturbations) -> pd.DataFrame:
    """All 51 plates, as if every well had images."""

    def read(path, sep: str = "\t") -> pd.DataFrame:
        return pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)

    maps = gallery / "workspace/metadata/platemaps/2020_11_04_CPJUMP1"
    barcodes = read(maps / "barcode_platemap.csv", ",")
    return build_well_index(
        list(barcodes["Assay_Plate_Barcode"]),
        barcodes,
        {path.stem: read(path) for path in (maps / "platemap").glob("*.txt")},
        perturbations,
        read(real_data / "cpjump1/experiment-metadata.tsv"),
        "2020_11_04_CPJUMP1",
    ).assign(**{N_SITES: 9})


def sizes(manifest: pd.DataFrame, column: str = BROAD_SAMPLE) -> dict[str, list[int]]:
    """Distinct values a subset: compound, crispr, orf."""
    kept = manifest[manifest[SUBSET] != "excluded"]
    counts = kept.groupby([SUBSET, MODALITY])[column].nunique()
    return {subset: rows.tolist() for subset, rows in counts.groupby(level=0, sort=False)}


@pytest.mark.parametrize(
    ("seed", "validation", "test", "train", "n_wells"),
    [
        (42, [42, 34, 22], [30, 38, 18], [234, 263, 135], (2220, 1860, 13860)),
        (56, [26, 36, 16], [26, 35, 11], [254, 264, 148], (1674, 1590, 14676)),
    ],
)
def test_the_references_split_is_reproduced(
    wells, seed: int, validation: list[int], test: list[int], train: list[int], n_wells: tuple
) -> None:
    config = SplitConfig(
        group_by="broad_sample", assignment="hash", seed=seed, exclude_controls=False
    )
    manifest = assign_subsets(wells[wells[BROAD_SAMPLE] != "DMSO"], config)
    assert sizes(manifest) == {"validation": validation, "test": test, "train": train}
    counts = manifest[SUBSET].value_counts()
    assert (counts["validation"], counts["test"], counts["train"]) == n_wells


@pytest.mark.parametrize("level", list(TextLevel))
def test_entities_share_no_words_at_any_level(wells, perturbations, level: TextLevel) -> None:
    config = SplitConfig()
    manifest = assign_subsets(wells, config)
    assert sizes(manifest, ENTITY) == {
        "train": [241, 128, 128], "validation": [30, 16, 16], "test": [30, 16, 16]
    }  # fmt: skip
    prompts = prompt_table(perturbations, wells, level, PromptTemplates())
    report = leakage_report(manifest, wells, perturbations, prompts, config.kept_apart)
    check_no_leakage(report)
    assert (report.loc[report["what"] == "prompt", "shared"] == 0).all()
    assert (report.loc[report["what"] == "listed target", "shared"] > 0).all()
    eligible = manifest[manifest[SUBSET] != "excluded"]
    assert len(eligible) == 16_320


def test_gene_compound_is_the_official_order(wells) -> None:
    manifest = assign_subsets(wells, SplitConfig(strategy="cpjump1_official_gene_compound"))
    orf = manifest[(manifest[MODALITY] == "orf") & (manifest[SUBSET] != "excluded")]
    first = orf[orf[PLATE] == orf[PLATE].min()].sort_values(WELL).drop_duplicates(GENE)
    genes = {subset: list(rows[GENE]) for subset, rows in first.groupby(SUBSET)}
    assert {subset: len(names) for subset, names in genes.items()} == {
        "train": 96, "validation": 32, "test": 32
    }  # fmt: skip
    assert genes["train"][-1] == "P3H1"
    assert (genes["validation"][0], genes["validation"][-1]) == ("CCR1", "CDK2")
    assert (genes["test"][0], genes["test"][-1]) == ("PNLIP", "ALDH2")
    kept = manifest[manifest[SUBSET] != "excluded"]
    assert kept.drop_duplicates([GENE, SUBSET])[GENE].is_unique


def test_representation_holds_the_papers_counts(wells) -> None:
    manifest = assign_subsets(wells, SplitConfig(strategy="cpjump1_official_representation"))
    kept = manifest[manifest[SUBSET] != "excluded"]
    assert kept[PLATE].nunique() == 40
    of_plate = kept.groupby(PLATE)[SUBSET].first()
    # the paper counts IDs a time, DMSO and "empty" among them
    table = wells[wells[PLATE].isin(of_plate.index)]
    ids = table.assign(s=table[PLATE].map(of_plate), i=table[BROAD_SAMPLE].fillna("empty"))
    ids = ids.drop_duplicates([CELL_TYPE, MODALITY, TIMEPOINT, "i"])
    counts = ids.groupby([CELL_TYPE, "s"]).size().to_dict()
    assert counts == {
        (cell, subset): number
        for cell in ("A549", "U2OS")
        for subset, number in {"train": 1024, "validation": 307, "test": 307}.items()
    }
    reasons = manifest[~manifest[PLATE].isin(of_plate.index) & (manifest[ROLE] == "trt")]
    by_plate = reasons.groupby(PLATE)[REASON].first().str.removeprefix("not a standard plate: ")
    assert by_plate.value_counts().to_dict() == {
        "compound in Cas9 cells": 4, "density 80": 2, "density 120": 2,
        "antibiotics Puromycin": 2, "antibiotics Blasticidin": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("group_by", "train", "test"),
    [("broad_sample", [229, 228, 120], [77, 77, 40]), ("entity", None, None)],
)
def test_cellclip_style_counts(wells, group_by: str, train, test) -> None:
    config = SplitConfig(strategy="cellclip_cpjump_style", group_by=group_by, val_from="none")
    manifest = assign_subsets(wells, config)
    if train is not None:
        assert sizes(manifest) == {"train": train, "test": test}
    else:
        kept = manifest[manifest[SUBSET] != "excluded"]
        assert kept.drop_duplicates([ENTITY, SUBSET])[ENTITY].is_unique


def test_a_plate_of_every_condition_is_held_out(wells) -> None:
    manifest = assign_subsets(wells, SplitConfig(strategy="plate_held_out"))
    kept = manifest[manifest[SUBSET] != "excluded"]
    plates = kept.drop_duplicates(PLATE)
    assert len(plates) == 40
    assert plates.groupby([SUBSET, MODALITY])[PLATE].nunique().to_dict() == {
        ("test", "compound"): 4, ("test", "crispr"): 4, ("test", "orf"): 4,
        ("validation", "compound"): 4, ("validation", "crispr"): 4,
        ("train", "compound"): 8, ("train", "crispr"): 8, ("train", "orf"): 4,
    }  # fmt: skip


@pytest.fixture(scope="module")
def official(wells) -> pd.DataFrame:
    """The columns of the official table, filled from the real metadata in the file's order."""
    table = wells.sort_values([MODALITY, PLATE, WELL], ascending=[False, True, True])
    table = table.reset_index(drop=True)
    rank = table.groupby(MODALITY)[TIMEPOINT].transform(
        lambda times: times.astype(float).rank(method="dense")
    )
    across = [set(table.loc[table[MODALITY] == m, GENE]) for m in ("compound", "crispr", "orf")]
    target = table[GENE].where(table[ROLE] != "negcon")
    return pd.DataFrame(
        {
            PLATE: table[PLATE],
            WELL: table[WELL],
            "Metadata_experiment_type": table[MODALITY].map(
                {"compound": "Compound", "crispr": "CRISPR", "orf": "ORF"}
            ),
            "Metadata_timepoint_code": rank.map({1: "low", 2: "high"}),
            "Metadata_experiment_condition": "Standard",
            "Metadata_target_radix": '"' + target.fillna("NA") + '"',
            "Metadata_target_is_across": target.isin(set.intersection(*across)).map(
                {True: "TRUE", False: "FALSE"}
            ),
        }
    )


@pytest.mark.parametrize(
    "strategy", ["cpjump1_official_representation", "cpjump1_official_gene_compound"]
)
def test_the_official_table_judges(wells, official, strategy: str) -> None:
    manifest = assign_subsets(wells, SplitConfig(strategy=strategy))
    chosen = STRATEGIES[strategy]
    compared = require_official(manifest, official, chosen)
    assert compared == (manifest[SUBSET] != "excluded").sum() > 9_000
    assert require_official(manifest, None, chosen) == 0
    place = manifest.index[manifest[SUBSET] == "test"][0]
    manifest.loc[place, SUBSET] = "train"
    row = f"{manifest.loc[place, PLATE]} {manifest.loc[place, WELL]} is train here and test there"
    with pytest.raises(InputError, match=f"1 of {compared} wells differ .*{row}"):
        require_official(manifest, official, chosen)


@pytest.mark.parametrize(
    ("subset", "uniform", "oracle"),
    [
        (
            "validation",
            {"pert": (0.0102, 0.0510, 0.1020, 0.0527), "t2i": (0.0102, 0.0500, 0.0974, 0.0472)},
            {"pert": (0.0306, 0.153, 0.306, 17), "t2i": (0.0306, 0.143, 0.264, 24)},
        ),
        (
            "test",
            {"pert": (0.0116, 0.0581, 0.1163, 0.0586), "t2i": (0.0116, 0.0568, 0.1103, 0.0523)},
            {"pert": (0.0349, 0.174, 0.349, 15), "t2i": (0.0349, 0.162, 0.295, 21)},
        ),
    ],
)
def test_chance_and_modality_oracle_of_the_references_populations(
    wells, subset: str, uniform: dict, oracle: dict
) -> None:
    config = SplitConfig(group_by="broad_sample", assignment="hash", exclude_controls=False)
    manifest = assign_subsets(wells[wells[BROAD_SAMPLE] != "DMSO"], config)
    own = manifest[manifest[SUBSET] == subset]
    n_true = own.groupby([MODALITY, BROAD_SAMPLE]).size()
    prompts = n_true.groupby(level=0).size()
    n_wells = n_true.groupby(level=0).sum()
    n_prompts = len(n_true)
    cases = {
        "pert": ([(n_prompts, 1)] * n_prompts, [(int(prompts[m]), 1) for m, _ in n_true.index]),
        "t2i": (
            [(int(n_true.sum()), int(m)) for m in n_true],
            [(int(n_wells[modality]), int(m)) for (modality, _), m in n_true.items()],
        ),
    }
    for name, (everything, of_modality) in cases.items():
        chance, knowing = expected_metrics(everything), expected_metrics(of_modality)
        got = [chance[f"recall@{k}"] for k in (1, 5, 10)] + [chance["mrr"]]
        assert got == pytest.approx(uniform[name], abs=6e-5)
        got = [knowing[f"recall@{k}"] for k in (1, 5, 10)]
        assert got == pytest.approx(oracle[name][:3], abs=6e-4)
        assert knowing["median_rank"] == pytest.approx(oracle[name][3], abs=0.5)
