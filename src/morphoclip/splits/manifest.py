"""The manifest: every well's subset, and for excluded wells the reason."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from morphoclip.columns import (
    ANTIBIOTICS,
    BROAD_SAMPLE,
    CELL_LINE,
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
    WELL,
    Modality,
    Role,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.genes import entries_of
from morphoclip.schemas.splits import SPLIT_MANIFEST, SPLIT_SUMMARY
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.strategies.base import rows_of_wells

logger = logging.getLogger(__name__)


def assign_subsets(
    well_index: pd.DataFrame, config: SplitConfig, perturbations: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The manifest: every well's subset, and for excluded wells the reason.

    ``perturbations`` hold the mechanisms that `hold_out_mechanisms` asks for.

    Raises:
        InputError: The wells cannot be divided so: too few groups, plates or conditions.
    """
    if config.seeds:
        raise InputError(
            "splitting.seeds divides the wells in several ways, which is cross_validation's job: "
            "run kedro run --pipeline cross_validation, or give one splitting.seed"
        )
    wells = well_index.sort_values([PLATE, WELL], ignore_index=True)
    reasons = _exclusions(wells, config)
    eligible = wells[reasons.isna()]
    if eligible.empty:
        raise InputError(
            f"no well is left to divide: {reasons.value_counts().to_dict()}; "
            "splitting.standard_plates false takes plates of any density, antibiotics and cell line"
        )
    manifest = wells[[PLATE, WELL, MODALITY, ROLE, BROAD_SAMPLE, ENTITY, GENE]].copy()
    manifest[SUBSET] = str(Subset.EXCLUDED)
    manifest[REASON] = reasons
    manifest[FOLD] = pd.Series(pd.NA, index=wells.index, dtype="Int64")
    assigned = config.chosen.assign(eligible, config, wells)
    for column in (SUBSET, REASON, FOLD):
        manifest.loc[eligible.index, column] = assigned[column]
    if config.hold_out_mechanisms:
        if perturbations is None:
            raise ValueError("hold_out_mechanisms needs the table of perturbations")
        _leave_out_mechanisms_of_test(manifest, perturbations)
    if config.ignored_settings:
        logger.info("strategy %s ignores %s", config.strategy, ", ".join(config.ignored_settings))
    return manifest[list(SPLIT_MANIFEST.columns)]


def split_record(manifest: pd.DataFrame, config: SplitConfig) -> dict[str, Any]:
    """How a manifest was made, and the SHA-256 of its rows."""
    return {
        "strategy": config.strategy,
        "parameters": config.model_dump(mode="json"),
        "sha256": manifest_sha256(manifest),
    }


def manifest_sha256(manifest: pd.DataFrame) -> str:
    """SHA-256 over plate, well and subset of every row, in order of plate and well."""
    rows = manifest.sort_values([PLATE, WELL])[[PLATE, WELL, SUBSET]]
    lines = (",".join(row) for row in rows.itertuples(index=False))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def require_recorded(manifest: pd.DataFrame, record: Mapping[str, Any]) -> None:
    """Refuse a manifest whose rows are not those that its record was written for.

    Raises:
        InputError: The SHA-256 differ.
    """
    found = manifest_sha256(manifest)
    if found != record["sha256"]:
        raise InputError(
            f"split_record was written for a manifest with sha256 {record['sha256'][:16]}, and "
            f"split_manifest has {found[:16]}: its rows were changed since, or the two are of "
            "different versions; run kedro run --pipeline splitting again"
        )


def require_same_manifest(trained_on: str, manifest: pd.DataFrame) -> None:
    """Refuse to evaluate a model on another split than the one it was trained on.

    Raises:
        InputError: The SHA-256 differ.
    """
    given = manifest_sha256(manifest)
    if given != trained_on:
        raise InputError(
            f"the model was trained on split manifest {trained_on[:16]} and this is {given[:16]}: "
            "its test wells may have been trained on; run kedro run --pipeline training on this "
            "split, or load the other with "
            "--load-versions=split_manifest:<version>,split_record:<version>"
        )


def summarise_split(manifest: pd.DataFrame) -> pd.DataFrame:
    """Plates, wells, perturbations, entities and genes by subset, modality and role."""
    counts = manifest.groupby([SUBSET, MODALITY, ROLE]).agg(
        plates=(PLATE, "nunique"),
        wells=(WELL, "size"),
        perturbations=(BROAD_SAMPLE, "nunique"),
        entities=(ENTITY, "nunique"),
        genes=(GENE, "nunique"),
    )
    order = [str(subset) for subset in Subset]
    table = counts.reset_index().sort_values(
        [SUBSET, MODALITY, ROLE],
        key=lambda column: column.map(order.index) if column.name == SUBSET else column,
    )
    return table[list(SPLIT_SUMMARY.columns)].reset_index(drop=True)


def _exclusions(wells: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """The reason why no subset may hold a well, or NA."""
    left_out = {str(Role.EMPTY), *config.exclude_roles}
    if config.exclude_controls:
        left_out.add(str(Role.NEGCON))
    reasons = wells[ROLE].where(wells[ROLE].isin(left_out)).radd("role ")
    if config.standard_plates and "standard_plates" not in config.chosen.ignored:
        reasons = reasons.fillna(_not_standard(wells))
    reasons = reasons.mask(reasons.isna() & (wells[N_SITES] == 0), "no complete site")
    if config.group_by == "gene" and config.chosen.groups:
        reasons = reasons.mask(reasons.isna() & wells[GENE].isna(), "no gene to group by")
    if config.group_by == "row" and config.chosen.groups:
        rows = rows_of_wells(wells).where(reasons.isna())
        n_rows = rows.groupby(wells[ENTITY]).transform("nunique")
        reasons = reasons.mask(reasons.isna() & (n_rows > 1), "in several rows")
    return reasons


def _leave_out_mechanisms_of_test(manifest: pd.DataFrame, perturbations: pd.DataFrame) -> None:
    """Exclude train and validation wells that share a mechanism of action with a test well.

    Raises:
        InputError: No well is left to train on.
    """
    keys = [MODALITY, BROAD_SAMPLE]
    listed = manifest[keys].merge(perturbations[[*keys, MOA_LIST]], on=keys, how="left")[MOA_LIST]
    mechanisms = entries_of(listed).set_axis(manifest.index)
    tested = manifest[SUBSET] == Subset.TEST
    of_test = {name for names in mechanisms[tested] for name in names}
    learnt_from = manifest[SUBSET].isin([Subset.TRAIN, Subset.VALIDATION])
    shared = learnt_from & mechanisms.map(lambda names: bool(of_test & set(names)))
    manifest.loc[shared, SUBSET] = str(Subset.EXCLUDED)
    manifest.loc[shared, REASON] = "shares a mechanism with a test well"
    if not (manifest[SUBSET] == Subset.TRAIN).any():
        raise InputError(
            "every train well shares a mechanism of action with a test well: set "
            "splitting.hold_out_mechanisms to false, or hold out less"
        )


def _not_standard(wells: pd.DataFrame) -> pd.Series:
    """What sets a plate apart from CPJUMP1's 40 standard plates, or NA.

    As CPJUMP1's own split files leave them out (Chandrasekaran et al. 2024): density 100, no
    antibiotics, compounds in cells without Cas9. Without experiment metadata no plate is left out.
    """
    is_compound = wells[MODALITY] == Modality.COMPOUND
    reasons = pd.Series(None, index=wells.index, dtype="object")
    differing = {
        "compound in Cas9 cells": is_compound & wells[CELL_LINE].eq("Cas9"),
        "antibiotics ": wells[ANTIBIOTICS].notna() & wells[ANTIBIOTICS].ne("absent"),
        "density ": wells[DENSITY].notna() & wells[DENSITY].ne("100"),
    }
    values = {"antibiotics ": wells[ANTIBIOTICS], "density ": wells[DENSITY]}
    for what, mask in differing.items():
        reasons = reasons.mask(mask, what + values[what] if what in values else what)
    return reasons.where(reasons.isna(), "not a standard plate: " + reasons.astype("str"))
