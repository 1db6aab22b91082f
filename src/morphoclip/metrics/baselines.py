"""What simple ways reach on the same perturbations: a trained model has to beat them.

All of them see one row of image features a perturbation (the mean of its sites, normalised by its
plates' negative controls) and the text features of its words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from morphoclip.metrics.retrieval import Matrix

_PERMUTATIONS = 10


@dataclass(frozen=True)
class PerturbationSet:
    """Perturbations of one subset, one row each.

    Attributes:
        digests: Digest of each one's prompt, ``(P,)``.
        modality: ``(P,)``.
        image: Image features, ``(P, F)``.
        text: Text features of the prompts, ``(P, D_text)``.
        ngrams: Hashed n-grams of the prompts, ``(P, D_ngrams)``.
        genes: Target genes of each: its own, or a compound's listed targets.
        mechanisms: Mechanisms of action of each; empty where none is known.
    """

    digests: NDArray[np.str_]
    modality: NDArray[np.str_]
    image: Matrix
    text: Matrix
    ngrams: Matrix
    genes: Sequence[frozenset[str]]
    mechanisms: Sequence[frozenset[str]]


def baseline_similarities(
    train: PerturbationSet, held_out: PerturbationSet, *, seed: int
) -> dict[str, list[Matrix]]:
    """Name of a baseline -> similarity ``(P, P)`` of held-out perturbations to their words.

    Several matrices are several draws, to be averaged after ranking.

    - ``ridge`` and ``kernel_ridge`` (RBF, width by the median distance) predict text features from
      image features;
    - ``kernel_ridge_ngrams`` predicts n-grams instead, where the text features are others: what a
      language model adds;
    - ``permuted_text`` is kernel ridge with the train texts permuted: luck, by the same path;
    - ``nearest_target`` and ``nearest_mechanism`` give words the similarity of the image to the
      most similar train perturbation that shares a gene, or a mechanism of action, with them.
    """
    rng = np.random.default_rng(seed)
    scaled = _scaled(train.image, held_out.image)
    orders = [rng.permutation(len(train.text)) for _ in range(_PERMUTATIONS)]
    with_ngrams = not np.array_equal(train.text, train.ngrams)
    return {
        "ridge": [_predicted(Ridge(alpha=_ridge_strength(scaled[0])), *scaled, train, held_out)],
        "kernel_ridge": [_by_kernel_ridge(scaled, train.text, held_out.text)],
        **(
            {"kernel_ridge_ngrams": [_by_kernel_ridge(scaled, train.ngrams, held_out.ngrams)]}
            if with_ngrams
            else {}
        ),
        "permuted_text": [
            _by_kernel_ridge(scaled, train.text[order], held_out.text) for order in orders
        ],
        "nearest_target": [_nearest_known(scaled, train.genes, held_out.genes)],
        "nearest_mechanism": [_nearest_known(scaled, train.mechanisms, held_out.mechanisms)],
    }


def _scaled(train: Matrix, held_out: Matrix) -> tuple[Matrix, Matrix]:
    """Rows of unit length after the train mean is taken off."""
    mean = train.mean(axis=0)
    return normalize(train - mean), normalize(held_out - mean)


def _ridge_strength(image: Matrix) -> float:
    """As much as the average variance of a feature over all rows."""
    return max(float((image**2).sum() / image.shape[1]), 1e-6)


def _predicted(
    regression: Ridge | KernelRidge,
    image: Matrix,
    held_out_image: Matrix,
    train: PerturbationSet,
    held_out: PerturbationSet,
) -> Matrix:
    mean = train.text.mean(axis=0)
    regression.fit(image, train.text - mean)
    return _cosine(regression.predict(held_out_image), held_out.text - mean)


def _by_kernel_ridge(scaled: tuple[Matrix, Matrix], text: Matrix, held_out_text: Matrix) -> Matrix:
    image, held_out_image = scaled
    mean = text.mean(axis=0)
    distances = 2 - 2 * image @ image.T
    width = float(np.median(distances[np.triu_indices(len(image), 1)])) if len(image) > 1 else 1.0
    width = max(width, 1e-6)
    regression = KernelRidge(kernel="rbf", gamma=1 / width, alpha=0.1)
    regression.fit(image, text - mean)
    return _cosine(regression.predict(held_out_image), held_out_text - mean)


def _nearest_known(
    scaled: tuple[Matrix, Matrix],
    known: Sequence[frozenset[str]],
    candidates: Sequence[frozenset[str]],
) -> Matrix:
    """Words of whose targets nothing is known in train get the query's mean similarity."""
    image, held_out_image = scaled
    similarity = held_out_image @ image.T
    scores = np.repeat(similarity.mean(axis=1, keepdims=True), len(candidates), axis=1)
    for column, wanted in enumerate(candidates):
        related = [row for row, own in enumerate(known) if wanted & own]
        if related:
            scores[:, column] = similarity[:, related].max(axis=1)
    return scores


def _cosine(one: Matrix, other: Matrix) -> Matrix:
    return normalize(one) @ normalize(other).T
