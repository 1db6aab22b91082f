"""The treatments most similar to vectors of the space."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from morphoclip.columns import ENTITY
from morphoclip.evaluation.nearest_treatments import notes_on_cells, rows_together
from morphoclip.evaluation.treatments import (
    FEW_CELLS,
    GENES,
    MECHANISMS,
    Treatments,
    top_matches,
)
from morphoclip.schemas.treatments import SIMILAR_TREATMENTS
from morphoclip.search.question import Question, shared_with


def similar_treatments(
    conditions: Iterable[Mapping[str, Treatments]], questions: Sequence[Question], *, top_k: int
) -> pd.DataFrame:
    """The treatments of each condition that are most similar to each question.

    A question that is made of a condition's wells is compared on the same cells: with its own
    condition, where other IDs of the same entity are no answer, and with other modalities.

    Args:
        conditions: For each cell type its conditions by name.
        questions: What is asked.
        top_k: Results per question and condition.
    """
    tables = []
    for question in questions:
        for by_name in conditions:
            own = by_name.get(question.condition)
            if question.condition and own is None:
                continue
            for name, candidates in by_name.items():
                if own is None or name == question.condition or candidates.modality != own.modality:
                    others = candidates.without_controls(question.rows)
                    tables.append(_answers(question, name, others, top_k))
    return rows_together(tables, list(SIMILAR_TREATMENTS.columns))


def _answers(
    question: Question, condition: str, candidates: Treatments, top_k: int
) -> pd.DataFrame:
    vector = np.asarray(question.vector, dtype=np.float64)[None]
    similarity, z = candidates.compared_with(vector)
    if condition == question.condition:
        itself = candidates.facts[ENTITY].isin(question.entities).to_numpy()
        similarity = np.where(itself, -np.inf, similarity)
    p, q = candidates.significance(vector, similarity)
    found = top_matches(similarity, top_k)
    facts = candidates.facts.iloc[found.candidate].reset_index(drop=True)
    few_cells = pd.Series(question.few_cells, index=facts.index)
    return facts.assign(
        query=question.label,
        query_condition=question.condition,
        rank=found.rank,
        similarity=similarity[0, found.candidate],
        similarity_sd=candidates.spaces.spread(
            np.repeat(vector, len(facts), axis=0), candidates.means[found.candidate]
        ),
        z=z[0, found.candidate],
        z_expected_null=found.z_expected_null,
        p=p[0, found.candidate],
        q=q[0, found.candidate],
        shared_targets=shared_with(question.targets, facts[GENES]),
        shared_mechanisms=shared_with(question.mechanisms, facts[MECHANISMS]),
        note=notes_on_cells(facts[FEW_CELLS], few_cells),
    )
