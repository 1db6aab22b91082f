"""How the embedding is laid out."""

import pandas as pd

from morphoclip.columns import embedding_columns
from morphoclip.report.figures import draw_projection
from morphoclip.report.rendering import Section, records, render


def embedding_section(embedding_quality: pd.DataFrame, well_profiles: pd.DataFrame) -> Section:
    """A projection of all profiles, and the quality of the embedding."""
    figure = draw_projection(well_profiles, embedding_columns(well_profiles))
    html = render("embedding", quality=records(embedding_quality), figure=figure)
    return Section("The embedding", html, {"projection_figure": figure})
