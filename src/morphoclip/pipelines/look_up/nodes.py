"""Look-up node: a user's question to a trained model."""

import logging
from collections.abc import Iterator

import pandas as pd
import torch
from sklearn.preprocessing import normalize

from morphoclip.backbones.text import load_text_backbone
from morphoclip.errors import InputError
from morphoclip.features.extract import resolve_device
from morphoclip.features.text_features import TextFeaturesConfig
from morphoclip.metrics.answers import LookUpConfig, nearest_treatments, wells_called
from morphoclip.metrics.retrieval import Matrix
from morphoclip.metrics.scores import embedding_columns
from morphoclip.models.morphoclip import TrainedModel
from morphoclip.schemas import CONDITION, GENE, LOOKED_UP, MODALITY, SUBSET

logger = logging.getLogger(__name__)


def look_up(
    model: TrainedModel,
    profiles: pd.DataFrame,
    perturbations: pd.DataFrame,
    config: LookUpConfig,
    text_features: TextFeaturesConfig,
) -> pd.DataFrame:
    """The treatments of each condition most like some words, or like a treatment.

    Raises:
        InputError: Nothing was asked, nothing is called so, or words would be encoded otherwise
            than those the model was trained on.
    """
    tables = []
    if config.words is not None:
        query = _embedding_of(config.words, model, text_features)
        found = nearest_treatments(query, profiles, perturbations, places=config.places)
        tables.append(found.assign(query=config.words))
    if config.treatment is not None:
        for name, query, others in _treatments_called(config.treatment, profiles, perturbations):
            found = nearest_treatments(query, others, perturbations, places=config.places)
            tables.append(found.assign(query=name))
    if not tables:
        raise InputError(
            "nothing to look up: give --params look_up.treatment:HDAC1, or "
            '--params "look_up.words:Target: HDAC1. Function: HDAC inhibitor."'
        )
    answers = pd.concat(tables, ignore_index=True)[list(LOOKED_UP.columns)]
    for query, own in answers.groupby("query", sort=False):
        logger.info("most like %s\n%s", query, _as_text(own))
    return answers


def _embedding_of(words: str, model: TrainedModel, config: TextFeaturesConfig) -> Matrix:
    """The words in the model's space, ``(E,)``."""
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    model.require_text_features(backbone.identity)
    with torch.inference_mode():
        return model.build().encode_text(backbone.encode([words]))[0].double().numpy()


def _treatments_called(
    name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame
) -> Iterator[tuple[str, Matrix, pd.DataFrame]]:
    """Its name, its profile ``(E,)`` and the other wells, for each modality that has it."""
    called = wells_called(name, profiles, perturbations)
    columns = embedding_columns(profiles)
    for modality, own in profiles[called].groupby(MODALITY):
        wells = normalize(own[columns].to_numpy(dtype="float64"))
        query = normalize(wells.mean(axis=0, keepdims=True))[0]
        is_other = ~called | profiles[MODALITY].ne(modality)
        yield f"{modality} {name}", query, profiles[is_other]


def _as_text(answers: pd.DataFrame) -> str:
    """A block of lines a condition, within 80 columns."""
    lines = []
    for condition, own in answers.groupby(CONDITION, sort=False):
        lines.append("  " + condition.replace("|", " "))
        for row in own.to_dict("records"):
            gene = row[GENE] if isinstance(row[GENE], str) and row[GENE] != row["name"] else ""
            known = f"{row['name'][:24]:<25}{gene[:10]:<11}{row[SUBSET] or 'several':<11}"
            lines.append(f"    {known}{row['similarity']:6.2f}  z {row['z']:5.1f}")
    return "\n".join(lines)
