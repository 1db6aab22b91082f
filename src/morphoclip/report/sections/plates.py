"""Plates and their profiles, before any training."""

from collections.abc import Mapping

import pandas as pd

from morphoclip.columns import N_SITES, NORMALISED_BY, PLATE, ROLE, embedding_columns
from morphoclip.evaluation.image_profiles import plates_without_controls
from morphoclip.gallery.source import IngestionConfig, redact_path
from morphoclip.report.figures import draw_projection
from morphoclip.report.rendering import Section, render


def plates_section(
    ingestion: IngestionConfig,
    well_index: pd.DataFrame,
    image_profiles: pd.DataFrame,
    image_record: Mapping[str, str],
) -> Section:
    """What is on each plate, what profiles were made by, and a map of them."""
    present = well_index[well_index[N_SITES] > 0]
    roles = pd.crosstab(well_index[PLATE], well_index[ROLE])
    rows = [
        {
            "name": plate,
            "n_wells": len(wells),
            "n_imaged": int((wells[N_SITES] > 0).sum()),
            "n_sites": int(wells[N_SITES].sum()),
            "roles": [int(n) for n in roles.loc[plate]],
        }
        for plate, wells in well_index.groupby(PLATE)
    ]
    figure = draw_projection(image_profiles, embedding_columns(image_profiles))
    html = render(
        "plates",
        source=ingestion.source,
        images=redact_path(ingestion.source.images or ingestion.source.root),
        image_model=image_record["image_model"],
        normalised_by=str(image_profiles[NORMALISED_BY].iloc[0]),
        n_wells=len(present),
        plates=rows,
        roles=list(roles.columns),
        without_controls=plates_without_controls(image_profiles),
        figure=figure,
    )
    return Section("Plates", html, {"plate_projection_figure": figure})
