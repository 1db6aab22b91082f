"""What each plate's images are like."""

import pandas as pd

from morphoclip.columns import CHANNEL, PLATE, QUALITY, SITE, WELL
from morphoclip.report.plate_maps import draw_plate_maps
from morphoclip.report.rendering import Section, inline_image, render


def images_section(
    site_qc: pd.DataFrame | None,
    plate_intensities: pd.DataFrame | None,
    well_quality: pd.DataFrame | None,
    well_index: pd.DataFrame,
) -> Section:
    """Used range, wells unlike the controls, and plate maps; empty where no images were read."""
    if site_qc is None or plate_intensities is None or well_quality is None:
        return Section("Images", "")
    plates = []
    for plate, qc in site_qc[site_qc[PLATE].isin(well_index[PLATE])].groupby(PLATE):
        unlike = well_quality[(well_quality[PLATE] == plate) & well_quality[QUALITY].notna()]
        levels = plate_intensities[plate_intensities[PLATE] == plate]
        used = (levels["p99_9"] - levels["p0_1"]) / levels["dtype_max"]
        near_empty = qc[qc["near_empty"].eq(other=True)].drop_duplicates([WELL, SITE])
        measured = qc["mean"].notna().any()
        plates.append(
            {
                "name": plate,
                "used_range": dict(zip(levels[CHANNEL], used, strict=True)),
                "n_near_empty": len(near_empty),
                "unlike": {
                    str(quality): list(wells[WELL]) for quality, wells in unlike.groupby(QUALITY)
                },
                "map": inline_image(draw_plate_maps(qc, list(levels[CHANNEL])), dpi=110)
                if measured
                else None,
            }
        )
    return Section("Images", render("images", plates=plates) if plates else "")
