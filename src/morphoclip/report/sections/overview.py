"""Which data the report is about."""

import pandas as pd

from morphoclip.columns import MODALITY, N_SITES, PLATE
from morphoclip.fingerprint import Fingerprint
from morphoclip.gallery.source import IngestionConfig, SourceConfig, redact_path
from morphoclip.models.trained import TrainedModel
from morphoclip.report.rendering import Section, render


def overview_section(
    ingestion: IngestionConfig, well_index: pd.DataFrame, model: TrainedModel
) -> Section:
    """Plates, wells, and what made the features."""
    html = render(
        "overview",
        source=ingestion.source,
        place=place_of(ingestion.source),
        n_plates=well_index[PLATE].nunique(),
        plates_of_modality=well_index.groupby(MODALITY)[PLATE].nunique().to_dict(),
        n_wells=int((well_index[N_SITES] > 0).sum()),
        n_sites=int(well_index[N_SITES].sum()),
        image_model=described(model.image_fingerprint),
        text_model=described(model.text_fingerprint),
    )
    return Section("", html)


def place_of(source: SourceConfig) -> str:
    """Where the data are, as others may see it."""
    own = source.images or source.profiles
    return redact_path(own) if own else f"batch {source.batch} of {redact_path(source.root)}"


def described(fingerprint: Fingerprint) -> str:
    """A backbone by name, with the digest of its weights where a folder's name says too little."""
    weights = f" (weights {fingerprint['weights']})" if "weights" in fingerprint else ""
    return f"{fingerprint['model']}{weights}"
