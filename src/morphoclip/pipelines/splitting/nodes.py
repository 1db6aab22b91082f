"""Splitting nodes: well index in, split manifest and leakage report out."""

import logging
from typing import Any, NamedTuple

import pandas as pd

from morphoclip.columns import SUBSET
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.manifest import assign_subsets, split_record, summarise_split
from morphoclip.splits.official import require_official

logger = logging.getLogger(__name__)


class SplitTables(NamedTuple):
    """Every well's subset, how it was made, what subsets share, and what each holds."""

    split_manifest: pd.DataFrame
    split_record: dict[str, Any]
    leakage_report: pd.DataFrame
    split_summary: pd.DataFrame


def split_wells(
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    official_splits: pd.DataFrame | None,
    config: SplitConfig,
) -> SplitTables:
    """Assign every well to a subset; wells that no subset may hold are excluded, with the reason.

    Raises:
        LeakageError: Something that the split keeps apart is in two subsets.
    """
    manifest = assign_subsets(well_index, config, perturbations)
    compared = require_official(manifest, official_splits, config.chosen)
    if compared:
        logger.info("%d wells agree with the official table", compared)
    report = leakage_report(manifest, well_index, perturbations, prompts, config.kept_apart)
    check_no_leakage(report)
    summary = summarise_split(manifest)
    wells = summary.groupby(SUBSET, sort=False)["wells"].sum()
    logger.info(
        "split %s: %s wells", config.strategy, ", ".join(f"{s} {n}" for s, n in wells.items())
    )
    return SplitTables(manifest, split_record(manifest, config), report, summary)
