"""Retrieval of all wells and texts, both directions: sorting everything, and ours."""

import numpy as np
from sklearn.preprocessing import normalize

from benchmarks.harness import Timing, Way, interleave
from morphoclip.metrics.retrieval import Block, Matrix, query_metrics


def literal_ranks(similarity: Matrix, relevant: Matrix) -> np.ndarray:
    """The rank of the first truth, by sorting all candidates of every query."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1).argmax(axis=1) + 1


def retrieval(n_wells: int, n_texts: int, *, rounds: int) -> list[Timing]:
    """Ranks by sorting; ours gives recall, reciprocal ranks and AP@k with exact ties besides."""
    rng = np.random.default_rng(0)
    image = normalize(rng.standard_normal((n_wells, 512)))
    text = normalize(rng.standard_normal((n_texts, 512)))
    similarity = image @ text.T
    relevant = (np.arange(n_wells) % n_texts)[:, None] == np.arange(n_texts)[None, :]
    directions = [(similarity, relevant), (similarity.T.copy(), relevant.T.copy())]
    for one, true in directions:
        if not np.array_equal(literal_ranks(one, true), query_metrics(Block(one, true))["rank"]):
            raise AssertionError("ranks differ")
    return interleave(
        [
            Way("sort all candidates", lambda: [literal_ranks(*each) for each in directions]),
            Way(
                "ours, with AP@k and ties",
                lambda: [query_metrics(Block(*each)) for each in directions],
            ),
            Way("limit: the product alone", lambda: image @ text.T),
        ],
        rounds=rounds,
    )
