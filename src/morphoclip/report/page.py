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
from morphoclip.report.plate_maps import draw_plate_maps
from morphoclip.report.published import PUBLISHED
from morphoclip.schemas import (
    CHANNEL,
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT,
    REASON,
    SITE,
    SUBSET,
    WELL,
    Subset,
)
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
    quality: pd.DataFrame,
    figures: Mapping[str, Figure],
) -> str:
    """The page as HTML; figures are inside, nothing is fetched when it is opened."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["share"] = lambda value: f"{value:.3f}"
    return environment.from_string(_PAGE.read_text()).render(
        source=source,
        where=place_without_path(source.root),
        words=prompts.attrs | {"example": _longest(prompts)},
        data=_data_counts(well_index, set_aside_sites),
        images=_images_by_plate(site_qc, plate_intensities, well_index),
        model=model,
        model_parameters=model.config.model_dump(mode="json"),
        split=_split_counts(split_summary),
        split_attributes=split_manifest.attrs,
        split_grouped=split_manifest.attrs["strategy"] in GROUPED,
        leakage=leakage.astype(object).where(leakage.notna(), "").to_dict("records"),
        n_epochs=len(history),
        headline=_headline(retrieval, permutation),
        retrieval=_retrieval_rows(retrieval),
        retrieval_first=_retrieval_rows(headline_metrics(retrieval)),
        unshared=_unshared(leakage),
        permutation=permutation.to_dict("records"),
        verdict=verdict(rankers),
        rankers=_ranker_rows(rankers),
        matching=matching.astype(object).where(matching.notna(), None).to_dict("records"),
        benchmark=benchmark.astype(object).where(benchmark.notna(), None).to_dict("records"),
        quality=quality.astype(object).where(quality.notna(), None).to_dict("records"),
        published=PUBLISHED,
        figures={name: _inline(figure) for name, figure in figures.items()},
    )


def _unshared(leakage: pd.DataFrame) -> list[str]:
    """Kinds of things that no two subsets have in common."""
    shared = leakage.groupby("what", sort=False)["shared"].sum()
    return [str(what) for what in shared.index[shared == 0]]


def _ranker_rows(rankers: pd.DataFrame) -> list[dict[str, object]]:
    """MRR and recall@1 within modality, best first."""
    within = rankers[rankers["scope"] == "within_modality"]
    first = within[within["metric"] == "mrr"].set_index("ranker")
    recall = within[within["metric"] == "recall@1"].set_index("ranker")["value"]
    rows = first.sort_values("value", ascending=False).assign(recall=recall).reset_index()
    return rows.to_dict("records")


def _longest(prompts: pd.DataFrame) -> str:
    """The prompt that says most."""
    return str(prompts.loc[prompts[PROMPT].str.len().idxmax(), PROMPT])


def headline_metrics(retrieval: pd.DataFrame, subset: Subset = Subset.TEST) -> pd.DataFrame:
    """Perturbation-level image-to-text rows of a subset: the numbers to look at first."""
    return retrieval[
        (retrieval["subset"] == subset)
        & (retrieval["level"] == "perturbation")
        & (retrieval["direction"] == "image_to_text")
    ]


def _data_counts(wells: pd.DataFrame, set_aside: pd.DataFrame) -> dict[str, object]:
    own = set_aside[set_aside[PLATE].isin(wells[PLATE])].drop_duplicates([PLATE, WELL, SITE])
    reasons = own[REASON].value_counts()
    return {
        "plates": wells[PLATE].nunique(),
        "wells": int((wells[N_SITES] > 0).sum()),
        "sites": int(wells[N_SITES].sum()),
        "modalities": wells.groupby(MODALITY)[PLATE].nunique().to_dict(),
        "set_aside": {str(reason): int(n) for reason, n in reasons.items()},
        "without_conditions": bool(wells["Metadata_condition"].isna().all()),
    }


def _images_by_plate(
    site_qc: pd.DataFrame, intensities: pd.DataFrame, wells: pd.DataFrame
) -> list[dict[str, object]]:
    """What each plate's images are like; nothing where profiles stand in their place."""
    plates = []
    for plate, qc in site_qc[site_qc[PLATE].isin(wells[PLATE])].groupby(PLATE):
        levels = intensities[intensities[PLATE] == plate]
        used = (levels["p99_9"] - levels["p0_1"]) / levels["dtype_max"]
        near_empty = qc[qc["near_empty"].eq(other=True)].drop_duplicates([WELL, SITE])
        plates.append(
            {
                "plate": plate,
                "used_range": dict(zip(levels[CHANNEL], used, strict=True)),
                "near_empty": len(near_empty),
                "map": _inline(draw_plate_maps(qc, list(levels[CHANNEL])), dpi=110)
                if qc["mean"].notna().any()
                else None,
            }
        )
    return plates


def _split_counts(summary: pd.DataFrame) -> list[dict[str, object]]:
    """Subsets and modalities; excluded wells by role, too."""
    kept = summary[summary[SUBSET] != Subset.EXCLUDED]
    counts = ["wells", "perturbations", "entities"]
    rows = kept.groupby([SUBSET, MODALITY], sort=False)[counts].sum().reset_index()
    return rows.to_dict("records")


def _headline(retrieval: pd.DataFrame, permutation: pd.DataFrame) -> dict[str, object]:
    rows = headline_metrics(retrieval)
    rows = rows[rows["scope"] == "within_modality"].set_index("metric")
    test = permutation[permutation["subset"] == Subset.TEST].iloc[0]
    mrr = rows.loc["mrr"]
    return {
        "mrr": mrr["value"],
        "chance": mrr["chance"],
        "ci_low": mrr["ci_low"],
        "ci_high": mrr["ci_high"],
        "times": mrr["value"] / mrr["chance"],
        "recall_at_1": rows.loc["recall@1", "value"],
        "recall_at_1_chance": rows.loc["recall@1", "chance"],
        "n_queries": int(mrr["n_queries"]),
        "p_value": test["p_value"],
        "null_size": int(test["null_size"]),
    }


def _retrieval_rows(retrieval: pd.DataFrame) -> list[dict[str, object]]:
    """One row a subset, scope, level and direction; a (value, chance) pair a metric."""
    keys = ["subset", "level", "direction", "scope", "n_queries", "n_candidates"]
    rows = []
    for key, group in retrieval.groupby(keys, sort=False):
        numbers = group.set_index("metric")[["value", "chance", "modality_oracle"]]
        metrics = numbers.to_dict("index")
        rows.append(dict(zip(keys, key, strict=True)) | {"metrics": metrics})
    return rows


def _inline(figure: Figure, dpi: int = 150) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()
