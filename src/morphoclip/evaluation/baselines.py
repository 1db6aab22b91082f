"""Simple methods on the same perturbations: a trained model has to beat them.

All of them see one row of image features per perturbation (the mean of its sites, normalised by
its plates' negative controls) and what is known of its treatment: the text features of its prompt
and, where a name ends in ``_facts``, the known facts that the model reads, too. They are fitted on
train and validation perturbations together, and choose their strength on folds of these. A baseline
is one function of `BaselineData` and one line in `BASELINES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from morphoclip.evaluation.baseline_data import BaselineData
from morphoclip.evaluation.humble_inputs import CELL_COUNT, UNTRAINED_BACKBONE, WELL_POSITION
from morphoclip.evaluation.regressions import (
    FITS,
    STRENGTHS,
    Fit,
    cosines_of_predicted,
    rbf_kernels,
)
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.ranking import DECIMALS
from morphoclip.metrics.retrieval import reciprocal_ranks
from morphoclip.perturbations.known_facts import FINGERPRINT_BITS

_PERMUTATIONS = 10
_STRENGTH = 0.1
"""Of baselines that need none chosen: they stand for what cannot be learnt from images."""
_WITH_FACTS = ("two_way_kernel_ridge", "cca", "kernel_cca")


Baseline = Callable[[BaselineData, np.random.Generator], list[Matrix]]
"""Similarities ``(P, P)`` of held-out perturbations to their texts.

Several matrices are several draws, to be averaged after ranking; none where the baseline would
repeat another one, or lacks what it reads.
"""


def baseline_similarities(data: BaselineData, *, seed: int) -> dict[str, list[Matrix]]:
    """Every baseline's similarities by its name."""
    scored = {
        name: baseline(data, np.random.default_rng(seed)) for name, baseline in BASELINES.items()
    }
    return {name: draws for name, draws in scored.items() if draws}


def _tuned(fit: Fit) -> Baseline:
    """The method at the strength that ranks best, in both directions, on folds of train."""
    return lambda data, rng: [_at_best_strength(data, rng, fit, lambda some: some)]


def _tuned_with_facts(fit: Fit) -> Baseline:
    """The same with known facts beside the words."""
    return lambda data, rng: (
        [_at_best_strength(data, rng, fit, BaselineData.with_facts)]
        if data.train.fact_sizes
        else []
    )


def _at_best_strength(
    data: BaselineData,
    rng: np.random.Generator,
    fit: Fit,
    read: Callable[[BaselineData], BaselineData],
) -> Matrix:
    inner = [read(some) for some in data.inner(rng)] if len(data.train.digests) > 1 else []
    best = STRENGTHS[0]
    if all(len(some.held_out.digests) for some in inner):
        scores = [[_score(ranked, some) for ranked in fit(some, STRENGTHS)] for some in inner]
        best = STRENGTHS[int(np.argmax(np.sum(scores, axis=0)))]
    return fit(read(data), [best])[0]


def _score(similarity: Matrix, data: BaselineData) -> float:
    """Sum over perturbations of both directions' reciprocal ranks among their modality."""
    total = 0.0
    for name in np.unique(data.held_out.modality):
        rows = np.flatnonzero(data.held_out.modality == name)
        block, own = np.round(similarity[np.ix_(rows, rows)], DECIMALS), np.arange(len(rows))
        total += sum(float(reciprocal_ranks(way, own).sum()) for way in (block, block.T))
    return total


def _kernel_ridge_ngrams(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Predicts n-grams instead: what a language model adds. None where they are the features."""
    if data.train.ngrams is None or data.held_out.ngrams is None:
        return []
    kernels = rbf_kernels(data.train_image, data.held_out_image)
    return cosines_of_predicted(kernels, data.train.ngrams, data.held_out.ngrams, [_STRENGTH])


def _permuted_text(data: BaselineData, rng: np.random.Generator) -> list[Matrix]:
    """Kernel ridge with the train texts permuted: chance, by the same computation."""
    text = data.train.text
    orders = [rng.permutation(len(text)) for _ in range(_PERMUTATIONS)]
    kernels = rbf_kernels(data.train_image, data.held_out_image)
    return [
        cosines_of_predicted(kernels, text[order], data.held_out.text, [_STRENGTH])[0]
        for order in orders
    ]


def _nearest_target(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """A text scores as the most similar train image that shares a gene with it."""
    return [_nearest_sharing(data, data.train.genes, data.held_out.genes)]


def _nearest_mechanism(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """A text scores as the most similar train image that shares a mechanism of action with it."""
    return [_nearest_sharing(data, data.train.mechanisms, data.held_out.mechanisms)]


def _nearest_structure(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """A text scores as the train image whose compound's structure is most like its own.

    Structures are compared by Tanimoto's coefficient of their fingerprints. A text without a
    structure gets the query's mean similarity. None where structures are not known.
    """
    known = np.array([bool(bits) for bits in data.train.structures])
    if not known.any() or not any(data.held_out.structures):
        return []
    likeness = _tanimoto(data.held_out.structures, data.train.structures)
    nearest = np.where(known, likeness, -1.0).argmax(axis=1)
    similarity = data.held_out_image @ data.train_image.T
    has_structure = np.array([bool(bits) for bits in data.held_out.structures])
    mean = similarity.mean(axis=1, keepdims=True)
    return [np.where(has_structure[None, :], similarity[:, nearest], mean)]


def _well_position(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Kernel ridge that sees the row and the column of wells alone: what the layout gives away."""
    return _of_few_numbers(data, WELL_POSITION)


def _cell_count(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Kernel ridge that sees the number of cells alone, over its controls, as a log."""
    return _of_few_numbers(data, CELL_COUNT)


def _of_few_numbers(data: BaselineData, name: str) -> list[Matrix]:
    """Kernel ridge on another input of one or two numbers; none where it is not there."""
    if name not in data.train.others or name not in data.held_out.others:
        return []
    train, held_out = data.train.others[name], data.held_out.others[name]
    mean, scale = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)
    train, held_out = (train - mean) / scale, (held_out - mean) / scale
    kernels = tuple(np.exp(-cdist(rows, train, "sqeuclidean") / 2) for rows in (train, held_out))
    return cosines_of_predicted(
        (kernels[0], kernels[1]), data.train.text, data.held_out.text, [_STRENGTH]
    )


def _untrained_backbone(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Kernel ridge on the features of a backbone with random weights."""
    name = UNTRAINED_BACKBONE
    if name not in data.train.others or name not in data.held_out.others:
        return []
    train = replace(data.train, image=data.train.others[name])
    held_out = replace(data.held_out, image=data.held_out.others[name])
    seen = BaselineData.of(train, held_out)
    kernels = rbf_kernels(seen.train_image, seen.held_out_image)
    return cosines_of_predicted(kernels, data.train.text, data.held_out.text, [_STRENGTH])


BASELINES: Mapping[str, Baseline] = {
    **{name: _tuned(fit) for name, fit in FITS.items()},
    **{f"{name}_facts": _tuned_with_facts(FITS[name]) for name in _WITH_FACTS},
    "kernel_ridge_ngrams": _kernel_ridge_ngrams,
    "permuted_text": _permuted_text,
    "nearest_target": _nearest_target,
    "nearest_mechanism": _nearest_mechanism,
    "nearest_structure": _nearest_structure,
    WELL_POSITION: _well_position,
    CELL_COUNT: _cell_count,
    UNTRAINED_BACKBONE: _untrained_backbone,
}


def _tanimoto(one: Sequence[frozenset[int]], other: Sequence[frozenset[int]]) -> Matrix:
    """``(len(one), len(other))``: shared bits over all bits; 0 where neither has any."""
    matrices = [_bits(side) for side in (one, other)]
    shared = (matrices[0] @ matrices[1].T).toarray()
    counts = [np.array([len(bits) for bits in side]) for side in (one, other)]
    union = counts[0][:, None] + counts[1][None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _bits(sets: Sequence[frozenset[int]]) -> csr_array:
    rows = np.repeat(np.arange(len(sets)), [len(bits) for bits in sets])
    columns = np.array([bit for bits in sets for bit in bits], dtype=np.int64)
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(sets), FINGERPRINT_BITS))


def _nearest_sharing(
    data: BaselineData, of_train: Sequence[frozenset[str]], of_texts: Sequence[frozenset[str]]
) -> Matrix:
    """Texts that share nothing with train get the query's mean similarity."""
    similarity = data.held_out_image @ data.train_image.T
    scores = np.repeat(similarity.mean(axis=1, keepdims=True), len(of_texts), axis=1)
    for column, wanted in enumerate(of_texts):
        related = [row for row, names in enumerate(of_train) if wanted & names]
        if related:
            scores[:, column] = similarity[:, related].max(axis=1)
    return scores
