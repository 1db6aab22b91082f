"""Planted leaks are caught and named."""

import pandas as pd
import pytest

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    ENTITY,
    GENE,
    INCHIKEY,
    MOA_LIST,
    MODALITY,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    ROLE,
    SUBSET,
    TARGET_LIST,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.prompts import prompt_digest
from morphoclip.schemas.splits import LEAKAGE_REPORT
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.external_split import CheckSplitConfig, manifest_of
from morphoclip.splits.leakage import (
    LeakageError,
    check_no_leakage,
    leakage_report,
)
from morphoclip.splits.strategies.base import KEPT_APART_BY_GROUP

ROWS = [
    # plate, well, modality, ID, gene, entity, structure, listed targets, words, subset
    ("P", "A01", "compound", "c1", "AAA", "c:1", "KEY1-X", "AAA|ZZZ", "1. Target: AAA.", "train"),
    ("P", "A02", "compound", "c2", "BBB", "c:2", "KEY2-X", "BBB", "2. Target: BBB.", "validation"),
    ("P", "A03", "compound", "c3", "CCC", "c:3", "KEY3-X", "CCC", "3. Target: CCC.", "test"),
    ("Q", "A01", "crispr", "g1", "DDD", "g:DDD", None, None, "knockout of DDD.", "train"),
    ("Q", "A02", "crispr", "g2", "EEE", "g:EEE", None, None, "knockout of EEE.", "validation"),
    ("Q", "A03", "crispr", "g3", "FFF", "g:FFF", None, None, "knockout of FFF.", "test"),
]  # fmt: skip
COLUMNS = [
    PLATE, WELL, MODALITY, BROAD_SAMPLE, GENE, ENTITY, INCHIKEY, TARGET_LIST, PROMPT, SUBSET
]  # fmt: skip
CLEAN = pd.DataFrame(ROWS, columns=COLUMNS).assign(
    **{MOA_LIST: ["a inhibitor", "b inhibitor", "c inhibitor|c agonist", None, None, None]}
)


def report_of(
    table: pd.DataFrame, group_by: str = "entity", kept_apart: frozenset[str] | None = None
) -> pd.DataFrame:
    manifest = table[[PLATE, WELL, MODALITY, BROAD_SAMPLE, GENE, ENTITY, SUBSET]]
    prompts = table.drop_duplicates([MODALITY, BROAD_SAMPLE]).assign(
        **{CELL_TYPE: None, TIMEPOINT: None, PROMPT_DIGEST: lambda t: t[PROMPT].map(prompt_digest)}
    )
    report = leakage_report(
        manifest,
        table.drop_duplicates([PLATE, WELL]).assign(**{CELL_TYPE: None, TIMEPOINT: None}),
        table.drop_duplicates([MODALITY, BROAD_SAMPLE]),
        prompts,
        kept_apart or KEPT_APART_BY_GROUP[group_by],
    )
    return LEAKAGE_REPORT.validate(report)


def changed(row: int, **values: object) -> pd.DataFrame:
    table = CLEAN.copy()
    for column, value in values.items():
        table.loc[row, column] = value
    return table


def test_a_clean_split_shares_plates_only() -> None:
    report = report_of(CLEAN)
    shared = report[report["shared"] > 0]
    assert set(shared["what"]) == {"plate", "row"}
    assert set(shared["verdict"]) == {"by design"}
    check_no_leakage(report)


@pytest.mark.parametrize(
    ("group_by", "what", "table", "example"),
    [
        ("entity", "structure", changed(2, **{INCHIKEY: "KEY1-Y"}), "KEY1"),
        ("entity", "entity", changed(2, **{ENTITY: "c:1"}), "c:1"),
        ("entity", "entity", changed(5, **{GENE: "DDD", ENTITY: "g:DDD"}), "g:DDD"),
        ("entity", "prompt", changed(5, **{PROMPT: "knockout of DDD."}), "knockout of DDD."),
        ("gene", "gene", changed(5, **{GENE: "AAA"}), "AAA"),
        ("broad_sample", "broad_sample", changed(5, **{BROAD_SAMPLE: "g1"}), "crispr g1"),
    ],
)
def test_planted_leaks_are_caught_and_named(
    group_by: str, what: str, table: pd.DataFrame, example: str
) -> None:
    report = report_of(table, group_by).set_index(["subset", "other_subset", "what"])
    row = report.loc[("train", "test", what)]
    assert row["verdict"] == "LEAK"
    assert row["shared"] == 1
    assert row["example"] == example
    with pytest.raises(LeakageError, match="the split leaks"):
        check_no_leakage(report.reset_index())


@pytest.mark.parametrize(
    ("what", "table", "example"),
    [
        ("listed target", changed(5, **{GENE: "ZZZ"}), "ZZZ"),
        ("gene in text", changed(0, **{PROMPT: "one. Function: FFF inhibitor."}), "FFF"),
    ],
)
def test_target_words_are_told_and_allowed(what: str, table: pd.DataFrame, example: str) -> None:
    report = report_of(table).set_index(["subset", "other_subset", "what"])
    assert report.loc[("train", "test", what), ["shared", "verdict", "example"]].tolist() == [
        1, "by design", example
    ]  # fmt: skip


def test_what_a_strategy_allows_is_not_forbidden() -> None:
    assert SplitConfig(strategy="plate_held_out").kept_apart == {"well", "plate"}
    assert "entity" in SplitConfig().kept_apart
    assert "entity" not in SplitConfig(group_by="broad_sample").kept_apart
    assert SplitConfig(strategy="cpjump1_official_gene_compound").kept_apart == {
        "well", "broad_sample", "gene"
    }  # fmt: skip


USERS = pd.DataFrame(
    {PLATE: ["P", "P", "Q"], WELL: ["a1", "A02", "A3"], "split": ["Train", "val", "test"]}
)
CONFIG = CheckSplitConfig(path="x.csv", column="split")
INDEX = CLEAN.drop(columns=SUBSET).assign(**{ROLE: "trt"})


def test_a_users_split_becomes_a_manifest() -> None:
    manifest = manifest_of(USERS, INDEX, CONFIG)
    assert manifest[[WELL, SUBSET, BROAD_SAMPLE]].to_numpy().tolist() == [
        ["A01", "train", "c1"], ["A02", "validation", "c2"], ["A03", "test", "g3"]
    ]  # fmt: skip


def test_controls_and_empty_wells_of_an_external_split_are_no_leak(caplog) -> None:
    """DMSO is on every plate: whoever gives controls to two subsets has not leaked by that."""
    roles = INDEX.assign(**{ROLE: ["negcon" if well == "A02" else "trt" for well in INDEX[WELL]]})
    caplog.set_level("INFO")
    manifest = manifest_of(USERS, roles, CONFIG)
    assert manifest[SUBSET].tolist() == ["train", "excluded", "test"]
    assert "1 negative control and empty wells" in caplog.text


def test_a_blank_subset_is_excluded() -> None:
    table = USERS.assign(split=["train", None, "test"])
    manifest = manifest_of(table, INDEX, CONFIG)
    assert manifest[SUBSET].tolist() == ["train", "excluded", "test"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"--params check_split\.path:my_split\.csv"),
        (USERS.drop(columns="split"), r"has no column split; set check_split\.column to"),
        (USERS.assign(split="other"), r"has the unknown subset name\(s\) other; allowed are train"),
        (USERS.assign(split=None), r"leaves nothing to compare: of its 3 well\(s\), .* none is in"),
        (USERS.head(1), r"leaves nothing to compare: of its 1 well\(s\), .* 1 are train;"),
        (USERS.assign(split="test"), r"leaves nothing to compare"),
        (pd.concat([USERS, USERS.head(1)]), "more than once, e.g. P A01 in lines 2 and 5"),
        (
            USERS.assign(**{PLATE: "R"}),
            r"3 well\(s\) .* not in the well index: R A01, R A02, R A03;",
        ),
    ],
)
def test_a_users_split_that_cannot_be_read_is_told(table, message: str) -> None:
    with pytest.raises(InputError, match=message):
        manifest_of(table, INDEX, CONFIG)


def test_known_facts_that_subsets_share_are_told() -> None:
    """What the text tower reads as numbers: targets and mechanisms."""
    table = CLEAN.assign(**{
        TARGET_LIST: CLEAN[TARGET_LIST].replace({"CCC": "CCC|ZZZ"}),
        MOA_LIST: CLEAN[MOA_LIST].replace({"a inhibitor": "c agonist|a inhibitor"}),
    })  # fmt: skip
    rows = report_of(table).set_index(["subset", "other_subset", "what"])
    target = rows.loc[("train", "test", "known target")]
    assert (target["shared"], target["example"], target["verdict"]) == (1, "ZZZ", "by design")
    mechanism = rows.loc[("train", "test", "known mechanism")]
    assert (mechanism["shared"], mechanism["example"]) == (1, "c agonist")
    assert rows.loc[("train", "validation", "known mechanism"), "shared"] == 0
    assert ("train", "validation", "mechanism of test") not in rows.index
    assert rows.loc[("train", "test", "mechanism of test"), "shared"] == 1


def test_a_mechanism_that_was_to_be_held_out_is_a_leak() -> None:
    table = CLEAN.assign(**{MOA_LIST: "c agonist"})
    kept_apart = SplitConfig(hold_out_mechanisms=True).kept_apart
    report = report_of(table, kept_apart=kept_apart)
    with pytest.raises(LeakageError, match=r"splitting\.hold_out_mechanisms true"):
        check_no_leakage(report)
