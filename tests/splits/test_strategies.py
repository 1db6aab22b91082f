"""Manifests: who goes where, and who may not."""

from hashlib import md5

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.errors import InputError
from morphoclip.schemas import (
    BROAD_SAMPLE,
    ENTITY,
    FOLD,
    GENE,
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT,
    REASON,
    ROLE,
    SPLIT_MANIFEST,
    SUBSET,
    WELL,
)
from morphoclip.splits.leakage import LeakageError, check_no_leakage, leakage_report
from morphoclip.splits.strategies import (
    SplitConfig,
    assign_subsets,
    manifest_sha256,
    require_same_manifest,
)


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
    return table


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
    assert manifest.attrs["sha256"] == shuffled.attrs["sha256"]
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
    assert (
        manifest_sha256(manifest.sample(frac=1)[[PLATE, WELL, SUBSET]])
        == (manifest.attrs["sha256"])
    )
    with pytest.raises(InputError, match="was trained on split manifest abc"):
        require_same_manifest("abc", manifest)


def prompts_of(wells: pd.DataFrame) -> pd.DataFrame:
    known = wells[wells[BROAD_SAMPLE].notna()].drop_duplicates(BROAD_SAMPLE)
    return known[[MODALITY, BROAD_SAMPLE]].assign(**{PROMPT: "knockout of " + known[ENTITY]})


def report_of(config: SplitConfig, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    manifest = assign_subsets(WELLS, config)
    return leakage_report(manifest, prompts_of(WELLS) if prompts is None else prompts, config)


def test_a_clean_split_shares_nothing_but_well_positions() -> None:
    report = report_of(SplitConfig())
    assert set(report["verdict"]) == {"none"}
    check_no_leakage(report, "entity")


def test_sister_guides_in_two_subsets_are_told_of() -> None:
    report = report_of(SplitConfig(group_by="broad_sample"))
    shared = report.set_index(["subset", "other_subset", "what"])
    assert shared.loc[("train", "test", "gene"), "verdict"] == "by design"
    assert shared.loc[("train", "test", "gene"), "shared"] > 0


def test_one_text_in_two_subsets_is_a_leak_and_named() -> None:
    same = prompts_of(WELLS).assign(**{PROMPT: "the same words"})
    with pytest.raises(LeakageError, match=r"1 prompt\(s\) are in both .* the same words"):
        check_no_leakage(report_of(SplitConfig(), same), "entity")


def test_a_compound_with_two_targets_keeps_both_genes_together() -> None:
    wells = WELLS.assign(
        **{ENTITY: WELLS[ENTITY].mask(WELLS[BROAD_SAMPLE].isin(["g0", "g2"]), "compound:twin")}
    )
    for seed in range(20):
        manifest = assign_subsets(wells, SplitConfig(group_by="gene", seed=seed))
        both = manifest[manifest[GENE].isin(["GENE0", "GENE1"])]
        assert len(set(both[SUBSET])) == 1
