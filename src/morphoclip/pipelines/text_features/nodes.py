"""Text nodes: perturbations to prompts, prompts to features."""

import logging
from collections.abc import Callable, Mapping

import pandas as pd

from morphoclip.backbones.text import load_text_backbone
from morphoclip.features.extract import resolve_device
from morphoclip.features.text_features import (
    TextFeatures,
    TextFeaturesConfig,
    encode_prompts,
    store_key,
)
from morphoclip.perturbations.prompts import PromptTemplates, prompt_table
from morphoclip.schemas import PROMPT

logger = logging.getLogger(__name__)


def write_prompts(
    perturbations: pd.DataFrame,
    well_index: pd.DataFrame,
    config: TextFeaturesConfig,
    templates: PromptTemplates,
) -> pd.DataFrame:
    """Words for every perturbation, at the level and in the context that the parameters name."""
    prompts = prompt_table(perturbations, well_index, config.level, templates, config.context)
    logger.info(
        "%d perturbations, %d distinct prompts at level %s; %d of %d treatments have no function",
        len(perturbations),
        prompts[PROMPT].nunique(),
        config.level,
        prompts.attrs["n_without_function"],
        prompts.attrs["n_treatments"],
    )
    return prompts


def encode_texts(
    prompts: pd.DataFrame,
    known_features: Mapping[str, Callable[[], TextFeatures]],
    config: TextFeaturesConfig,
) -> tuple[TextFeatures, dict[str, TextFeatures]]:
    """Features of every distinct prompt; what was encoded before is not encoded again."""
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    key = store_key(backbone)
    known = known_features[key]() if key in known_features else None
    encoded = encode_prompts(list(prompts[PROMPT]), backbone, known)
    logger.info(
        "%d prompts of %d numbers each: %d encoded anew; %d cut at %d tokens",
        *encoded.features.features.shape,
        encoded.n_encoded,
        backbone.n_cut(sorted(set(prompts[PROMPT]))),
        config.backbone.max_length,
    )
    return encoded.features, {key: encoded.known} if encoded.n_encoded else {}
