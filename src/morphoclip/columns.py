"""Names of columns, and the values that some of them may take.

``Metadata_*`` columns are spelled as pycytominer and copairs spell them. Missing is NA, never "".
"""

from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
CHANNEL = "Metadata_Channel"
SOURCE_CHANNEL = "Metadata_Source_channel"
PATH = "Metadata_Path"
IMAGE_NUMBER = "Metadata_Image_number"
ILLUMINATION = "Metadata_Illumination"
BROAD_SAMPLE = "Metadata_broad_sample"
MODALITY = "Metadata_modality"
ROLE = "Metadata_role"
PERTURBATION_TYPE = "Metadata_perturbation_type"
PERT_INAME = "Metadata_pert_iname"
GENE = "Metadata_gene"
TARGET_LIST = "Metadata_target_list"
MOA_LIST = "Metadata_moa_list"
PROTEIN_NAME = "Metadata_protein_name"
FUNCTION = "Metadata_function"
SMILES = "Metadata_smiles"
INCHIKEY = "Metadata_InChIKey"
ENTITY = "Metadata_entity"
CELL_TYPE = "Metadata_cell_type"
TIMEPOINT = "Metadata_timepoint"
DENSITY = "Metadata_density"
ANTIBIOTICS = "Metadata_antibiotics"
CELL_LINE = "Metadata_cell_line"
CONCENTRATION = "Metadata_concentration"
CONCENTRATION_UNIT = "Metadata_concentration_unit"
DOSE = "Metadata_dose"
DESCRIPTION = "Metadata_description"
SOURCE = "Metadata_source"
BATCH = "Metadata_batch"
REPLICATE = "Metadata_replicate"
CONDITION = "Metadata_condition"
N_SITES = "Metadata_n_sites"
REFERENCE = "Metadata_reference"
PROMPT = "Metadata_prompt"
PROMPT_DIGEST = "Metadata_prompt_digest"
SUBSET = "Metadata_subset"
FOLD = "Metadata_fold"
REASON = "Metadata_reason"
DETAIL = "Metadata_detail"
MODEL = "Metadata_model"
QUALITY = "Metadata_quality"
NORMALISED_BY = "Metadata_normalised_by"
N_WELLS = "Metadata_n_wells"
EMBEDDING_PREFIX = "embedding_"


class Modality(StrEnum):
    """What a plate's treatments are made of; every plate holds one."""

    COMPOUND = "compound"
    CRISPR = "crispr"
    ORF = "orf"
    SIRNA = "sirna"
    ANTIBODY = "antibody"
    OTHER = "other"


JUMP_TARGET = (Modality.COMPOUND, Modality.CRISPR, Modality.ORF)
"""The modalities of CPJUMP1 and its tables."""

GENETIC = frozenset({Modality.CRISPR, Modality.ORF, Modality.SIRNA})
"""Modalities that act on a gene itself, by whose name they go."""


class Role(StrEnum):
    """What a well is for, from the JUMP-Target tables (``empty``: from the platemap)."""

    TRT = "trt"
    NEGCON = "negcon"
    POSCON_CP = "poscon_cp"
    POSCON_ORF = "poscon_orf"
    POSCON_DIVERSE = "poscon_diverse"
    EMPTY = "empty"


class PerturbationType(StrEnum):
    """The spec's five, and those of other experiments; empty wells have none."""

    COMPOUND = "COMPOUND"
    CRISPR = "CRISPR"
    ORF = "ORF"
    NEGCON = "NEGCON"
    POSCON = "POSCON"
    SIRNA = "SIRNA"
    ANTIBODY = "ANTIBODY"
    OTHER = "OTHER"


class Quality(StrEnum):
    """What is wrong with a well's images, beside the controls of its plate."""

    NEAR_EMPTY = "near_empty"
    FEW_CELLS = "few_cells"
    TOO_BRIGHT = "too_bright"


class Subset(StrEnum):
    """Where a well goes."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    EXCLUDED = "excluded"


def embeddings(table: pd.DataFrame) -> NDArray[np.floating]:
    """The embedding of each row, ``(B, E)``; not copied where its columns lie side by side."""
    names = embedding_columns(table)
    first = table.columns.get_loc(names[0]) if names else 0
    together = table.iloc[:, first : first + len(names)]
    return (together if list(together.columns) == names else table[names]).to_numpy()


def embedding_columns(table: pd.DataFrame) -> list[str]:
    """Columns that hold an embedding, in order."""
    return [name for name in table.columns if name.startswith(EMBEDDING_PREFIX)]
