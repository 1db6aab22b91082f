"""Node of a user's question to a trained model."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from morphoclip.columns import CONDITION, GENE, SUBSET
from morphoclip.errors import InputError
from morphoclip.evaluation.find_similar import (
    FindSimilarConfig,
    require_profiles_of,
    similar_to_treatment,
    similar_to_vector,
)
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.metrics.matrix import Matrix
from morphoclip.perturbations.well_index import readable_condition

logger = logging.getLogger(__name__)

OnDemand = Callable[[], Any]
"""Reads a file when it is called: only a text needs the model and torch."""


def find_similar(  # noqa: PLR0913 - one argument per catalog entry
    model_record: Mapping[str, Any],
    model: OnDemand,
    well_profiles: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    text_features: OnDemand,
    config: FindSimilarConfig,
    encoding: TextFeaturesConfig,
) -> pd.DataFrame:
    """The treatments of each condition most similar to a text, or to a treatment.

    Raises:
        InputError: Nothing was asked, no treatment has the name, the profiles are of another model,
            or the text would be encoded differently from those of the training.
    """
    require_profiles_of(model_record, well_profiles)
    tables = []
    if config.text is not None:
        vector = _vector_of(config.text, model_record, model, prompts, text_features, encoding)
        tables.append(
            similar_to_vector(
                vector,
                well_profiles,
                perturbations,
                top_k=config.top_k,
                query=f"text: {config.text}",
            )
        )
    if config.treatment is not None:
        tables.append(
            similar_to_treatment(config.treatment, well_profiles, perturbations, top_k=config.top_k)
        )
    if not tables:
        raise InputError(
            "there is no question: give --params find_similar.treatment:HDAC1, or "
            '--params "find_similar.text:Target: HDAC1. Function: HDAC inhibitor."'
        )
    results = pd.concat(tables, ignore_index=True)
    if results["z"].isna().all():
        logger.info(
            "there is no z: it takes eight negative controls of a condition to compare with"
        )
    for (query, condition), rows in results.groupby(["query", "query_condition"], sort=False):
        where = f" ({readable_condition(condition)})" if condition else ""
        logger.info("most similar to %s%s:\n%s", query, where, _as_text(rows))
    return results


def _vector_of(
    text: str,
    model_record: Mapping[str, Any],
    model: OnDemand,
    prompts: pd.DataFrame,
    text_features: OnDemand,
    config: TextFeaturesConfig,
) -> Matrix:
    """The text in the model's space, ``(E,)``; logs which prompt it is closest to.

    Raises:
        InputError: The model is not that of the record, or was trained on other text features.
    """
    from morphoclip.backbones.text import HashedNgrams, load_text_backbone
    from morphoclip.device import resolve_device
    from morphoclip.evaluation.text_query import closest_prompt
    from morphoclip.models.embedding import embed_text

    trained = model()
    if trained.digest != model_record["digest"]:
        raise InputError(
            "model and model_record are of different trainings: load versions that belong together "
            "(model_on_demand, model_record and well_profiles), or train again"
        )
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    trained.require_words(backbone.identity)
    if isinstance(backbone, HashedNgrams):
        logger.warning(
            "the text backbone is n-grams, which compare spelling, not meaning: words of your own "
            "need a language model (text_features.backbone.kind transformer)"
        )
    if backbone.n_cut([text]):
        logger.warning("the text is cut at %d tokens", config.backbone.max_length)
    features = backbone.encode([text])
    closest = closest_prompt(features, text_features(), prompts)
    logger.info(
        'the closest prompt of the training, at a cosine of %.2f: "%s"; results for a text far '
        "from all prompts mean little",
        closest.cosine,
        closest.prompt,
    )
    return embed_text(trained, features)[0].astype(np.float64)


def _as_text(results: pd.DataFrame) -> str:
    """A block of lines per condition, within 80 columns.

    ``sd`` is `similarity_sd`, ``null`` is `z_expected_null`.
    """
    lines = [f"    {'name':<20}{'gene':<10}{'subset':<11}{'cosine':>6}{'sd':>5}{'z':>6}{'null':>6}"]
    for condition, rows in results.groupby(CONDITION, sort=False):
        lines.append("  " + readable_condition(str(condition)))
        for row in rows.to_dict("records"):
            gene = row[GENE] if isinstance(row[GENE], str) and row[GENE] != row["name"] else ""
            subset = row[SUBSET] if isinstance(row[SUBSET], str) else "several"
            z = "" if math.isnan(row["z"]) else f"{row['z']:6.1f}{row['z_expected_null']:6.1f}"
            name = f"{row['name'][:19]:<20}{gene[:9]:<10}{subset:<11}"
            note = f"  {row['note']}" if isinstance(row["note"], str) else ""
            spread = "" if math.isnan(row["similarity_sd"]) else f"{row['similarity_sd']:.2f}"
            lines.append(f"    {name}{row['similarity']:6.2f}{spread:>5}{z}{note}")
    return "\n".join(lines)
