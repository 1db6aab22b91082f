"""Text nodes: perturbations to prompts, prompts to features."""

import logging
from typing import Any

import pandas as pd

from morphoclip.backbones.text import load_text_backbone
from morphoclip.columns import PROMPT
from morphoclip.device import resolve_device
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.features.text_features import TextFeatures, cache_key, encode_prompts
from morphoclip.loaders import Loaders
from morphoclip.perturbations.prompts import prompt_summary, prompt_table
from morphoclip.perturbations.wording import PromptTemplates

logger = logging.getLogger(__name__)


def write_prompts(
    perturbations: pd.DataFrame,
    well_index: pd.DataFrame,
    config: TextFeaturesConfig,
    templates: PromptTemplates,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A prompt for every perturbation, at the level and in the context of the parameters."""
    prompts = prompt_table(perturbations, well_index, config.level, templates, config.context)
    summary = prompt_summary(perturbations, config.level, config.context)
    logger.info(
        "%d perturbations, %d distinct prompts at level %s; %d of %d treatments have no function",
        len(perturbations),
        prompts[PROMPT].nunique(),
        config.level,
        summary["n_without_function"],
        summary["n_treatments"],
    )
    return prompts, summary


def encode_texts(
    prompts: pd.DataFrame,
    perturbations: pd.DataFrame,
    existing_cache: Loaders[TextFeatures],
    config: TextFeaturesConfig,
) -> tuple[TextFeatures, dict[str, TextFeatures]]:
    """Features of every distinct prompt, and known facts about what it describes.

    What was encoded before is not encoded again.

    Raises:
        InputError: Structures are asked for and rdkit is not installed.
    """
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    key = cache_key(backbone)
    cached = existing_cache[key]() if key in existing_cache else None
    encoded = encode_prompts(list(prompts[PROMPT]), backbone, cached)
    logger.info(
        "%d prompts of %d numbers each: %d encoded anew; %d cut at %d tokens",
        *encoded.features.features.shape,
        encoded.n_encoded,
        backbone.n_cut(sorted(set(prompts[PROMPT]))),
        config.backbone.max_length,
    )
    features = encoded.features.with_facts(perturbations, prompts, config.facts)
    if features.facts is not None:
        known = features.facts.any(dim=1)
        logger.info(
            "known facts of %d of %d prompts: %s",
            int(known.sum()),
            len(known),
            ", ".join(f"{len(names)} of {source}" for source, names in features.fact_names.items()),
        )
    return features, {key: encoded.cache} if encoded.n_encoded else {}
