"""What every pipeline that starts from a gallery reads first: perturbations and wells."""

import logging

import pandas as pd

from morphoclip.columns import MODALITY, PLATE, ROLE, SITE, WELL
from morphoclip.gallery.source import IngestionConfig
from morphoclip.loaders import Loaders
from morphoclip.perturbations.cpjump1 import require_cpjump1
from morphoclip.perturbations.tables import perturbation_table
from morphoclip.perturbations.well_index import (
    build_well_index,
    modality_of_barcode,
    with_site_counts,
)

logger = logging.getLogger(__name__)


def read_perturbations(
    jump_target_tables: Loaders[pd.DataFrame],
    annotations: pd.DataFrame | None,
    gene_annotations: pd.DataFrame | None,
) -> pd.DataFrame:
    """One row per perturbation of the JUMP-Target tables.

    Raises:
        InputError: No table is there, or one cannot be used.
    """
    tables = {name: load() for name, load in jump_target_tables.items()}
    perturbations = perturbation_table(tables, annotations, gene_annotations)
    logger.info(
        "%d perturbations: %s", len(perturbations), _counts(perturbations, [MODALITY, ROLE])
    )
    return perturbations


def index_wells(
    site_index: pd.DataFrame,
    barcode_platemap: pd.DataFrame,
    platemaps: Loaders[pd.DataFrame],
    perturbations: pd.DataFrame,
    experiment_metadata: pd.DataFrame | None,
    ingestion: IngestionConfig,
    incomplete_sites: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per well of the plates, with its treatment and its number of complete sites.

    Args:
        site_index: Plate, well and site of what has images, or a published profile.
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
    wells = with_site_counts(wells, site_index[[PLATE, WELL, SITE]].drop_duplicates())
    logger.info("%d wells: %s", len(wells), _counts(wells, [MODALITY, ROLE]))
    return wells


def _counts(table: pd.DataFrame, by: list[str]) -> str:
    counts = table.groupby(by).size()
    return ", ".join(f"{' '.join(map(str, key))} {count}" for key, count in counts.items())
