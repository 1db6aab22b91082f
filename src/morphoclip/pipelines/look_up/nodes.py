"""Look-up node: a user's question to a trained model."""

import logging
import math

import pandas as pd
import torch
from torch.nn.functional import cosine_similarity

from morphoclip.backbones.text import load_text_backbone
from morphoclip.errors import InputError
from morphoclip.features.extract import resolve_device
from morphoclip.features.text_features import TextFeatures, TextFeaturesConfig
from morphoclip.metrics.look_up import LookUpConfig, nearest_to_treatment, nearest_to_words
from morphoclip.metrics.retrieval import Matrix
from morphoclip.models.morphoclip import TrainedModel
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.schemas import CONDITION, GENE, PROMPT, PROMPT_DIGEST, SUBSET

logger = logging.getLogger(__name__)


def look_up(  # noqa: PLR0913 - one argument a catalog entry
    model: TrainedModel,
    profiles: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    text_features: TextFeatures,
    config: LookUpConfig,
    encoding: TextFeaturesConfig,
) -> pd.DataFrame:
    """The treatments of each condition most like some words, or like a treatment.

    Raises:
        InputError: Nothing was asked, nothing is called so, the profiles are of another model, or
            words would be encoded otherwise than those the model was trained on.
    """
    model.require_own_profiles(profiles)
    tables = []
    if config.words is not None:
        embedding = _embedding_of(config.words, model, prompts, text_features, encoding)
        tables.append(
            nearest_to_words(config.words, embedding, profiles, perturbations, config.places)
        )
    if config.treatment is not None:
        tables.append(
            nearest_to_treatment(config.treatment, profiles, perturbations, config.places)
        )
    if not tables:
        raise InputError(
            "nothing to look up: give --params look_up.treatment:HDAC1, or "
            '--params "look_up.words:Target: HDAC1. Function: HDAC inhibitor."'
        )
    answers = pd.concat(tables, ignore_index=True)
    for (query, condition), own in answers.groupby(["query", "query_condition"], sort=False):
        seen_in = f" in {readable_condition(condition)}" if condition else ""
        logger.info("%s%s: most like it\n%s", query, seen_in, _as_text(own))
    return answers


def _embedding_of(
    words: str,
    model: TrainedModel,
    prompts: pd.DataFrame,
    known: TextFeatures,
    config: TextFeaturesConfig,
) -> Matrix:
    """The words in the model's space, ``(E,)``; says which known prompt they are closest to."""
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    model.require_text_features(backbone.identity)
    if backbone.n_cut([words]):
        logger.warning("the words are cut at %d tokens", config.backbone.max_length)
    features = backbone.encode([words])
    cosines = cosine_similarity(features, known.features)
    closest = int(cosines.argmax())
    said = prompts.set_index(PROMPT_DIGEST)[PROMPT]
    prompt = said[said.index == known.digests[closest]].iloc[0]
    logger.info(
        'the known prompt closest to these words, at a cosine of %.2f: "%s"; far from all prompts, '
        "answers mean little",
        cosines[closest],
        prompt,
    )
    with torch.inference_mode():
        return model.build().encode_text(features)[0].double().numpy()


def _as_text(answers: pd.DataFrame) -> str:
    """A block of lines a condition, within 80 columns."""
    lines = []
    for condition, own in answers.groupby(CONDITION, sort=False):
        lines.append("  " + readable_condition(str(condition)))
        for row in own.to_dict("records"):
            gene = row[GENE] if isinstance(row[GENE], str) and row[GENE] != row["name"] else ""
            subset = row[SUBSET] if isinstance(row[SUBSET], str) else "several"
            z = "" if math.isnan(row["z"]) else f"  z {row['z']:4.1f} (luck {row['z_by_luck']:.1f})"
            known = f"{row['name'][:19]:<20}{gene[:9]:<10}{subset:<11}"
            lines.append(f"    {known}{row['similarity']:5.2f}{z}")
    return "\n".join(lines)
