"""Check nodes: a split file in, what its subsets share out."""

import logging

import pandas as pd

from morphoclip.splits.leakage import check_no_leakage, kept_apart_by_group, leakage_report
from morphoclip.splits.users_split import CheckSplitConfig, manifest_of

logger = logging.getLogger(__name__)


def report_on_split(
    split_to_check: pd.DataFrame | None,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    config: CheckSplitConfig,
) -> pd.DataFrame:
    """What the subsets of a user's split share."""
    manifest = manifest_of(split_to_check, well_index, config)
    report = leakage_report(
        manifest, well_index, perturbations, prompts, kept_apart_by_group(config.group_by)
    )
    found = report[report["shared"] > 0].drop(columns="example")
    logger.info(
        "what subsets share:\n%s", found.to_string(index=False) if len(found) else "nothing"
    )
    return report


def refuse_leaks(split_check: pd.DataFrame) -> None:
    """Stop with the first leak, after the table of all is written; say so where there is none.

    Raises:
        LeakageError: There is one.
    """
    check_no_leakage(split_check)
    logger.info("no leak: what is shared is shared by design; the table is split_check")
