"""The wells, and the texts, most similar to vectors of the space."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import MODALITY, PROMPT, SUBSET
from morphoclip.evaluation.treatments import MECHANISMS
from morphoclip.metrics.significance import (
    FEWEST_CONTROLS,
    Levels,
    p_of_texts,
    p_of_wells,
    q_of_levels,
    q_values,
)
from morphoclip.schemas.treatments import SIMILAR_TEXTS, SIMILAR_WELLS
from morphoclip.search.index import TARGETS, SearchIndex
from morphoclip.search.question import Question, shared_with
from morphoclip.search.top_k import closest_of, similarities

QUESTIONS_AT_ONCE = 64
"""Questions of one product: 256 MB of similarities to a million wells."""


def similar_wells(index: SearchIndex, questions: Sequence[Question], *, top_k: int) -> pd.DataFrame:
    """The treated wells most similar to each question, all questions in one product.

    ``z`` is the similarity minus the mean of the control wells of the well's condition, in standard
    deviations of these; ``p`` the share of them that are as similar, ``q`` its false discovery rate
    over all treated wells.
    """
    tables = []
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        some = questions[start : start + QUESTIONS_AT_ONCE]
        products = similarities(np.stack([question.vector for question in some]), index.profiles)
        tables += [
            _closest_wells(index, question, similarity, top_k)
            for question, similarity in zip(some, products, strict=True)
        ]
    return pd.concat(tables, ignore_index=True)[list(SIMILAR_WELLS.columns)]


def _closest_wells(
    index: SearchIndex, question: Question, similarity: NDArray[np.float32], top_k: int
) -> pd.DataFrame:
    levels = []
    null = {
        code: similarity[np.setdiff1d(controls, question.rows)]  # a well is not its own null
        for code, controls in index.controls.items()
    }
    allowed = similarity.copy()
    allowed[~index.is_treated] = -np.inf
    allowed[question.rows] = -np.inf
    found = closest_of(allowed[None], top_k).rows[0]
    found = found[np.isfinite(allowed[found])]
    codes = index.condition_codes[found]
    p, z = np.full(len(found), np.nan), np.full(len(found), np.nan)
    for code, controls in null.items():
        if len(controls) < FEWEST_CONTROLS:
            continue
        of_condition = allowed[index.rows_of_condition[code]]
        levels.append(Levels.of(of_condition[np.isfinite(of_condition)], controls))
        own = codes == code
        p[own] = p_of_wells(similarity[found[own]], controls)
        if (spread := controls.std(ddof=1)) > 0:
            z[own] = (similarity[found[own]] - controls.mean()) / spread
    facts = index.facts_of(found)
    return index.labels_of(found).assign(
        query=question.label,
        query_condition=question.condition,
        rank=np.arange(1, len(found) + 1),
        similarity=similarity[found],
        z=z,
        p=p,
        q=q_of_levels(p, levels),
        shared_targets=shared_with(question.targets, facts[TARGETS]),
        shared_mechanisms=shared_with(question.mechanisms, facts[MECHANISMS]),
    )


def similar_texts(index: SearchIndex, questions: Sequence[Question], *, top_k: int) -> pd.DataFrame:
    """The texts closest to each question.

    Where a question is made of wells, ``p`` is the share of draws of as many control wells that are
    as similar to that text, ``q`` its false discovery rate over all texts.
    """
    asked = np.stack([question.vector for question in questions])
    products = similarities(asked, index.text_vectors)
    tables = []
    for question, similarity in zip(questions, products, strict=True):
        p = _p_of_texts(index, question, similarity)
        found = closest_of(similarity[None], top_k).rows[0]
        texts = index.texts.iloc[found].reindex(columns=[PROMPT, MODALITY, SUBSET])
        tables.append(
            texts.assign(
                query=question.label,
                query_condition=question.condition,
                rank=np.arange(1, len(found) + 1),
                similarity=similarity[found],
                p=p[found],
                q=q_values(p)[found],
            )
        )
    return pd.concat(tables, ignore_index=True)[list(SIMILAR_TEXTS.columns)]


def _p_of_texts(
    index: SearchIndex, question: Question, similarity: NDArray[np.float32]
) -> NDArray[np.float64]:
    if not len(question.rows):
        return np.full(len(similarity), np.nan)
    condition = int(index.condition_codes[question.rows[0]])
    rows = np.setdiff1d(index.controls[condition], question.rows)
    controls = index.profiles[rows]
    return p_of_texts(similarity, len(question.rows), controls, index.text_vectors)
