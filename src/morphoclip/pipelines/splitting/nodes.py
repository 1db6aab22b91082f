"""Splitting nodes: well index in, split manifest and leakage report out."""

import logging

import pandas as pd

from morphoclip.schemas import MODALITY, SUBSET
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.strategies import SplitConfig, assign_subsets

logger = logging.getLogger(__name__)


def split_wells(
    well_index: pd.DataFrame, prompts: pd.DataFrame, config: SplitConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assign every well to a subset; wells that no subset may hold are excluded, with the reason.

    Raises:
        LeakageError: Something that the split keeps apart is in two subsets.
    """
    manifest = assign_subsets(well_index, config)
    report = leakage_report(manifest, prompts, config)
    check_no_leakage(report, config.group_by)
    counts = manifest.groupby([SUBSET, MODALITY]).size()
    logger.info(
        "split %s by %s: %s wells",
        config.strategy,
        config.group_by,
        ", ".join(f"{subset} {modality} {n}" for (subset, modality), n in counts.items()),
    )
    return manifest, report
