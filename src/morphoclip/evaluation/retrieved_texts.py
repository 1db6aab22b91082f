"""The texts closest to the images of each held-out perturbation."""

import numpy as np
import pandas as pd

from morphoclip.columns import MODALITY, PROMPT, Subset
from morphoclip.evaluation.profiles import subset_embeddings
from morphoclip.evaluation.spaces import Spaces
from morphoclip.evaluation.treatments import top_matches
from morphoclip.metrics.ranking import expected_rank
from morphoclip.metrics.retrieval import consensus_profiles, similarity_to_texts
from morphoclip.perturbations.prompts import text_by_digest
from morphoclip.schemas.treatments import RETRIEVED_TEXTS


def retrieved_texts(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, prompts: pd.DataFrame, *, top_k: int
) -> pd.DataFrame:
    """The closest texts of each test perturbation, among the test texts of its modality."""
    test = subset_embeddings(profiles, prompt_embeddings, Subset.TEST)
    images = consensus_profiles(test.image, test.prompt_of_well, len(test.text))
    to_texts = similarity_to_texts(test.image, test.prompt_of_well, test.text)
    spaces = Spaces.of(profiles)
    texts = text_by_digest(prompts).loc[test.digests].to_numpy()
    tables = []
    for name in np.unique(test.modality):
        rows = np.flatnonzero(test.modality == name)
        similarity = to_texts[np.ix_(rows, rows)]
        rank_of_true = expected_rank(similarity, np.diag(similarity))
        found = top_matches(similarity, top_k)
        tables.append(
            pd.DataFrame(
                {
                    MODALITY: name,
                    PROMPT: texts[rows[found.query]],
                    "rank_of_true": rank_of_true[found.query],
                    "n_candidates": len(rows),
                    "rank": found.rank,
                    "retrieved": texts[rows[found.candidate]],
                    "similarity": similarity[found.query, found.candidate],
                    "similarity_sd": spaces.spread(
                        images[rows[found.query]], test.text[rows[found.candidate]]
                    ),
                    "is_true": found.query == found.candidate,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)[list(RETRIEVED_TEXTS.columns)]
