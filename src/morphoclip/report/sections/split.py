"""Which wells train, validate and test, and what these subsets share."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from morphoclip.columns import MODALITY, SUBSET, Subset
from morphoclip.report.rendering import Section, records, render
from morphoclip.splits.strategies import STRATEGIES


def split_section(
    split_record: Mapping[str, Any], split_summary: pd.DataFrame, leakage_report: pd.DataFrame
) -> Section:
    """The strategy, the size of each subset, and the leakage report."""
    html = render(
        "split",
        record=split_record,
        grouped=bool(STRATEGIES[split_record["strategy"]].groups),
        subsets=subset_sizes(split_summary),
        leakage=records(leakage_report),
        not_shared=not_shared(leakage_report),
    )
    return Section("Split", html)


def subset_sizes(split_summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Wells, perturbations and entities of each subset and modality."""
    used = split_summary[split_summary[SUBSET] != Subset.EXCLUDED]
    counts = ["wells", "perturbations", "entities"]
    rows = used.groupby([SUBSET, MODALITY], sort=False)[counts].sum().reset_index()
    return records(rows)


def not_shared(leakage_report: pd.DataFrame) -> list[str]:
    """Kinds of things that no two subsets have in common."""
    shared = leakage_report.groupby("what", sort=False)["shared"].sum()
    return [str(what) for what in shared.index[shared == 0]]
