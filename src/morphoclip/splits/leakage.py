"""What subsets share, and the exception for what they must not."""

import re
from collections.abc import Collection
from itertools import combinations

import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    GENE,
    INCHIKEY,
    MOA_LIST,
    MODALITY,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    SUBSET,
    TARGET_LIST,
    WELL,
    Modality,
    Subset,
)
from morphoclip.errors import InputError, example_of
from morphoclip.perturbations.prompts import digests_of, text_by_digest
from morphoclip.schemas.splits import LEAKAGE_REPORT
from morphoclip.splits.strategies.base import rows_of_wells

_REMEDY = {
    "prompt": "two perturbations have the same prompt: give them one name or one gene in the "
    "tables, or raise text_features.level",
    "entity": "group by something wider: group_by entity or gene",
    "structure": "group by something wider: group_by entity or gene",
    "gene": "keep a gene's perturbations together: group_by gene",
    "plate": "keep a plate's wells together",
    "row": "keep a row's wells together: group_by row",
    "mechanism of test": "leave out what shares a mechanism: splitting.hold_out_mechanisms true",
    "broad_sample": "keep an ID's wells together: group_by broad_sample, or wider",
    "well": "a well belongs to one subset",
}


class LeakageError(InputError):
    """Two subsets share what the split keeps apart."""


def leakage_report(
    manifest: pd.DataFrame,
    wells: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    forbidden: Collection[str],
) -> pd.DataFrame:
    """One row per pair of subsets and a kind of thing they may have in common.

    ``verdict``: ``none`` shared, ``LEAK`` where it is forbidden, ``by design`` otherwise. Some
    kinds are about texts and known facts: a gene that one subset's compounds list among their
    targets, or that its prompts name, and that is a gene of the other; targets and mechanisms that
    are known of both. ``mechanism of test`` counts the latter of pairs with the test subset.

    Args:
        manifest: Plate, well and subset, with what was done to each well.
        wells: The well index.
        perturbations: Structures and listed targets.
        prompts: The prompt of each perturbation.
        forbidden: Kinds that no two subsets may share.
    """
    facts = _with_prompts(manifest, wells, perturbations, prompts)
    things = {
        "well": facts[PLATE] + " " + facts[WELL],
        "plate": facts[PLATE],
        "broad_sample": facts[MODALITY] + " " + facts[BROAD_SAMPLE],
        "entity": facts[ENTITY],
        "structure": facts[INCHIKEY].astype("string").str.split("-").str[0],
        "gene": facts[GENE],
        "prompt": facts[PROMPT],
        "well position": facts[WELL],
        "row": rows_of_wells(facts),
    }
    members = {subset: (facts[SUBSET] == subset).to_numpy() for subset in Subset}
    named = {
        "listed target": {s: _listed_targets(facts[rows]) for s, rows in members.items()},
        "gene in text": {s: _words_in(facts.loc[rows, PROMPT]) for s, rows in members.items()},
    }
    known = {
        "known target": {
            s: _entries(facts.loc[r, [GENE, TARGET_LIST]]) for s, r in members.items()
        },
        "known mechanism": {s: _entries(facts.loc[r, [MOA_LIST]]) for s, r in members.items()},
    }
    genes = {subset: set(facts.loc[rows, GENE].dropna()) for subset, rows in members.items()}
    table = []
    for one, other in combinations((Subset.TRAIN, Subset.VALIDATION, Subset.TEST), 2):
        shared_by_kind = {
            what: set(thing[members[one]].dropna()) & set(thing[members[other]].dropna())
            for what, thing in things.items()
        } | {
            what: ((names[one] & genes[other]) | (names[other] & genes[one]))
            - (genes[one] & genes[other])
            for what, names in named.items()
        }
        shared_by_kind |= {what: names[one] & names[other] for what, names in known.items()}
        if other is Subset.TEST:
            shared_by_kind["mechanism of test"] = shared_by_kind["known mechanism"]
        for what, shared in shared_by_kind.items():
            verdict = "none" if not shared else "LEAK" if what in forbidden else "by design"
            example = example_of(sorted(shared)) if shared else None
            table.append((str(one), str(other), what, len(shared), verdict, example))
    return pd.DataFrame(table, columns=list(LEAKAGE_REPORT.columns))


def check_no_leakage(report: pd.DataFrame) -> None:
    """Refuse a split that leaks.

    Raises:
        LeakageError: Naming what is shared, how much of it, and an example.
    """
    leaks = report[report["verdict"] == "LEAK"]
    if len(leaks):
        first = leaks.iloc[0]
        kinds = ", ".join(leaks["what"].drop_duplicates())
        raise LeakageError(
            f"the split leaks ({kinds}): {first['shared']} {first['what']}(s) are in both "
            f"{first['subset']} and {first['other_subset']}, e.g. {first['example']}; "
            + _REMEDY[first["what"]]
        )


def _with_prompts(
    manifest: pd.DataFrame,
    wells: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
) -> pd.DataFrame:
    """The manifest with structure, listed targets and prompt of each well."""
    digests = wells[[PLATE, WELL]].assign(**{PROMPT_DIGEST: digests_of(wells, prompts)})
    columns = [MODALITY, BROAD_SAMPLE, INCHIKEY, TARGET_LIST, MOA_LIST]
    perturbation_facts = perturbations[columns]
    columns = [PLATE, WELL, MODALITY, BROAD_SAMPLE, ENTITY, GENE, SUBSET]
    facts_of_wells = manifest[columns].merge(digests, on=[PLATE, WELL], how="left")
    facts_of_wells = facts_of_wells.merge(
        perturbation_facts, on=[MODALITY, BROAD_SAMPLE], how="left"
    )
    facts_of_wells[PROMPT] = facts_of_wells[PROMPT_DIGEST].map(text_by_digest(prompts))
    return facts_of_wells


def _listed_targets(facts: pd.DataFrame) -> set[str]:
    compounds = facts[facts[MODALITY] == Modality.COMPOUND].drop_duplicates(BROAD_SAMPLE)
    return {gene for listed in compounds[TARGET_LIST].dropna() for gene in listed.split("|")}


def _entries(columns: pd.DataFrame) -> set[str]:
    """What any cell of these columns lists."""
    cells = columns.drop_duplicates().to_numpy().ravel()
    return {name for cell in cells if isinstance(cell, str) for name in cell.split("|")}


def _words_in(prompts: pd.Series) -> set[str]:
    return {word for prompt in set(prompts.dropna()) for word in re.findall(r"\w+", prompt)}
