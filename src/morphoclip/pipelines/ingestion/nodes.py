"""Ingestion nodes: metadata files and file names in, tables out."""

import logging
from collections.abc import Callable, Mapping

import pandas as pd
from rich.progress import track

from morphoclip.features.extract import ImageFeaturesConfig
from morphoclip.gallery.source import (
    IngestionConfig,
    PlateFolders,
    choose_plates,
    folders_by_barcode,
)
from morphoclip.imaging.sites import SiteTables, index_plates
from morphoclip.perturbations.cpjump1 import require_cpjump1
from morphoclip.perturbations.tables import perturbation_table
from morphoclip.perturbations.well_index import (
    build_well_index,
    modality_of_barcode,
    platemap_of,
    with_site_counts,
)
from morphoclip.progress import SILENT
from morphoclip.schemas import MODALITY, PLATE, ROLE, SITE, WELL

logger = logging.getLogger(__name__)

Tables = Mapping[str, Callable[[], pd.DataFrame]]


def read_perturbations(
    jump_target_tables: Tables,
    annotations: pd.DataFrame | None,
    gene_annotations: pd.DataFrame | None,
) -> pd.DataFrame:
    """What is known about every perturbation of the JUMP-Target tables."""
    tables = {name: load() for name, load in jump_target_tables.items()}
    perturbations = perturbation_table(tables, annotations, gene_annotations)
    logger.info(
        "%d perturbations: %s", len(perturbations), _counts(perturbations, [MODALITY, ROLE])
    )
    return perturbations


def index_sites(
    plate_images: PlateFolders,
    barcode_platemap: pd.DataFrame,
    ingestion: IngestionConfig,
    image_features: ImageFeaturesConfig,
) -> SiteTables:
    """Complete sites, image by image; and the sites that are not complete."""
    folder_of = folders_by_barcode(plate_images)
    plates = choose_plates(sorted(folder_of), list(platemap_of(barcode_platemap)), ingestion.plates)
    folders = (folder_of[plate] for plate in track(plates, "listing plates", disable=SILENT))
    site_index, incomplete = index_plates(folders, image_features.channels)
    logger.info(
        "%d plates: %d complete sites, %d incomplete ones set aside",
        len(plates),
        len(site_index) // len(image_features.channels),
        len(incomplete),
    )
    return SiteTables(site_index, incomplete)


def index_wells(  # noqa: PLR0913 - one argument a table
    site_index: pd.DataFrame,
    incomplete_sites: pd.DataFrame,
    barcode_platemap: pd.DataFrame,
    platemaps: Tables,
    perturbations: pd.DataFrame,
    experiment_metadata: pd.DataFrame | None,
    ingestion: IngestionConfig,
) -> pd.DataFrame:
    """Every well of the plates, with what was done to it and how many complete sites it has."""
    plates = sorted({*site_index[PLATE], *incomplete_sites[PLATE]})
    wells = build_well_index(
        plates,
        barcode_platemap,
        {name: load() for name, load in platemaps.items()},
        perturbations,
        experiment_metadata,
        ingestion.source.batch,
    )
    if ingestion.experiment == "cpjump1":
        require_cpjump1(perturbations, wells, modality_of_barcode(barcode_platemap))
    wells = with_site_counts(wells, site_index[[PLATE, WELL, SITE]].drop_duplicates())
    logger.info("%d wells: %s", len(wells), _counts(wells, [MODALITY, ROLE]))
    return wells


def _counts(table: pd.DataFrame, by: list[str]) -> str:
    counts = table.groupby(by).size()
    return ", ".join(f"{' '.join(map(str, key))} {count}" for key, count in counts.items())
