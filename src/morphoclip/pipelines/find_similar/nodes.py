"""Node of a user's question to a trained model."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from morphoclip.columns import PROMPT, PROMPT_DIGEST
from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.loaders import Loaders, OnDemand
from morphoclip.perturbations.prompts import text_by_digest
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.search.answers import (
    Answers,
    answers_to,
    texts_as_text,
    treatments_as_text,
    wells_as_text,
)
from morphoclip.search.index import SearchIndex, require_profiles_of
from morphoclip.search.question import Question
from morphoclip.search.questions import Kind, questions_of

logger = logging.getLogger(__name__)


class FindSimilarConfig(Config):
    """``params:find_similar``."""

    text: str | None = Field(None, min_length=1, description="Phrased like the prompts.")
    treatment: str | None = Field(
        None, min_length=1, description="A broad_sample, a compound or a gene."
    )
    well: str | None = Field(None, min_length=1, description="Plate and well, BR00117010 A01.")
    site: str | None = Field(
        None, min_length=1, description="Plate, well and number, BR00117010 A01 3."
    )
    structure: str | None = Field(None, min_length=1, description="A SMILES.")
    top_k: int = Field(5, ge=1, le=100_000, description="Results per condition.")

    @property
    def asked(self) -> dict[Kind, str]:
        """What is asked, by its kind."""
        given: dict[Kind, str | None] = {
            "text": self.text,
            "treatment": self.treatment,
            "well": self.well,
            "structure": self.structure,
        }
        return {kind: text for kind, text in given.items() if text is not None}


def find_similar(  # noqa: PLR0913 - one argument per catalog entry
    model_record: Mapping[str, Any],
    model: OnDemand,
    well_profiles: pd.DataFrame,
    prompt_embeddings: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    text_features: OnDemand,
    plate_features: Loaders[Any],
    well_index: pd.DataFrame,
    config: FindSimilarConfig,
    encoding: TextFeaturesConfig,
) -> Answers:
    """The treatments, wells and texts most similar to a text, treatment, well, site or structure.

    Raises:
        InputError: Nothing was asked, nothing has the name, the profiles are of another model, or
            words would be encoded differently from those of the training.
    """
    require_profiles_of(model_record, well_profiles)
    if not config.asked and config.site is None:
        raise InputError(
            "there is no question: give --params find_similar.treatment:HDAC1, or "
            '--params "find_similar.text:Target: HDAC1. Function: HDAC inhibitor."'
        )
    words = text_by_digest(prompts).reindex(prompt_embeddings[PROMPT_DIGEST])
    texts = prompt_embeddings.assign(**{PROMPT: words.to_numpy()})
    index = SearchIndex.of_profiles(well_profiles, perturbations, texts)

    def embedded(text: str) -> NDArray[np.float32]:
        return _vector_of(text, model_record, model, prompts, text_features, encoding)

    questions = [
        question
        for kind, text in config.asked.items()
        for question in questions_of(text, index, embedded, kind)
    ]
    if config.site is not None:
        from morphoclip.search.site import question_of_site

        trained = _the_model_of(model_record, model)
        questions.append(question_of_site(config.site, index, trained, plate_features, well_index))
    answers = answers_to(index, questions, top_k=config.top_k)
    if answers.treatments["z"].isna().all():
        logger.info(
            "there is no z: it takes eight negative controls of a condition to compare with"
        )
    for question in questions:
        _log(question, answers)
    return answers


def _log(question: Question, answers: Answers) -> None:
    where = f" ({readable_condition(question.condition)})" if question.condition else ""
    treatments, wells, texts = (
        table[(table["query"] == question.label) & (table["query_condition"] == question.condition)]
        for table in answers
    )
    logger.info("most similar to %s%s:\n%s", question.label, where, treatments_as_text(treatments))
    logger.info("wells:\n%s", wells_as_text(wells))
    if question.condition:
        logger.info("texts:\n%s", texts_as_text(texts))


def _vector_of(
    text: str,
    model_record: Mapping[str, Any],
    model: OnDemand,
    prompts: pd.DataFrame,
    text_features: OnDemand,
    config: TextFeaturesConfig,
) -> NDArray[np.float32]:
    """The text in the model's space, ``(E,)``; logs which prompt it is closest to.

    Raises:
        InputError: The model is not that of the record, or was trained on other text features.
    """
    from morphoclip.backbones.text import load_text_backbone, warn_of_ngrams
    from morphoclip.device import resolve_device
    from morphoclip.models.embedding import embed_text
    from morphoclip.search.closest_prompt import closest_prompt

    trained = _the_model_of(model_record, model)
    backbone = load_text_backbone(config.backbone, device=resolve_device(config.device))
    trained.require_words(backbone.identity)
    warn_of_ngrams(backbone)
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
    return embed_text(trained, features)[0]


def _the_model_of(model_record: Mapping[str, Any], model: OnDemand) -> Any:
    trained = model()
    if trained.digest != model_record["digest"]:
        raise InputError(
            "model and model_record are of different trainings: load versions that belong together "
            "(model_on_demand, model_record and well_profiles), or train again"
        )
    return trained
