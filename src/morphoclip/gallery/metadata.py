"""What every pipeline that starts from a gallery reads first: perturbations and wells."""

import logging

import pandas as pd

from morphoclip.columns import MODALITY, PLATE, ROLE, SITE, WELL
from morphoclip.errors import example_of
from morphoclip.gallery.source import IngestionConfig
from morphoclip.loaders import Loaders
from morphoclip.perturbations.cpjump1 import require_cpjump1
from morphoclip.perturbations.described_wells import perturbations_of, well_index_of
from morphoclip.perturbations.jump_production import jump_wells
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.platemaps import build_well_index, modality_of_barcode, platemap_of
from morphoclip.perturbations.well_index import with_site_counts
from morphoclip.perturbations.wells_table import read_wells_table

logger = logging.getLogger(__name__)


def describe_wells(
    wells_table: pd.DataFrame | None,
    jump_tables: Loaders[pd.DataFrame],
    ingestion: IngestionConfig,
) -> pd.DataFrame:
    """A lab's table of wells, or JUMP's, in our columns; empty where the gallery's are read.

    Raises:
        InputError: It cannot be used.
    """
    if jump_tables:
        wells = read_wells_table(jump_wells(jump_tables, ingestion.plates), {})
    elif wells_table is not None:
        wells = read_wells_table(wells_table, ingestion.well_columns)
    else:
        return pd.DataFrame()
    logger.info("%d wells of %d plates in the wells table", len(wells), wells[PLATE].nunique())
    return wells


def listed_plates(
    described_wells: pd.DataFrame, barcode_platemap: pd.DataFrame | None
) -> tuple[list[str], str]:
    """Barcodes of the plates whose wells are known, and the table that says so."""
    if not described_wells.empty:
        return sorted(described_wells[PLATE].unique()), "the wells table"
    assert barcode_platemap is not None
    return list(platemap_of(barcode_platemap)), "barcode_platemap.csv"


def read_perturbations(
    described_wells: pd.DataFrame,
    jump_target_tables: Loaders[pd.DataFrame],
    annotations: pd.DataFrame | None,
    gene_annotations: pd.DataFrame | None,
) -> pd.DataFrame:
    """One row per perturbation of the wells table, or else of the JUMP-Target tables.

    Raises:
        InputError: No table is there, or one cannot be used.
    """
    if not described_wells.empty:
        perturbations = perturbations_of(described_wells, gene_annotations)
    else:
        tables = {name: load() for name, load in jump_target_tables.items()}
        perturbations = perturbation_table(tables, annotations, gene_annotations)
    logger.info(
        "%d perturbations: %s", len(perturbations), _counts(perturbations, [MODALITY, ROLE])
    )
    return perturbations


def index_wells(  # noqa: PLR0913 - one argument per catalog entry
    site_index: pd.DataFrame,
    described_wells: pd.DataFrame,
    barcode_platemap: pd.DataFrame | None,
    platemaps: Loaders[pd.DataFrame],
    perturbations: pd.DataFrame,
    experiment_metadata: pd.DataFrame | None,
    ingestion: IngestionConfig,
    incomplete_sites: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per well of the plates, with its treatment and its number of complete sites.

    Args:
        site_index: Plate, well and site of what has images, or a published profile.
        described_wells: The wells table, in place of the gallery's tables.
        barcode_platemap: Barcode to platemap.
        platemaps: Platemap name -> wells and IDs.
        perturbations: The table of perturbations.
        experiment_metadata: experiment-metadata.tsv, optional.
        ingestion: `params:ingestion`.
        incomplete_sites: Sites of the plates that lack a channel.

    Raises:
        InputError: A table lacks something, or the counts are not CPJUMP1's where they should be.
    """
    plates = set(site_index[PLATE])
    if incomplete_sites is not None:
        plates |= set(incomplete_sites[PLATE])
    if not described_wells.empty:
        wells = well_index_of(described_wells, perturbations, sorted(plates))
    else:
        assert barcode_platemap is not None
        wells = build_well_index(
            sorted(plates),
            barcode_platemap,
            {name: load() for name, load in platemaps.items()},
            perturbations,
            experiment_metadata,
            ingestion.source.batch,
        )
        match ingestion.experiment:
            case "cpjump1":
                require_cpjump1(perturbations, wells, modality_of_barcode(barcode_platemap))
            case "other":
                pass
    sites = site_index[[PLATE, WELL, SITE]].drop_duplicates()
    _say_what_is_not_described(wells, sites)
    wells = with_site_counts(wells, sites)
    logger.info("%d wells: %s", len(wells), _counts(wells, [MODALITY, ROLE]))
    return wells


def _say_what_is_not_described(wells: pd.DataFrame, sites: pd.DataFrame) -> None:
    """Imaged wells that no table names are not used; that is said."""
    described = pd.MultiIndex.from_frame(wells[[PLATE, WELL]])
    imaged = sites[[PLATE, WELL]].drop_duplicates()
    strangers = imaged[~pd.MultiIndex.from_frame(imaged).isin(described)]
    if len(strangers):
        logger.warning(
            "%d wells have images and are in no table of wells; they are not used: %s",
            len(strangers),
            example_of(strangers[PLATE] + " " + strangers[WELL]),
        )


def _counts(table: pd.DataFrame, by: list[str]) -> str:
    counts = table.groupby(by).size()
    return ", ".join(f"{' '.join(map(str, key))} {count}" for key, count in counts.items())
