"""Columns and contracts of the catalog's tables.

``Metadata_*`` columns are spelled as pycytominer and copairs spell them. Missing is NA, never "".
"""

from enum import StrEnum

import pandera.pandas as pa

PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
CHANNEL = "Metadata_Channel"
FOLDER = "Metadata_Folder"
FILE = "Metadata_File"
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
CONDITION = "Metadata_condition"
N_SITES = "Metadata_n_sites"
REFERENCE = "Metadata_reference"
PROMPT = "Metadata_prompt"
PROMPT_DIGEST = "Metadata_prompt_digest"
SUBSET = "Metadata_subset"
FOLD = "Metadata_fold"
REASON = "Metadata_reason"
DETAIL = "Metadata_detail"
EMBEDDING_PREFIX = "embedding_"


class Modality(StrEnum):
    """What a plate's treatments are made of; every plate holds one."""

    COMPOUND = "compound"
    CRISPR = "crispr"
    ORF = "orf"


class Role(StrEnum):
    """What a well is for, from the JUMP-Target tables (``empty``: from the platemap)."""

    TRT = "trt"
    NEGCON = "negcon"
    POSCON_CP = "poscon_cp"
    POSCON_ORF = "poscon_orf"
    POSCON_DIVERSE = "poscon_diverse"
    EMPTY = "empty"


class PerturbationType(StrEnum):
    """The spec's five; empty wells have none."""

    COMPOUND = "COMPOUND"
    CRISPR = "CRISPR"
    ORF = "ORF"
    NEGCON = "NEGCON"
    POSCON = "POSCON"


class Subset(StrEnum):
    """Where a well goes."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    EXCLUDED = "excluded"


def _text(*, nullable: bool = False, among: type[StrEnum] | None = None) -> pa.Column:
    checks = [pa.Check.isin([str(member) for member in among])] if among else []
    return pa.Column(str, checks=checks, nullable=nullable)


def _count() -> pa.Column:
    return pa.Column(int, checks=pa.Check.ge(0))


def _number(*, nullable: bool = False) -> pa.Column:
    return pa.Column(float, nullable=nullable)


def _table(columns: dict[str, pa.Column], *, unique: list[str] | None = None) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(columns, strict=True, ordered=True, coerce=True, unique=unique)


PERTURBATIONS = _table(
    {
        MODALITY: _text(among=Modality),
        BROAD_SAMPLE: _text(),
        ROLE: _text(among=Role),
        PERTURBATION_TYPE: _text(among=PerturbationType),
        ENTITY: _text(),
        PERT_INAME: _text(nullable=True),
        GENE: _text(nullable=True),
        TARGET_LIST: _text(nullable=True),
        MOA_LIST: _text(nullable=True),
        PROTEIN_NAME: _text(nullable=True),
        FUNCTION: _text(nullable=True),
        SMILES: _text(nullable=True),
        INCHIKEY: _text(nullable=True),
    },
    unique=[MODALITY, BROAD_SAMPLE],
)
"""One row a perturbation: what is known about it.

``gene`` is the primary target of a compound; ``function`` is a compound's mechanism of action, or
what the gene annotations say of a gene's product.
"""

GENE_ANNOTATIONS = _table(
    {
        "gene": _text(),
        "name": _text(nullable=True),
        "function": _text(nullable=True),
        "source": _text(),
        "licence": _text(),
        "date": _text(),
    },
    unique=["gene"],
)
"""What is known about genes, in the words of a source that is named, with its licence and date."""

SITE_INDEX = _table(
    {
        PLATE: _text(),
        FOLDER: _text(),
        WELL: _text(),
        SITE: pa.Column(int, checks=pa.Check.ge(1)),
        CHANNEL: _text(),
        FILE: _text(),
    },
    unique=[PLATE, WELL, SITE, CHANNEL],
)
"""One row an image of a complete site; the file name is relative to its plate folder."""

SET_ASIDE_SITES = _table(
    {PLATE: _text(), WELL: _text(), SITE: pa.Column(int), REASON: _text(), DETAIL: _text()},
    unique=[PLATE, WELL, SITE, REASON],
)
"""Sites that go no further, each with its reason."""

WELL_INDEX = _table(
    {
        PLATE: _text(),
        WELL: _text(),
        ROLE: _text(among=Role),
        PERTURBATION_TYPE: _text(nullable=True, among=PerturbationType),
        MODALITY: _text(among=Modality),
        BROAD_SAMPLE: _text(nullable=True),
        GENE: _text(nullable=True),
        TARGET_LIST: _text(nullable=True),
        ENTITY: _text(nullable=True),
        CELL_TYPE: _text(nullable=True),
        TIMEPOINT: _text(nullable=True),
        CONDITION: _text(nullable=True),
        DENSITY: _text(nullable=True),
        ANTIBIOTICS: _text(nullable=True),
        CELL_LINE: _text(nullable=True),
        N_SITES: _count(),
    },
    unique=[PLATE, WELL],
)
"""The one table that later stages read about wells."""

PLATE_INTENSITIES = _table(
    {
        PLATE: _text(),
        CHANNEL: _text(),
        "p0_1": _number(),
        "p99_9": _number(),
        "maximum": _number(),
        "dtype_max": _number(),
        "n_sites_sampled": _count(),
    },
    unique=[PLATE, CHANNEL],
)
"""Grey levels of a plate's channel over the sampled sites, in counts of the camera."""

SITE_QC = _table(
    {
        PLATE: _text(),
        WELL: _text(),
        SITE: pa.Column(int),
        CHANNEL: _text(),
        "mean": _number(nullable=True),
        "p0_1": _number(nullable=True),
        "p99_9": _number(nullable=True),
        "used_range": _number(nullable=True),
        "saturated_fraction": _number(nullable=True),
        "focus": _number(nullable=True),
        "near_empty": pa.Column("boolean", nullable=True),
        REASON: _text(nullable=True),
        DETAIL: _text(nullable=True),
    },
    unique=[PLATE, WELL, SITE, CHANNEL],
)
"""One row an image that was read, or could not be (then ``Metadata_reason`` says why)."""

FEATURE_CHECK = _table(
    {
        PLATE: _text(),
        "expected": _count(),
        "present": _count(),
        "missing": _count(),
        "damaged": _count(),
        "stale": _count(),
        "packed": pa.Column(bool),
        "example": _text(nullable=True),
    },
    unique=[PLATE],
)
"""Whether the stored features of each plate are all there; ``stale`` counts settings."""

PROMPTS = _table(
    {
        MODALITY: _text(among=Modality),
        BROAD_SAMPLE: _text(),
        CELL_TYPE: _text(nullable=True),
        TIMEPOINT: _text(nullable=True),
        PROMPT: _text(),
        PROMPT_DIGEST: _text(),
    },
    unique=[MODALITY, BROAD_SAMPLE, CELL_TYPE, TIMEPOINT],
)
"""What is said about each perturbation; the digest is the SHA-256 of the words.

Cell type and timepoint are missing unless `text_features.context` names them.
"""

SPLIT_MANIFEST = _table(
    {
        PLATE: _text(),
        WELL: _text(),
        MODALITY: _text(among=Modality),
        ROLE: _text(among=Role),
        BROAD_SAMPLE: _text(nullable=True),
        ENTITY: _text(nullable=True),
        GENE: _text(nullable=True),
        SUBSET: _text(among=Subset),
        REASON: _text(nullable=True),
        FOLD: pa.Column("Int64", nullable=True),
    },
    unique=[PLATE, WELL],
)
"""Every well's subset; strategy, parameters and SHA-256 travel in the table's attributes."""

SPLIT_SUMMARY = _table(
    {
        SUBSET: _text(among=Subset),
        MODALITY: _text(among=Modality),
        ROLE: _text(among=Role),
        "plates": _count(),
        "wells": _count(),
        "perturbations": _count(),
        "entities": _count(),
        "genes": _count(),
    },
    unique=[SUBSET, MODALITY, ROLE],
)
"""How much each subset holds."""

LEAKAGE_REPORT = _table(
    {
        "subset": _text(among=Subset),
        "other_subset": _text(among=Subset),
        "what": _text(),
        "shared": _count(),
        "verdict": _text(),
        "example": _text(nullable=True),
    },
    unique=["subset", "other_subset", "what"],
)
"""What each pair of subsets has in common."""

TRAINING_HISTORY = _table(
    {
        "epoch": _count(),
        "is_best": pa.Column(bool),
        "train_loss": _number(),
        "validation_loss": _number(),
        "validation_loss_above_floor": _number(),
        "validation_mrr_within_modality": _number(),
        "learning_rate": _number(),
        "temperature": _number(),
        "gradient_norm": _number(),
    },
    unique=["epoch"],
)
"""One row an epoch; losses in nats; ``is_best`` marks the epoch whose weights were kept."""

RETRIEVAL_METRICS = _table(
    {
        "subset": _text(among=Subset),
        "scope": _text(),
        "level": _text(),
        "direction": _text(),
        "metric": _text(),
        "value": _number(),
        "chance": _number(),
        "modality_oracle": _number(),
        "ci_low": _number(),
        "ci_high": _number(),
        "n_queries": _count(),
        "n_candidates": _count(),
    },
    unique=["subset", "scope", "level", "direction", "metric"],
)
"""Retrieval beside chance and beside what recognising the modality reaches; ``n_candidates`` is the
most that any query ranked."""

QUERIES = _table(
    {
        "ranker": _text(),
        "fold": _count(),
        "seed": _count(),
        PROMPT_DIGEST: _text(),
        MODALITY: _text(among=Modality),
        "n_candidates": _count(),
        "mrr": _number(),
        "recall@1": _number(),
        "recall@5": _number(),
        "mrr_chance": _number(),
        "recall@1_chance": _number(),
        "recall@5_chance": _number(),
    },
    unique=["ranker", "fold", "seed", PROMPT_DIGEST],
)
"""How each way of ranking finds the words of each held-out perturbation."""

QUERY_SUMMARY = _table(
    {
        "scope": _text(),
        "metric": _text(),
        "ranker": _text(),
        "value": _number(),
        "ci_low": _number(),
        "ci_high": _number(),
        "chance": _number(),
        "sd_over_seeds": _number(nullable=True),
        "n_queries": _count(),
        "n_seeds": _count(),
        "difference": _number(nullable=True),
        "difference_low": _number(nullable=True),
        "difference_high": _number(nullable=True),
    },
    unique=["scope", "metric", "ranker"],
)
"""The model and the baselines on the same perturbations; intervals over perturbations."""

MATCHING_METRICS = _table(
    {
        "task": _text(),
        "track": _text(),
        "stratum": _text(),
        "metric": _text(),
        "value": _number(),
        "chance": _number(nullable=True),
        "n": _count(),
    },
    unique=["task", "track", "stratum", "metric"],
)
"""Profiles against profiles: distance to controls, identification, gene matching."""

BENCHMARK_METRICS = _table(
    {
        "profiles": _text(),
        "task": _text(),
        "track": _text(),
        "stratum": _text(),
        "mean_average_precision": _number(nullable=True),
        "chance": _number(nullable=True),
        "fraction_retrieved": _number(nullable=True),
        "fraction_retrieved_legacy": _number(nullable=True),
        "n_groups": _count(),
        "flag": _text(nullable=True),
    },
    unique=["profiles", "task", "track", "stratum"],
)
"""The CPJUMP1 benchmark by track; ``flag`` says why a number should not be read as it stands."""

EMBEDDING_QUALITY = _table(
    {"metric": _text(), "scope": _text(), "value": _number(nullable=True)},
    unique=["metric", "scope"],
)
"""Alignment, spread, plate silhouette and signs of collapse."""

RETRIEVED_TEXTS = _table(
    {
        MODALITY: _text(among=Modality),
        PROMPT: _text(),
        "rank_of_own": _number(),
        "n_candidates": _count(),
        "place": _count(),
        "retrieved": _text(),
        "similarity": _number(),
        "is_own": pa.Column(bool),
    },
    unique=[PROMPT, "place"],
)
"""The words that fit the images of each held-out perturbation best; ``is_own``: its own."""

LOOK_ALIKES = _table(
    {
        CONDITION: _text(),
        MODALITY: _text(among=Modality),
        BROAD_SAMPLE: _text(),
        "name": _text(),
        SUBSET: _text(nullable=True),
        "other_condition": _text(),
        "other_modality": _text(among=Modality),
        "other_broad_sample": _text(),
        "other_name": _text(),
        "other_subset": _text(nullable=True),
        "place": _count(),
        "similarity": _number(),
        "z": _number(nullable=True),
        "z_by_luck": _number(),
        "n_wells": _count(),
        "shares_gene": pa.Column(bool),
    },
    unique=[CONDITION, BROAD_SAMPLE, "other_condition", "place"],
)
"""The treatments most like each treatment; ``z``: beyond the controls, in standard errors;
``z_by_luck``: what that place holds where none differs from controls; ``n_wells``: the other's."""

LOOKED_UP = _table(
    {
        "query": _text(),
        "query_condition": _text(),
        CONDITION: _text(),
        MODALITY: _text(among=Modality),
        BROAD_SAMPLE: _text(),
        "name": _text(),
        GENE: _text(nullable=True),
        SUBSET: _text(nullable=True),
        "place": _count(),
        "similarity": _number(),
        "z": _number(nullable=True),
        "z_by_luck": _number(),
    },
    unique=["query", "query_condition", CONDITION, "place"],
)
"""The treatments most like words or a treatment that a user asked about."""

TARGET_GENES = _table(
    {
        CONDITION: _text(),
        BROAD_SAMPLE: _text(),
        "name": _text(),
        SUBSET: _text(nullable=True),
        "other_condition": _text(),
        "other_modality": _text(among=Modality),
        "gene": _text(),
        "other_subset": _text(nullable=True),
        "rank": _number(),
        "n_genes": _count(),
        "similarity": _number(),
        "z": _number(nullable=True),
    },
    unique=[CONDITION, BROAD_SAMPLE, "other_condition", "gene"],
)
"""Where a compound's target genes come among the genes that were knocked out or expressed."""

PERMUTATION_TEST = _table(
    {
        "subset": _text(among=Subset),
        "scope": _text(),
        "value": _number(),
        "null_mean": _number(),
        "null_p95": _number(),
        "p_value": _number(),
        "null_size": _count(),
    },
    unique=["subset", "scope"],
)
"""Perturbation-level image-to-text MRR against the same ranking with permuted texts."""
