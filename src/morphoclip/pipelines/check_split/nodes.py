"""Check nodes: a split made elsewhere in, what its subsets share out."""

import logging

import pandas as pd

from morphoclip.splits.external_split import CheckSplitConfig, manifest_of
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.strategies.base import KEPT_APART_BY_GROUP

logger = logging.getLogger(__name__)


def report_leakage(
    external_split: pd.DataFrame | None,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    config: CheckSplitConfig,
) -> pd.DataFrame:
    """What the subsets of an external split share."""
    manifest = manifest_of(external_split, well_index, config)
    report = leakage_report(
        manifest, well_index, perturbations, prompts, KEPT_APART_BY_GROUP[config.group_by]
    )
    found = report[report["shared"] > 0].drop(columns="example")
    logger.info(
        "what subsets share:\n%s", found.to_string(index=False) if len(found) else "nothing"
    )
    return report


def refuse_leaks(external_split_leakage: pd.DataFrame) -> None:
    """Stop with the first leak, after the table of all is written.

    Raises:
        LeakageError: There is one.
    """
    check_no_leakage(external_split_leakage)
    logger.info("no leak; what is shared by design is in the table external_split_leakage")
