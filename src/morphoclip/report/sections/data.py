"""What was set aside, and which metadata are missing."""

import pandas as pd

from morphoclip.columns import CELL_LINE, CELL_TYPE, PLATE, REASON, SITE, WELL
from morphoclip.report.rendering import Section, render


def data_section(well_index: pd.DataFrame, set_aside_sites: pd.DataFrame) -> Section:
    """Sites set aside by reason, of the plates of this run."""
    of_plates = set_aside_sites[set_aside_sites[PLATE].isin(well_index[PLATE])]
    reasons = of_plates.drop_duplicates([PLATE, WELL, SITE])[REASON].value_counts()
    html = render(
        "data",
        set_aside={str(reason): int(n) for reason, n in reasons.items()},
        no_conditions=bool(well_index[[CELL_TYPE, CELL_LINE]].isna().all(axis=None)),
    )
    return Section("Data", html)
