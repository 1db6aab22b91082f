"""The texts closest to the images of each held-out perturbation."""

import numpy as np
import pandas as pd

from morphoclip.columns import MODALITY, PROMPT, Subset
from morphoclip.evaluation.profiles import subset_embeddings
from morphoclip.evaluation.spaces import Spaces
from morphoclip.evaluation.treatments import top_matches
from morphoclip.metrics.query_metrics import SIMILARITIES_AT_A_TIME
from morphoclip.metrics.ranking import expected_rank
from morphoclip.metrics.retrieval import consensus_profiles
from morphoclip.perturbations.prompts import text_by_digest
from morphoclip.schemas.treatments import RETRIEVED_TEXTS


def retrieved_texts(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, prompts: pd.DataFrame, *, top_k: int
) -> pd.DataFrame:
    """The closest texts of each test perturbation, among the test texts of its modality."""
    test = subset_embeddings(profiles, prompt_embeddings, Subset.TEST)
    images = consensus_profiles(test.image, test.prompt_of_well, len(test.text))
    spaces = Spaces.of(profiles)
    prompt = text_by_digest(prompts).loc[test.digests].to_numpy()
    tables = []
    for name in np.unique(test.modality):
        rows = np.flatnonzero(test.modality == name)
        texts = test.text[rows].astype(np.float64)
        at_a_time = max(1, SIMILARITIES_AT_A_TIME // len(rows))
        for start in range(0, len(rows), at_a_time):
            asked = np.arange(start, min(start + at_a_time, len(rows)))
            similarity = images[rows[asked]] @ texts.T
            own = similarity[np.arange(len(asked)), asked]
            rank_of_true = expected_rank(similarity, own)
            found = top_matches(similarity, top_k)
            query = asked[found.query]
            tables.append(
                pd.DataFrame(
                    {
                        MODALITY: name,
                        PROMPT: prompt[rows[query]],
                        "rank_of_true": rank_of_true[found.query],
                        "n_candidates": len(rows),
                        "rank": found.rank,
                        "retrieved": prompt[rows[found.candidate]],
                        "similarity": similarity[found.query, found.candidate],
                        "similarity_sd": spaces.spread(
                            images[rows[query]], test.text[rows[found.candidate]]
                        ),
                        "is_true": query == found.candidate,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)[list(RETRIEVED_TEXTS.columns)]
