"""Text nodes: perturbations to prompts, prompts to features."""

import logging

import pandas as pd

from morphoclip.backbones.text import load_text_backbone
from morphoclip.features.extract import resolve_device
from morphoclip.features.text_features import TextFeatures, TextFeaturesConfig, encode_prompts
from morphoclip.perturbations.prompts import prompt_table
from morphoclip.schemas import PROMPT

logger = logging.getLogger(__name__)


def write_prompts(perturbations: pd.DataFrame, config: TextFeaturesConfig) -> pd.DataFrame:
    """Words for every perturbation, at the level that the parameters name."""
    prompts = prompt_table(perturbations, config.level)
    logger.info(
        "%d perturbations, %d distinct prompts at level %s",
        len(prompts),
        prompts[PROMPT].nunique(),
        config.level,
    )
    return prompts


def encode_texts(prompts: pd.DataFrame, config: TextFeaturesConfig) -> TextFeatures:
    """Features of every distinct prompt."""
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    features, n_truncated = encode_prompts(list(prompts[PROMPT]), backbone)
    logger.info(
        "%d prompts encoded to %d numbers each, %d cut at %d tokens",
        *features.features.shape,
        n_truncated,
        config.backbone.max_length,
    )
    return features
