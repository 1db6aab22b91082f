"""Profile nodes: published profiles in the place of images."""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.published_profiles import pack_profiles
from morphoclip.gallery.source import IngestionConfig, choose_plates
from morphoclip.perturbations.cpjump1 import require_cpjump1
from morphoclip.perturbations.tables import perturbation_table
from morphoclip.perturbations.well_index import (
    build_well_index,
    modality_of_barcode,
    platemap_of,
    with_site_counts,
)
from morphoclip.schemas import (
    DETAIL,
    N_SITES,
    PLATE,
    PLATE_INTENSITIES,
    REASON,
    SET_ASIDE_SITES,
    SITE,
    SITE_QC,
    WELL,
)

logger = logging.getLogger(__name__)

Loaders = Mapping[str, Callable[[], pd.DataFrame]]


class ProfileTables(NamedTuple):
    """What ingestion makes of metadata, for plates that have profiles; of images, nothing."""

    perturbations: pd.DataFrame
    well_index: pd.DataFrame
    set_aside_sites: pd.DataFrame
    site_qc: pd.DataFrame
    plate_intensities: pd.DataFrame


def read_profiles(
    published_profiles: Loaders, barcode_platemap: pd.DataFrame, ingestion: IngestionConfig
) -> tuple[dict[str, PlateFeatures], pd.DataFrame]:
    """Plate features (C = 1) from published profiles, and their wells; a well is one site."""
    load_of = {key.split("/", 1)[0]: load for key, load in published_profiles.items()}
    plates = choose_plates(sorted(load_of), list(platemap_of(barcode_platemap)), ingestion.plates)
    packed = pack_profiles({plate: load_of[plate]() for plate in plates})
    return packed, pd.concat([packed[plate].sites for plate in plates], ignore_index=True)


def index_profile_wells(  # noqa: PLR0913 - one argument a catalog entry
    profiled_wells: pd.DataFrame,
    jump_target_tables: Loaders,
    annotations: pd.DataFrame | None,
    gene_annotations: pd.DataFrame | None,
    barcode_platemap: pd.DataFrame,
    platemaps: Loaders,
    experiment_metadata: pd.DataFrame | None,
    ingestion: IngestionConfig,
) -> ProfileTables:
    """The tables that ingestion makes, for plates that have profiles instead of images."""
    perturbations = perturbation_table(
        {name: load() for name, load in jump_target_tables.items()}, annotations, gene_annotations
    )
    plates = sorted(profiled_wells[PLATE].unique())
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
    wells = with_site_counts(wells, profiled_wells)
    without = wells.loc[wells[N_SITES] == 0, [PLATE, WELL]]
    set_aside = without.assign(
        **{SITE: 1, REASON: "no profile", DETAIL: "the published table has no row of this well"}
    )[list(SET_ASIDE_SITES.columns)]
    set_aside.attrs["plates"] = plates
    logger.info("%d wells, %d without a profile set aside", len(wells), len(set_aside))
    no_images = [pd.DataFrame(columns=list(t.columns)) for t in (SITE_QC, PLATE_INTENSITIES)]
    for table in no_images:
        table.attrs["plates"] = plates
    return ProfileTables(perturbations, wells, set_aside, *no_images)
