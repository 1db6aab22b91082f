"""How wells are divided: five functions of the wells that a split may use, and a table of them.

Groups are put in order by a digest, never by ``hash()``: the SHA-256 of ``"{seed}:{group}"``. The
same rows give the same manifest on every machine and in any order. Each function takes the wells
that it may divide, the parameters, and all wells of the index; it gives a table with
``Metadata_subset``, ``Metadata_reason`` (of wells that it leaves out) and ``Metadata_fold``.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morphoclip.errors import InputError, example_of
from morphoclip.schemas import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    ENTITY,
    FOLD,
    GENE,
    MODALITY,
    PLATE,
    REASON,
    ROLE,
    SUBSET,
    TIMEPOINT,
    WELL,
    Modality,
    Role,
    Subset,
)
from morphoclip.splits.config import SplitConfig, Strategy

_CELLCLIP_TRAIN = 0.75
_OFFICIAL_TRAIN, _OFFICIAL_VALIDATION = 0.6, 0.2


def pert_type(
    wells: pd.DataFrame,
    config: SplitConfig,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Hold out whole groups of perturbations, in the same fractions within every modality.

    Seen by modality, "all perturbation types are in every subset" (spec, "Split strategy"). With
    ``group_by: gene`` a group spans modalities, so the fractions hold over all of them together.
    """
    if config.folds is not None and config.fold is None:
        raise InputError(
            f"splitting.folds is {config.folds} and no splitting.fold says which one is tested: "
            "give it, or test all of them with kedro run --pipeline cross_validation"
        )
    group = _groups(wells, config)
    strata = pd.Series("all", index=wells.index) if config.group_by == "gene" else wells[MODALITY]
    assigned = _unassigned(wells)
    for stratum, members in group.groupby(strata):
        names = sorted(members.unique(), key=lambda name: digest_of(config.seed, name))
        subset_of, fold_of = _divide(names, str(stratum), config)
        assigned.loc[members.index, SUBSET] = members.map(subset_of)
        assigned.loc[members.index, FOLD] = members.map(fold_of)
    return assigned.astype({FOLD: "Int64"})


def official_representation(
    wells: pd.DataFrame,
    config: SplitConfig,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Genetic wells train, compounds at the shorter time validate, at the longer time test.

    CPJUMP1's representation-learning split. By design validation and test hold the same compounds,
    and no compound is in train: it asks for transfer to a modality that was never seen.

    Raises:
        InputError: Times are unknown, or compounds have not two of them.
    """
    _require(wells, (CELL_TYPE, TIMEPOINT), Strategy.REPRESENTATION)
    compounds = wells[wells[MODALITY] == Modality.COMPOUND]
    times = sorted(compounds[TIMEPOINT].astype(float).unique())
    if len(times) != 2:
        raise InputError(
            f"{Strategy.REPRESENTATION} needs compounds at two times, and there are "
            f"{len(times)}: {example_of([f'{time:g} h' for time in times]) or 'none'}; take plates "
            "of both in ingestion.plates"
        )
    assigned = _unassigned(wells)
    assigned[SUBSET] = str(Subset.TRAIN)
    late = compounds[TIMEPOINT].astype(float) == times[1]
    assigned.loc[compounds.index, SUBSET] = late.map(
        {False: str(Subset.VALIDATION), True: str(Subset.TEST)}
    )
    return assigned


def official_gene_compound(
    wells: pd.DataFrame,
    config: SplitConfig,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Genes that all modalities have, in the order of the ORF plates' wells: 60, 20 and 20 %.

    CPJUMP1's gene-compound split. A compound goes where its primary target goes; wells of other
    genes are left out. The order is that of all wells: one without images moves no other gene.

    Raises:
        InputError: A modality has no plate here.
    """
    treated = everything[(everything[ROLE] != Role.NEGCON) & everything[GENE].notna()]
    genes_of = {m: set(treated.loc[treated[MODALITY] == m, GENE]) for m in Modality}
    absent = [modality for modality, genes in genes_of.items() if not genes]
    if absent:
        raise InputError(
            f"{Strategy.GENE_COMPOUND} follows genes through all modalities, and no plate here has "
            f"{' or '.join(absent)} wells with genes; add some to ingestion.plates"
        )
    across = set.intersection(*genes_of.values())
    orfs = treated[treated[MODALITY] == Modality.ORF].sort_values(WELL)
    order = [gene for gene in orfs[GENE].drop_duplicates() if gene in across]
    n_train = int(_OFFICIAL_TRAIN * len(order))
    n_validation = -int(-_OFFICIAL_VALIDATION * len(order) // 1)
    subset_of = _consecutive(order, n_train, n_validation)
    assigned = _unassigned(wells)
    assigned[SUBSET] = wells[GENE].map(subset_of).fillna(str(Subset.EXCLUDED))
    outside = assigned[SUBSET] == Subset.EXCLUDED
    assigned.loc[outside, REASON] = "gene not in all modalities"
    return assigned


def cellclip_style(
    wells: pd.DataFrame,
    config: SplitConfig,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """In each modality the first three quarters of the sorted groups train, the others test.

    After CellCLIP's ``cpjump`` split, which cuts each slice of cell type and time; on CPJUMP1 all
    slices hold the same groups, and one cut for all keeps it so where a well lacks images.
    ``group_by: broad_sample`` is the written rule, ``entity`` keeps sister guides and a compound's
    names together (groups sorted by their first ID), ``well_position`` is what its code does, which
    lets a perturbation of two wells straddle.
    Validation groups are taken from train, by digest.

    Raises:
        InputError: Cell type or time are unknown.
    """
    _require(wells, (CELL_TYPE, TIMEPOINT), Strategy.CELLCLIP)
    if config.group_by == "well_position":
        group = first = wells[WELL]
    else:
        group = _groups(wells, config)
        first = wells.groupby(group)[BROAD_SAMPLE].transform("min")
    assigned = _unassigned(wells)
    for _, rows in wells.groupby(MODALITY):
        names = list(group[rows.index].iloc[first[rows.index].argsort(kind="stable")].unique())
        subset_of = _consecutive(names, int(_CELLCLIP_TRAIN * len(names)), 0)
        assigned.loc[rows.index, SUBSET] = group[rows.index].map(subset_of)
    if config.val_from == "train":
        train = assigned[SUBSET] == Subset.TRAIN
        for _, members in group[train].groupby(wells.loc[train, MODALITY]):
            names = sorted(members.unique(), key=lambda name: digest_of(config.seed, name))
            chosen = names[: _half_up(config.val_fraction * len(names))]
            assigned.loc[members.index[members.isin(chosen)], SUBSET] = str(Subset.VALIDATION)
    return assigned


def plate_held_out(
    wells: pd.DataFrame,
    config: SplitConfig,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Whole plates: one of each condition tests and one validates, or whole conditions do.

    Perturbations are in every subset by design. Of two plates (or conditions) one trains and one
    tests; one alone trains.

    Raises:
        InputError: No condition has a second plate, or no modality a second condition.
    """
    plates = wells.drop_duplicates(PLATE).set_index(PLATE)
    condition = plates[CONDITION].fillna(plates[MODALITY])
    replicate = config.plate_mode == "replicate"
    unit = pd.Series(plates.index, plates.index) if replicate else condition
    subset_of: dict[str, str] = {}
    for _, units in unit.groupby(condition if replicate else plates[MODALITY]):
        names = sorted(units.unique(), key=lambda name: digest_of(config.seed, name))
        n_test, n_validation = int(len(names) >= 2), int(len(names) >= 3)
        held = _consecutive(names[::-1], len(names) - n_test - n_validation, n_validation)
        subset_of |= {plate: held[name] for plate, name in units.items()}
    if Subset.TEST not in subset_of.values():
        raise InputError(
            f"plate_held_out finds no {'condition with two plates' if replicate else 'modality'} "
            f"{'' if replicate else 'with two conditions '}among {len(plates)} plate(s); add "
            "plates, or experiment metadata that tell conditions apart"
        )
    assigned = _unassigned(wells)
    assigned[SUBSET] = wells[PLATE].map(subset_of)
    return assigned


STRATEGIES: Mapping[Strategy, Callable[[pd.DataFrame, SplitConfig, pd.DataFrame], pd.DataFrame]] = {
    Strategy.PERT_TYPE: pert_type,
    Strategy.REPRESENTATION: official_representation,
    Strategy.GENE_COMPOUND: official_gene_compound,
    Strategy.CELLCLIP: cellclip_style,
    Strategy.PLATE_HELD_OUT: plate_held_out,
}


def digest_of(seed: int, group: str) -> str:
    """What groups are put in order by."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def _unassigned(wells: pd.DataFrame) -> pd.DataFrame:
    empty = pd.DataFrame({SUBSET: "", REASON: None, FOLD: pd.NA}, index=wells.index)
    return empty.astype({FOLD: "Int64"})


def _require(wells: pd.DataFrame, columns: Sequence[str], strategy: Strategy) -> None:
    if wells[list(columns)].isna().any(axis=None):
        raise InputError(
            f"{strategy} needs cell type and time of every plate: name experiment-metadata.tsv in "
            "ingestion.source.experiment_metadata and run ingestion again"
        )


def _groups(wells: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """Name of each well's group.

    A gene's group takes in every gene that shares an entity with it: one compound under two IDs
    can have two primary targets. It is named after its first gene.
    """
    if config.group_by != "gene":
        return wells[{"broad_sample": BROAD_SAMPLE, "entity": ENTITY}[config.group_by]]
    gene_codes, genes = pd.factorize(wells[GENE], sort=True)
    entity_codes, entities = pd.factorize(wells[ENTITY], sort=True)
    size = len(genes) + len(entities)
    links = coo_array(
        (np.ones(len(wells)), (gene_codes, len(genes) + entity_codes)), shape=(size, size)
    )
    _, component = connected_components(links, directed=False)
    first_gene = pd.Series(genes).groupby(component[: len(genes)]).first()
    return pd.Series(first_gene.loc[component[gene_codes]].to_numpy(), index=wells.index)


def _consecutive(names: Sequence[str], n_train: int, n_validation: int) -> dict[str, str]:
    """The first names train, the next validate, the rest test."""
    subsets = [Subset.TRAIN] * n_train + [Subset.VALIDATION] * n_validation
    subsets += [Subset.TEST] * (len(names) - len(subsets))
    return {name: str(subset) for name, subset in zip(names, subsets, strict=True)}


def _divide(
    groups: list[str], stratum: str, config: SplitConfig
) -> tuple[dict[str, str], dict[str, Any]]:
    """Subset and fold of each group; ``groups`` come in order of their digests."""
    fold_of: dict[str, Any] = {}
    if config.assignment == "hash":
        subset_of = {group: _hashed_subset(group, config) for group in groups}
    elif config.folds is not None and config.fold is not None:
        fold_of = {group: place % config.folds for place, group in enumerate(groups)}
        validation = (config.fold + 1) % config.folds
        by_fold = {config.fold: Subset.TEST, validation: Subset.VALIDATION}
        subset_of = {g: str(by_fold.get(fold, Subset.TRAIN)) for g, fold in fold_of.items()}
    else:
        n_validation = _half_up(config.val_fraction * len(groups))
        n_test = _half_up(config.test_fraction * len(groups))
        subset_of = dict.fromkeys(groups, str(Subset.TRAIN))
        subset_of |= dict.fromkeys(groups[:n_validation], str(Subset.VALIDATION))
        subset_of |= dict.fromkeys(groups[n_validation : n_validation + n_test], str(Subset.TEST))
    empty = {Subset.TRAIN, Subset.VALIDATION, Subset.TEST} - set(subset_of.values())
    if empty:
        raise InputError(
            f"{stratum} has {len(groups)} group(s) to split by {config.group_by}, which leaves "
            f"{example_of(sorted(empty))} without any; add plates or change the fractions"
        )
    return subset_of, fold_of


def _hashed_subset(group: str, config: SplitConfig) -> str:
    """The reference's rule: the first 32 bits of an MD5 as a fraction of their range."""
    first = hashlib.md5(f"{config.seed}:{group}".encode(), usedforsecurity=False).hexdigest()[:8]
    place = int(first, 16) / 0xFFFFFFFF
    if place < config.val_fraction:
        return str(Subset.VALIDATION)
    if place < config.val_fraction + config.test_fraction:
        return str(Subset.TEST)
    return str(Subset.TRAIN)


def _half_up(number: float) -> int:
    return int(number + 0.5)
