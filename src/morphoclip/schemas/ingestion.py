"""Tables of perturbations, sites and wells."""

import pandera.pandas as pa

from morphoclip.columns import (
    ANTIBIOTICS,
    BATCH,
    BROAD_SAMPLE,
    CELL_LINE,
    CELL_TYPE,
    CHANNEL,
    CONCENTRATION,
    CONCENTRATION_UNIT,
    CONDITION,
    DENSITY,
    DESCRIPTION,
    DETAIL,
    DOSE,
    ENTITY,
    FUNCTION,
    GENE,
    ILLUMINATION,
    IMAGE_NUMBER,
    INCHIKEY,
    MOA_LIST,
    MODALITY,
    N_SITES,
    PATH,
    PERT_INAME,
    PERTURBATION_TYPE,
    PLATE,
    PROTEIN_NAME,
    REASON,
    REPLICATE,
    ROLE,
    SITE,
    SMILES,
    SOURCE,
    SOURCE_CHANNEL,
    TARGET_LIST,
    TIMEPOINT,
    WELL,
    Modality,
    PerturbationType,
    Role,
)
from morphoclip.schemas.column_types import count, number, table, text

PERTURBATIONS = table(
    {
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(),
        ROLE: text(among=Role),
        PERTURBATION_TYPE: text(among=PerturbationType),
        ENTITY: text(),
        PERT_INAME: text(nullable=True),
        GENE: text(nullable=True),
        TARGET_LIST: text(nullable=True),
        MOA_LIST: text(nullable=True),
        PROTEIN_NAME: text(nullable=True),
        FUNCTION: text(nullable=True),
        SMILES: text(nullable=True),
        INCHIKEY: text(nullable=True),
        DOSE: text(nullable=True),
        DESCRIPTION: text(nullable=True),
    },
    unique=[MODALITY, BROAD_SAMPLE],
)
"""One row per perturbation: names, genes, structure and role.

``gene`` is the primary target of a compound; ``function`` is a compound's mechanism of action, or
what the gene annotations say of a gene's product; ``dose`` is there
where one was given; ``description`` takes the place of a prompt.
"""

GENE_ANNOTATIONS = table(
    {
        "gene": text(),
        "name": text(nullable=True),
        "function": text(nullable=True),
        "source": text(),
        "licence": text(),
        "date": text(),
    },
    unique=["gene"],
)
"""Names and functions of genes, each with its source, licence and date."""

SITE_INDEX = table(
    {
        PLATE: text(),
        WELL: text(),
        SITE: pa.Column(int, checks=pa.Check.ge(0)),
        CHANNEL: text(),
        SOURCE_CHANNEL: text(),
        PATH: text(),
        IMAGE_NUMBER: count(),
        ILLUMINATION: text(nullable=True),
    },
    unique=[PLATE, WELL, SITE, CHANNEL],
)
"""One row per image of a complete site: its file below the folder of images (or its URL), which of
the file's images it is, and the file of its illumination function where the source names one."""

SET_ASIDE_SITES = table(
    {PLATE: text(), WELL: text(), SITE: pa.Column(int), REASON: text(), DETAIL: text()},
    unique=[PLATE, WELL, SITE, REASON],
)
"""Sites that go no further, each with its reason."""

WELL_INDEX = table(
    {
        PLATE: text(),
        WELL: text(),
        ROLE: text(among=Role),
        PERTURBATION_TYPE: text(nullable=True, among=PerturbationType),
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(nullable=True),
        GENE: text(nullable=True),
        TARGET_LIST: text(nullable=True),
        ENTITY: text(nullable=True),
        CELL_TYPE: text(nullable=True),
        TIMEPOINT: text(nullable=True),
        CONDITION: text(),
        DENSITY: text(nullable=True),
        ANTIBIOTICS: text(nullable=True),
        CELL_LINE: text(nullable=True),
        CONCENTRATION: number(nullable=True),
        CONCENTRATION_UNIT: text(nullable=True),
        SOURCE: text(nullable=True),
        BATCH: text(nullable=True),
        REPLICATE: text(nullable=True),
        N_SITES: count(),
    },
    unique=[PLATE, WELL],
)
"""The one table that later stages read about wells; without experiment metadata the condition of a
well is its modality."""
