"""Profiles that can be asked: wells, treatments and texts of one space."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    GENE,
    GENETIC,
    MOA_LIST,
    MODALITY,
    MODEL,
    PERT_INAME,
    PLATE,
    QUALITY,
    ROLE,
    SMILES,
    SUBSET,
    TARGET_LIST,
    WELL,
    embedding_columns,
    embeddings,
)
from morphoclip.errors import InputError
from morphoclip.evaluation.spaces import Spaces
from morphoclip.evaluation.treatments import MECHANISMS, NAME, Treatments, conditions_of
from morphoclip.metrics.conditions import scored_controls, treated_wells
from morphoclip.perturbations.doses import with_dose
from morphoclip.perturbations.genes import entries_of, genes_of
from morphoclip.search.names import lower_names, wells_named

TARGETS = "targets"
_ROWS_OF_SPACES = 1000
"""Every vector has each space at the same share of its length."""


@dataclass(frozen=True)
class SearchIndex:
    """B wells and P texts in one space.

    Attributes:
        wells: ``Metadata_*``, one row per well.
        profiles: ``(B, E)`` float32 unit vectors, in memory or mapped into it.
        perturbations: Names, genes, targets, mechanisms and structures by modality and ID.
        texts: ``Metadata_prompt``, modality, subset and the embedding of each text, P rows.
        dimensions: Names of the embedding's columns, E of them.
    """

    wells: pd.DataFrame
    profiles: NDArray[np.float32]
    perturbations: pd.DataFrame
    texts: pd.DataFrame
    dimensions: tuple[str, ...]

    @classmethod
    def of_profiles(
        cls, profiles: pd.DataFrame, perturbations: pd.DataFrame, texts: pd.DataFrame
    ) -> Self:
        """Of one table of profiles with their metadata."""
        dimensions = embedding_columns(profiles)
        matrix = embeddings(profiles).astype(np.float32, copy=False)
        wells = profiles.drop(columns=dimensions).reset_index(drop=True)
        return cls(wells, matrix, perturbations, texts, tuple(dimensions))

    @cached_property
    def treatment_of_well(self) -> NDArray[np.int64]:
        """Row of `treatments` of each well, ``(B,)``."""
        return self._treatments[0]

    @cached_property
    def treatments(self) -> pd.DataFrame:
        """Distinct treatments with their names, and their targets and mechanisms as tuples."""
        return self._treatments[1]

    @cached_property
    def _treatments(self) -> tuple[NDArray[np.int64], pd.DataFrame]:
        keys = [MODALITY, BROAD_SAMPLE, GENE, ROLE]
        codes, distinct = pd.factorize(pd.MultiIndex.from_frame(self.wells[keys]))
        table = distinct.to_frame(index=False).set_axis(keys, axis=1)
        known = self.perturbations.drop_duplicates([MODALITY, BROAD_SAMPLE])
        known = known.drop(columns=[GENE, ROLE], errors="ignore")
        table = table.merge(known, on=[MODALITY, BROAD_SAMPLE], how="left")
        names = table[PERT_INAME].where(~table[MODALITY].isin(GENETIC), table[GENE])
        table[NAME] = with_dose(names.fillna(table[BROAD_SAMPLE]), table[BROAD_SAMPLE])
        table[TARGETS] = genes_of(table.astype({TARGET_LIST: "str"}), listed=True)
        table[MECHANISMS] = entries_of(table[MOA_LIST])
        return codes.astype(np.int64), table

    def facts_of(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """Name, targets and mechanisms of these wells ``(N,)``."""
        found = self.treatments.iloc[self.treatment_of_well[rows]]
        return found[[NAME, TARGETS, MECHANISMS]].reset_index(drop=True)

    def labels_of(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """What answers say of these wells ``(N,)``."""
        columns = [PLATE, WELL, CONDITION, MODALITY, BROAD_SAMPLE, GENE, SUBSET, QUALITY]
        shown = self.wells.iloc[rows].reindex(columns=columns).reset_index(drop=True)
        return shown.assign(**{NAME: self.facts_of(rows)[NAME]})

    @cached_property
    def names(self) -> frozenset[str]:
        """What treatments go by, in lower case."""
        treated = self.treatments[treated_wells(self.treatments)]
        names = lower_names(treated, self.perturbations)
        return frozenset(name for column in names for name in names[column].dropna())

    @cached_property
    def plates(self) -> frozenset[str]:
        """Barcodes."""
        return frozenset(self.wells[PLATE].unique())

    @cached_property
    def structures(self) -> frozenset[str]:
        """SMILES of the treatments."""
        return frozenset(self.perturbations[SMILES].dropna())

    def rows_named(self, name: str) -> NDArray[np.int64]:
        """Treated wells of a broad_sample, a compound or a gene.

        Raises:
            InputError: No treatment has this name; lists names that are spelled similarly.
        """
        named = wells_named(name, self.treatments, self.perturbations).to_numpy()
        return np.flatnonzero(named[self.treatment_of_well] & self.is_treated)

    @cached_property
    def conditions(self) -> list[dict[str, Treatments]]:
        """For each cell type its conditions by name, with the means of their treatments."""
        spaces = Spaces.of_vectors(self.dimensions, self.profiles[:_ROWS_OF_SPACES])
        return list(conditions_of(self.wells, self.profiles, spaces, self.perturbations))

    @cached_property
    def condition_codes(self) -> NDArray[np.int64]:
        """The condition of each well as a number, ``(B,)``."""
        return np.asarray(pd.factorize(self.wells[CONDITION], sort=True)[0], dtype=np.int64)

    @cached_property
    def rows_of_condition(self) -> Mapping[int, NDArray[np.int64]]:
        """Rows of the treated wells of each condition."""
        codes = self.condition_codes
        return {int(c): np.flatnonzero((codes == c) & self.is_treated) for c in np.unique(codes)}

    @cached_property
    def controls(self) -> Mapping[int, NDArray[np.int64]]:
        """Rows of each condition's control wells that no normalisation was fitted on."""
        rows = np.flatnonzero(scored_controls(self.wells).to_numpy())
        codes = self.condition_codes
        return {int(code): rows[codes[rows] == code] for code in np.unique(codes)}

    @cached_property
    def is_treated(self) -> NDArray[np.bool_]:
        """Which wells have a treatment, ``(B,)``."""
        return treated_wells(self.wells).to_numpy()

    @cached_property
    def text_vectors(self) -> NDArray[np.float32]:
        """Unit vectors of the texts, ``(P, E)``."""
        return self.texts[list(self.dimensions)].to_numpy(dtype=np.float32)


def require_profiles_of(model_record: Mapping[str, Any], profiles: pd.DataFrame) -> None:
    """Refuse profiles that another model made.

    Raises:
        InputError: They name another digest than this model's.
    """
    made_by = sorted(set(profiles[MODEL]))
    if made_by != [model_record["digest"]]:
        raise InputError(
            f"the model {model_record['digest']} has no profiles yet (well_profiles are of "
            f"{', '.join(made_by)}): make them with kedro run --pipeline evaluation, or load "
            "versions that belong together"
        )
