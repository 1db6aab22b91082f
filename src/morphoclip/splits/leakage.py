"""What subsets share, and the exception for what they must not."""

from itertools import combinations

import pandas as pd

from morphoclip.errors import InputError, example_of
from morphoclip.schemas import (
    BROAD_SAMPLE,
    ENTITY,
    GENE,
    LEAKAGE_REPORT,
    MODALITY,
    PLATE,
    PROMPT,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.splits.strategies import SplitConfig

_SHARED_BY_GROUP = {
    "broad_sample": {"well", "broad_sample"},
    "entity": {"well", "broad_sample", "entity", "prompt"},
    "gene": {"well", "broad_sample", "entity", "gene", "prompt"},
}
"""What no two subsets may share, by `splitting.group_by`."""


_REMEDY = {
    "broad_sample": "group by something wider: splitting.group_by entity or gene",
    "entity": "two perturbations share their words: give them one name or one gene in the tables, "
    "or raise text_features.level",
    "gene": "two perturbations share their words: give them one name or one gene in the tables, "
    "or raise text_features.level",
}


class LeakageError(InputError):
    """Two subsets share what the split keeps apart."""


def leakage_report(
    manifest: pd.DataFrame, prompts: pd.DataFrame, config: SplitConfig
) -> pd.DataFrame:
    """One row a pair of subsets and a kind of thing they may have in common.

    ``verdict``: ``none`` shared, ``by design`` where the strategy allows it, or ``LEAK``.
    """
    words = manifest.merge(prompts, on=[MODALITY, BROAD_SAMPLE], how="left")
    things = {
        "well": words[PLATE] + " " + words[WELL],
        "broad_sample": words[MODALITY] + " " + words[BROAD_SAMPLE],
        "entity": words[ENTITY],
        "gene": words[GENE],
        "prompt": words[PROMPT],
        "well position": words[WELL],
    }
    forbidden = _SHARED_BY_GROUP[config.group_by]
    rows = []
    for one, other in combinations((Subset.TRAIN, Subset.VALIDATION, Subset.TEST), 2):
        for what, thing in things.items():
            shared = sorted(
                set(thing[words[SUBSET] == one].dropna())
                & set(thing[words[SUBSET] == other].dropna())
            )
            verdict = "none" if not shared else "LEAK" if what in forbidden else "by design"
            example = example_of(shared) if shared else None
            rows.append((str(one), str(other), what, len(shared), verdict, example))
    return pd.DataFrame(rows, columns=list(LEAKAGE_REPORT.columns))


def check_no_leakage(report: pd.DataFrame, group_by: str) -> None:
    """Refuse a split that leaks.

    Raises:
        LeakageError: Naming what is shared, how much of it, and an example.
    """
    leaks = report[report["verdict"] == "LEAK"]
    if len(leaks):
        first = leaks.iloc[0]
        raise LeakageError(
            f"the split leaks in {len(leaks)} way(s): {first['shared']} {first['what']}(s) are in "
            f"both {first['subset']} and {first['other_subset']}, e.g. {first['example']}; "
            + _REMEDY[group_by]
        )
