"""Manifests: who goes where, and who may not."""

from hashlib import md5

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.columns import (
    ANTIBIOTICS,
    BROAD_SAMPLE,
    CELL_LINE,
    CELL_TYPE,
    CONDITION,
    DENSITY,
    ENTITY,
    FOLD,
    GENE,
    MOA_LIST,
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
from morphoclip.schemas.splits import SPLIT_MANIFEST, SPLIT_SUMMARY
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.manifest import (
    assign_subsets,
    manifest_sha256,
    require_recorded,
    require_same_manifest,
    split_record,
    summarise_split,
)

CONDITIONS = (CELL_TYPE, TIMEPOINT, DENSITY, ANTIBIOTICS, CELL_LINE, CONDITION)


def well_index(plates: tuple[str, ...] = ("P", "Q"), genes: int = 20) -> pd.DataFrame:
    """Two guides a gene and 4 controls a plate, two of the rows without images."""
    rows = []
    for plate in plates:
        for number in range(2 * genes):
            gene = f"GENE{number // 2}"
            rows.append((plate, f"A{number + 1:02d}", "trt", "crispr", f"g{number}", gene, 9))
        rows += [(plate, f"P{n:02d}", "negcon", "crispr", f"n{n}", None, 9) for n in range(1, 5)]
        rows.append((plate, "P05", "empty", "crispr", None, None, 0))
    table = pd.DataFrame(rows, columns=[PLATE, WELL, ROLE, MODALITY, BROAD_SAMPLE, GENE, N_SITES])
    table[ENTITY] = "crispr:" + table[GENE].fillna("no gene")
    table.loc[table[ROLE] == "empty", ENTITY] = None
    return table.assign(**dict.fromkeys(CONDITIONS, None))


WELLS = well_index()


def test_fractions_hold_and_every_excluded_well_has_a_reason() -> None:
    manifest = SPLIT_MANIFEST.validate(assign_subsets(WELLS, SplitConfig()))
    genes = manifest.groupby(SUBSET)[GENE].nunique()
    assert genes[["train", "validation", "test"]].tolist() == [16, 2, 2]
    excluded = manifest[manifest[SUBSET] == "excluded"]
    assert excluded[REASON].value_counts().to_dict() == {"role negcon": 8, "role empty": 2}
    assert manifest.loc[manifest[SUBSET] != "excluded", REASON].isna().all()


@given(seed=st.integers(0, 1000), group_by=st.sampled_from(["broad_sample", "entity", "gene"]))
def test_no_group_spans_subsets_and_the_order_of_rows_is_nothing(seed: int, group_by: str) -> None:
    config = SplitConfig(seed=seed, group_by=group_by)
    manifest = assign_subsets(WELLS, config)
    shuffled = assign_subsets(WELLS.sample(frac=1, random_state=seed), config)
    assert manifest_sha256(manifest) == manifest_sha256(shuffled)
    column = {"broad_sample": BROAD_SAMPLE, "entity": ENTITY, "gene": GENE}[group_by]
    kept = manifest[manifest[SUBSET] != "excluded"]
    assert kept.drop_duplicates([column, SUBSET])[column].is_unique


def test_adding_a_plate_moves_nothing_and_another_seed_does() -> None:
    before = assign_subsets(WELLS, SplitConfig())
    more = assign_subsets(well_index(("P", "Q", "R")), SplitConfig())
    subset = more[more[PLATE] != "R"][SUBSET].reset_index(drop=True)
    pd.testing.assert_series_equal(before[SUBSET], subset)
    assert not before[SUBSET].equals(assign_subsets(WELLS, SplitConfig(seed=1))[SUBSET])


def test_folds_test_every_group_once() -> None:
    tested = [
        set(manifest.loc[manifest[SUBSET] == "test", ENTITY])
        for manifest in (assign_subsets(WELLS, SplitConfig(folds=5, fold=k)) for k in range(5))
    ]
    assert sorted(len(part) for part in tested) == [4] * 5
    assert set.union(*tested) == {f"crispr:GENE{n}" for n in range(20)}
    manifest = assign_subsets(WELLS, SplitConfig(folds=5, fold=2))
    assert (manifest.loc[manifest[SUBSET] == "test", FOLD] == 2).all()


def test_hash_assignment_is_the_references_rule() -> None:
    manifest = assign_subsets(
        WELLS, SplitConfig(assignment="hash", group_by="broad_sample", test_fraction=0.2)
    )
    subsets = manifest.drop_duplicates(BROAD_SAMPLE).set_index(BROAD_SAMPLE)[SUBSET]

    for sample in (f"g{n}" for n in range(40)):
        place = int(md5(f"42:{sample}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
        expected = "validation" if place < 0.1 else "test" if place < 0.3 else "train"
        assert subsets[sample] == expected


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(InputError, match=r"crispr has 2 group\(s\) .* leaves test, validation"):
        assign_subsets(well_index(genes=2), SplitConfig())


def test_roles_can_be_left_out_besides() -> None:
    wells = WELLS.assign(**{ROLE: WELLS[ROLE].mask(WELLS[GENE] == "GENE3", "poscon_cp")})
    manifest = assign_subsets(wells, SplitConfig(exclude_roles="poscon_cp+poscon_orf"))
    assert (manifest.loc[manifest[GENE] == "GENE3", SUBSET] == "excluded").all()
    kept = assign_subsets(wells, SplitConfig(exclude_controls=False))
    assert (kept.loc[kept[ROLE] == "negcon", SUBSET] != "excluded").all()


def test_the_digest_is_of_plates_wells_and_subsets_only() -> None:
    manifest = assign_subsets(WELLS, SplitConfig())
    assert manifest_sha256(manifest.sample(frac=1)[[PLATE, WELL, SUBSET]]) == (
        manifest_sha256(manifest)
    )
    with pytest.raises(InputError, match="was trained on split manifest abc"):
        require_same_manifest("abc", manifest)


def test_a_manifest_that_was_changed_is_refused_and_a_rewritten_one_is_not() -> None:
    manifest = assign_subsets(WELLS, SplitConfig())
    record = split_record(manifest, SplitConfig())
    require_recorded(manifest, record)
    rewritten = manifest.sample(frac=1)
    require_recorded(rewritten, record)
    manifest.loc[0, SUBSET] = "excluded"
    with pytest.raises(InputError, match="rows were changed since, or the two are of different"):
        require_recorded(manifest, record)


def test_the_record_says_how_a_split_was_made() -> None:
    config = SplitConfig(group_by="gene", seed=7)
    record = split_record(assign_subsets(WELLS, config), config)
    assert record["strategy"] == "pert_type"
    assert (record["parameters"]["group_by"], record["parameters"]["seed"]) == ("gene", 7)


def test_the_summary_counts_every_well_once() -> None:
    manifest = assign_subsets(WELLS, SplitConfig())
    summary = SPLIT_SUMMARY.validate(summarise_split(manifest))
    assert summary["wells"].sum() == len(manifest)
    train = summary.set_index([SUBSET, ROLE]).loc[("train", "trt")]
    assert train[["plates", "wells", "perturbations", "entities", "genes"]].tolist() == [
        2, 64, 32, 16, 16
    ]  # fmt: skip
    assert list(summary[SUBSET].drop_duplicates()) == ["train", "validation", "test", "excluded"]


def slices(cells: tuple[str, ...] = ("A549", "U2OS"), replicates: int = 3) -> pd.DataFrame:
    """Compounds and guides at two times in each cell type, some plates of each."""
    parts = []
    for cell in cells:
        for modality in ("compound", "crispr"):
            for time in ("24", "48"):
                plates = tuple(f"{cell}{modality}{time}{n}" for n in range(replicates))
                part = well_index(plates, genes=8).assign(
                    **{MODALITY: modality, CELL_TYPE: cell, TIMEPOINT: time, DENSITY: "100"}
                )
                part[ENTITY] = modality + part[ENTITY].str.removeprefix("crispr")
                part[CONDITION] = f"{modality}|{cell}|{time}|100"
                parts.append(part)
    return pd.concat(parts, ignore_index=True)


SLICES = slices()


def subsets_by(manifest: pd.DataFrame, *columns: str) -> pd.Series:
    kept = manifest[manifest[SUBSET] != "excluded"]
    return kept.groupby(list(columns))[SUBSET].agg(lambda s: "+".join(sorted(set(s))))


def test_representation_goes_by_modality_and_time() -> None:
    manifest = assign_subsets(SLICES, SplitConfig(strategy="cpjump1_official_representation"))
    by_plate = subsets_by(manifest, PLATE)
    assert set(by_plate[by_plate.index.str.contains("crispr")]) == {"train"}
    assert set(by_plate[by_plate.index.str.contains("compound24")]) == {"validation"}
    assert set(by_plate[by_plate.index.str.contains("compound48")]) == {"test"}
    one_time = SLICES[SLICES[TIMEPOINT] == "24"]
    with pytest.raises(InputError, match="needs compounds at two times, and there are 1: 24 h"):
        assign_subsets(one_time, SplitConfig(strategy="cpjump1_official_representation"))


@pytest.mark.parametrize("strategy", ["cpjump1_official_representation", "cellclip_cpjump_style"])
def test_what_needs_experiment_metadata_says_so(strategy: str) -> None:
    with pytest.raises(InputError, match=r"experiment-metadata\.tsv"):
        assign_subsets(WELLS, SplitConfig(strategy=strategy))


def test_gene_compound_needs_all_modalities() -> None:
    with pytest.raises(InputError, match="no plate here has orf wells with genes"):
        assign_subsets(SLICES, SplitConfig(strategy="cpjump1_official_gene_compound"))


def test_cellclip_cuts_every_slice_alike_and_takes_validation_from_train() -> None:
    config = SplitConfig(strategy="cellclip_cpjump_style", group_by="broad_sample", val_from="none")
    cut = subsets_by(assign_subsets(SLICES, config), MODALITY, BROAD_SAMPLE)
    ordered = sorted(set(SLICES.loc[SLICES[ROLE] == "trt", BROAD_SAMPLE]))
    assert (cut["compound"][ordered[:12]] == "train").all()
    assert (cut["compound"][ordered[12:]] == "test").all()
    with_validation = assign_subsets(SLICES, config.model_copy(update={"val_from": "train"}))
    again = subsets_by(with_validation, MODALITY, BROAD_SAMPLE)
    assert (again[cut == "test"] == "test").all()
    assert (again == "validation").sum() == 2
    entities = SplitConfig(strategy="cellclip_cpjump_style")
    assert not subsets_by(assign_subsets(SLICES, entities), ENTITY).str.contains(r"\+").any()


def test_wells_without_images_move_no_other_group() -> None:
    config = SplitConfig(strategy="cellclip_cpjump_style", val_from="none")
    before = subsets_by(assign_subsets(SLICES, config), ENTITY)
    late = (SLICES[TIMEPOINT] == "48") & SLICES[BROAD_SAMPLE].isin(["g2", "g3", "g4", "g5"])
    holes = SLICES.assign(**{N_SITES: SLICES[N_SITES].mask(late, 0)})
    pd.testing.assert_series_equal(subsets_by(assign_subsets(holes, config), ENTITY), before)


def all_modalities() -> pd.DataFrame:
    parts = []
    for modality in ("compound", "crispr", "orf"):
        part = well_index((modality,), genes=20).assign(**{MODALITY: modality})
        part[ENTITY] = modality + part[ENTITY].str.removeprefix("crispr")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_the_official_order_of_genes_is_that_of_all_wells() -> None:
    config = SplitConfig(strategy="cpjump1_official_gene_compound")
    wells = all_modalities()
    before = subsets_by(assign_subsets(wells, config), GENE)
    lost = (wells[MODALITY] == "compound") & wells[GENE].isin(["GENE3", "GENE15"])
    holes = wells.assign(**{N_SITES: wells[N_SITES].mask(lost, 0)})
    after = subsets_by(assign_subsets(holes, config), GENE)
    pd.testing.assert_series_equal(after, before)
    assert before.value_counts().to_dict() == {"train": 12, "validation": 4, "test": 4}


def test_well_positions_let_a_perturbation_straddle() -> None:
    config = SplitConfig(strategy="cellclip_cpjump_style", group_by="well_position")
    manifest = assign_subsets(SLICES, config)
    assert not subsets_by(manifest, WELL).str.contains(r"\+").any()
    with pytest.raises(ValueError, match="pert_type groups by broad_sample, entity, gene"):
        SplitConfig(group_by="well_position")


@pytest.mark.parametrize(("replicates", "expected"), [(3, (4, 4, 4)), (2, (4, 0, 4))])
def test_one_plate_of_each_condition_tests(replicates: int, expected: tuple[int, ...]) -> None:
    wells = slices(("A549",), replicates)
    config = SplitConfig(strategy="plate_held_out")
    manifest = assign_subsets(wells, config)
    by_plate = subsets_by(manifest, PLATE)
    counts = by_plate.value_counts()
    assert counts.get("test") == expected[2]
    assert counts.get("validation", 0) == expected[1]
    assert counts.get("train") == 4 * replicates - expected[1] - expected[2]
    for condition in ("compound24", "compound48", "crispr24", "crispr48"):
        own = by_plate[by_plate.index.str.contains(condition)]
        assert (own == "test").sum() == 1
    others = [assign_subsets(wells, config.model_copy(update={"seed": n})) for n in range(4)]
    assert len({manifest_sha256(manifest) for manifest in others}) > 1


def test_whole_conditions_can_be_held_out() -> None:
    config = SplitConfig(strategy="plate_held_out", plate_mode="condition")
    manifest = assign_subsets(SLICES, config)
    condition = SLICES.drop_duplicates(PLATE).set_index(PLATE)[CONDITION]
    by_condition = manifest.assign(c=manifest[PLATE].map(condition))
    subsets = subsets_by(by_condition, "c")
    assert not subsets.str.contains(r"\+").any()
    for modality in ("compound", "crispr"):
        own = subsets[subsets.index.str.startswith(modality)]
        assert sorted(own) == ["test", "train", "train", "validation"]


def test_plates_alone_cannot_be_held_out() -> None:
    with pytest.raises(InputError, match="no condition with two plates among 8 plate"):
        assign_subsets(slices(replicates=1), SplitConfig(strategy="plate_held_out"))


def test_plates_that_are_not_standard_are_left_out_with_the_reason() -> None:
    odd = SLICES[PLATE].eq("A549compound240")
    wells = SLICES.assign(**{DENSITY: SLICES[DENSITY].mask(odd, "80")})
    manifest = assign_subsets(wells, SplitConfig(strategy="plate_held_out"))
    reasons = manifest.loc[manifest[PLATE].eq("A549compound240") & manifest[ROLE].eq("trt"), REASON]
    assert set(reasons) == {"not a standard plate: density 80"}
    kept = assign_subsets(wells, SplitConfig(strategy="plate_held_out", standard_plates=False))
    assert kept[REASON].dropna().str.startswith("role").all()


STRATEGIES = [
    SplitConfig(),
    SplitConfig(strategy="cpjump1_official_representation"),
    SplitConfig(strategy="cellclip_cpjump_style"),
    SplitConfig(strategy="plate_held_out"),
    SplitConfig(strategy="plate_held_out", plate_mode="condition"),
]


@pytest.mark.parametrize("config", STRATEGIES, ids=lambda c: f"{c.strategy}-{c.plate_mode}")
@given(order=st.integers(0, 2**16))
def test_no_strategy_looks_at_the_order_of_rows(config: SplitConfig, order: int) -> None:
    expected = manifest_sha256(assign_subsets(SLICES, config))
    shuffled = SLICES.sample(frac=1, random_state=order)
    assert manifest_sha256(assign_subsets(shuffled, config)) == expected


def test_rows_of_plates_are_held_out_and_what_lies_in_several_is_left_out() -> None:
    wells = well_index(plates=("P", "Q"), genes=40)
    number = wells[BROAD_SAMPLE].str.extract(r"g(\d+)", expand=False).astype(float)
    rows = (number // 8).map(lambda row: chr(65 + int(row)), na_action="ignore")
    columns = (number % 8 + 1).map("{:02.0f}".format, na_action="ignore")
    wells[WELL] = (rows + columns).fillna(wells[WELL])
    is_first = (wells[BROAD_SAMPLE] == "g0") & (wells[PLATE] == "P")
    wells.loc[is_first, WELL] = "O01"  # the gene's other wells are in row A
    config = SplitConfig(group_by="row", folds=3, fold=0)
    manifest = assign_subsets(wells, config)
    used = manifest[manifest[SUBSET] != "excluded"]
    subsets_of_row = used.groupby(used[WELL].str[0])[SUBSET].agg(set)
    assert set(subsets_of_row.map(len)) == {1}
    assert set(used[SUBSET]) == {"train", "validation", "test"}
    left_out = manifest[manifest[REASON] == "in several rows"]
    assert set(left_out[GENE]) == {"GENE0"}
    assert len(left_out) == 4, "both guides on both plates"
    tested = [
        set(m.loc[m[SUBSET] == "test", WELL].str[0])
        for m in (assign_subsets(wells, config.model_copy(update={"fold": f})) for f in range(3))
    ]
    assert set.union(*tested) == set("ABCDEFGHIJ"), "each row is tested once"
    assert sum(map(len, tested)) == 10


def test_train_wells_that_share_a_mechanism_with_a_test_well_are_left_out() -> None:
    wells = well_index(genes=30)
    known = wells.dropna(subset=[BROAD_SAMPLE])[[MODALITY, BROAD_SAMPLE, GENE]].drop_duplicates()
    number = known[GENE].str.extract(r"(\d+)", expand=False).astype(float)
    mechanisms = [None if pd.isna(n) or n % 3 == 2 else f"m{n % 7:.0f}|x{n:.0f}" for n in number]
    perturbations = known.assign(**{MOA_LIST: mechanisms})
    plain = SplitConfig(folds=10, fold=1)
    config = plain.model_copy(update={"hold_out_mechanisms": True})
    before, after = (assign_subsets(wells, c, perturbations) for c in (plain, config))
    of = perturbations.set_index(BROAD_SAMPLE)[MOA_LIST].str.split("|")
    tested = before[SUBSET] == "test"
    of_test = set(of.reindex(before.loc[tested, BROAD_SAMPLE]).explode().dropna())
    shares = (
        before[BROAD_SAMPLE]
        .map(of)
        .map(lambda names: isinstance(names, list) and bool(of_test & set(names)))
    )
    dropped = (before[SUBSET] != after[SUBSET]).to_numpy()
    expected = (shares & before[SUBSET].isin(["train", "validation"])).to_numpy()
    assert (dropped == expected).all()
    assert 0 < dropped.sum() < len(before) / 2
    assert (after.loc[dropped, REASON] == "shares a mechanism with a test well").all()
    assert (after.loc[tested, SUBSET] == "test").all()
    everything = perturbations.assign(**{MOA_LIST: "one for all"})
    with pytest.raises(InputError, match="every train well shares a mechanism"):
        assign_subsets(wells, config, everything)
