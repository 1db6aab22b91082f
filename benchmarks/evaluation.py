"""Retrieval of all wells and texts, both directions: sorting everything, and ours."""

import numpy as np
from sklearn.preprocessing import normalize

from benchmarks.harness import Timing, Way, interleave
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.query_metrics import Block, query_metrics


def literal_ranks(similarity: Matrix, relevant: Matrix) -> np.ndarray:
    """The rank of the first truth, by sorting all candidates of every query."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1).argmax(axis=1) + 1


def retrieval(n_wells: int, n_texts: int, *, rounds: int) -> list[Timing]:
    """Ranks by sorting; ours gives recall, reciprocal ranks and AP@k with exact ties besides.

    The first rows are what a user waits for; the last two leave the product out.
    """
    rng = np.random.default_rng(0)
    image = normalize(rng.standard_normal((n_wells, 512)))
    text = normalize(rng.standard_normal((n_texts, 512)))
    relevant = (np.arange(n_wells) % n_texts)[:, None] == np.arange(n_texts)[None, :]

    def literal() -> list[np.ndarray]:
        products = (image @ text.T, text @ image.T)
        return [literal_ranks(*each) for each in zip(products, (relevant, relevant.T), strict=True)]

    def ours() -> list[np.ndarray]:
        similarity = image @ text.T
        blocks = (Block(similarity, relevant), Block(similarity.T, relevant.T))
        return [query_metrics(block)["rank"].to_numpy() for block in blocks]

    for one, other in zip(literal(), ours(), strict=True):
        if not np.array_equal(one, other):
            raise AssertionError("ranks differ")
    similarity = image @ text.T
    directions = [(similarity, relevant), (similarity.T.copy(), relevant.T.copy())]
    whole = interleave(
        [
            Way("a product a direction, sorted", literal),
            Way("ours: one product; AP@k and ties, too", ours),
            Way("limit: the product alone", lambda: image @ text.T),
        ],
        rounds=rounds,
    )
    ranking = interleave(
        [
            Way("sorting alone", lambda: [literal_ranks(*each) for each in directions]),
            Way("ours alone", lambda: [query_metrics(Block(*each)) for each in directions]),
        ],
        rounds=rounds,
    )
    return whole + ranking
