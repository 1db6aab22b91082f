"""One self-contained HTML page about a run."""

import base64
import io
from collections.abc import Mapping
from importlib.resources import files

import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from morphoclip.gallery.source import SourceConfig, place_without_path
from morphoclip.metrics.queries import verdict
from morphoclip.models.morphoclip import TrainedModel
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.report import excerpts
from morphoclip.report.figures import honest_strata
from morphoclip.report.published import PUBLISHED
from morphoclip.splits.config import GROUPED

_PAGE = files("morphoclip.report").joinpath("page.html")


def write_page(  # noqa: PLR0913 - one argument a thing the page shows
    *,
    source: SourceConfig,
    prompts: pd.DataFrame,
    model: TrainedModel,
    well_index: pd.DataFrame,
    set_aside_sites: pd.DataFrame,
    site_qc: pd.DataFrame,
    plate_intensities: pd.DataFrame,
    split_manifest: pd.DataFrame,
    split_summary: pd.DataFrame,
    leakage: pd.DataFrame,
    history: pd.DataFrame,
    retrieval: pd.DataFrame,
    permutation: pd.DataFrame,
    rankers: pd.DataFrame,
    matching: pd.DataFrame,
    benchmark: pd.DataFrame,
    retrieved_texts: pd.DataFrame,
    look_alikes: pd.DataFrame,
    target_genes: pd.DataFrame,
    quality: pd.DataFrame,
    figures: Mapping[str, Figure],
) -> str:
    """The page as HTML; figures are inside, nothing is fetched when it is opened."""
    targets = excerpts.held_out_targets(target_genes)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["share"] = lambda value: "" if value is None else f"{value:.3f}"
    environment.filters["track"] = readable_condition
    return environment.from_string(_PAGE.read_text()).render(
        source=source,
        where=place_without_path(source.root),
        words=prompts.attrs | {"example": excerpts.longest(prompts)},
        data=excerpts.data_counts(well_index, set_aside_sites),
        images=[
            own | {"map": own["map"] and _inline(own["map"], dpi=110)}
            for own in excerpts.images_by_plate(site_qc, plate_intensities, well_index)
        ],
        model=model,
        model_parameters=model.config.model_dump(mode="json"),
        split=excerpts.split_counts(split_summary),
        split_attributes=split_manifest.attrs,
        split_grouped=split_manifest.attrs["strategy"] in GROUPED,
        leakage=leakage.astype(object).where(leakage.notna(), "").to_dict("records"),
        n_epochs=len(history),
        headline=excerpts.headline(retrieval, permutation),
        retrieval=excerpts.retrieval_rows(retrieval),
        retrieval_first=excerpts.retrieval_rows(excerpts.headline_metrics(retrieval)),
        unshared=excerpts.unshared(leakage),
        permutation=permutation.to_dict("records"),
        verdict=verdict(rankers),
        rankers=excerpts.ranker_rows(rankers),
        answers=excerpts.answers(retrieved_texts),
        pairs=excerpts.records(excerpts.strongest_pairs(look_alikes)),
        targets=excerpts.target_counts(targets),
        target_examples=excerpts.target_examples(targets),
        matching=excerpts.matching_rows(matching),
        matching_first=excerpts.matching_rows(matching[matching["stratum"] == "test"]),
        benchmark=excerpts.records(benchmark),
        benchmark_first=excerpts.records(honest_strata(benchmark)),
        flags=excerpts.flags(benchmark),
        quality=excerpts.records(quality),
        published=PUBLISHED,
        figures={name: _inline(figure) for name, figure in figures.items()},
    )


def _inline(figure: Figure, dpi: int = 150) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()
