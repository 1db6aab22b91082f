"""Simple methods on the same perturbations: a trained model has to beat them.

All of them see one row of image features per perturbation (the mean of its sites, normalised by
its plates' negative controls) and what is known of its treatment: the text features of its prompt
and, where a name ends in ``_facts``, the known facts that the model reads, too. They are fitted on
train and validation perturbations together, and choose their strength on folds of these. A baseline
is one function of `BaselineData` and one line in `BASELINES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from morphoclip.evaluation.humble_inputs import CELL_COUNT, UNTRAINED_BACKBONE, WELL_POSITION
from morphoclip.evaluation.perturbation_sets import PerturbationSet
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.metrics.retrieval import reciprocal_ranks
from morphoclip.models.closed_form import KernelTower, fit_kernel_towers
from morphoclip.models.config import ModelShape
from morphoclip.models.prompt_input import PromptInput
from morphoclip.perturbations.known_facts import FINGERPRINT_BITS

_PERMUTATIONS = 10
_INNER_FOLDS = 4
_WITH_FACTS = ("two_way_kernel_ridge", "cca", "kernel_cca")
STRENGTHS = (0.1, 0.3, 1.0)
"""Of ridge regularisation, relative to the diagonal of a kernel of unit vectors."""


@dataclass(frozen=True)
class BaselineData:
    """Train and held-out perturbations.

    Attributes:
        train: What a baseline is fitted on, P_train perturbations.
        held_out: What it ranks, P perturbations.
        train_image: ``(P_train, F)``, at unit length, less the train mean.
        held_out_image: ``(P, F)``.
        train_text: What is read of prompts, ``(P_train, D)``.
        held_out_text: ``(P, D)``.
    """

    train: PerturbationSet
    held_out: PerturbationSet
    train_image: Matrix
    held_out_image: Matrix
    train_text: Matrix
    held_out_text: Matrix

    @classmethod
    def of(cls, train: PerturbationSet, held_out: PerturbationSet) -> Self:
        """Centre the image features by train and scale them to unit length; read words alone."""
        mean = train.image.mean(axis=0)
        image = (unit_rows(train.image - mean), unit_rows(held_out.image - mean))
        return cls(train, held_out, *image, train.text, held_out.text)

    def with_facts(self) -> Self:
        """Words and each source of known facts at a common length, as the model reads them."""
        shape = ModelShape(1, 1, self.train.text.shape[1], self.train.fact_sizes)
        read = PromptInput(shape, scaled=True, fact_weight=1.0).double()
        known = [
            torch.from_numpy(np.concatenate([some.text, some.facts], axis=1))
            for some in (self.train, self.held_out)
        ]
        read.fit(known[0])
        train, held_out = (torch.cat(read(one), dim=1).numpy() for one in known)
        return replace(self, train_text=train, held_out_text=held_out)

    def inner(self, rng: np.random.Generator) -> list[Self]:
        """Folds of the train perturbations: each is held out once."""
        fold = rng.permutation(len(self.train.digests)) % _INNER_FOLDS
        return [
            type(self).of(
                self.train.select(np.flatnonzero(fold != number)),
                self.train.select(np.flatnonzero(fold == number)),
            )
            for number in range(_INNER_FOLDS)
        ]


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


Fit = Callable[[BaselineData, float], Matrix]
"""Similarities of held-out perturbations to their texts by a method of some strength."""


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
        scores = [sum(_score(fit(some, s), some) for some in inner) for s in STRENGTHS]
        best = STRENGTHS[int(np.argmax(scores))]
    return fit(read(data), best)


def _score(similarity: Matrix, data: BaselineData) -> float:
    """Sum over perturbations of both directions' reciprocal ranks among their modality."""
    total = 0.0
    for name in np.unique(data.held_out.modality):
        rows = np.flatnonzero(data.held_out.modality == name)
        block = similarity[np.ix_(rows, rows)]
        total += float(np.trace(reciprocal_ranks(block)) + np.trace(reciprocal_ranks(block.T)))
    return total


def _ridge(data: BaselineData, strength: float) -> Matrix:
    """Predicts text features from image features; 1 is as strong as a feature's mean variance."""
    image = data.train_image
    alpha = max(strength * float((image**2).sum() / image.shape[1]), 1e-6)
    return _predicted(Ridge(alpha=alpha), data, data.train_text, data.held_out_text)


def _kernel_ridge(data: BaselineData, strength: float) -> Matrix:
    """The same with an RBF kernel, its width the median squared distance."""
    return _predicted(
        _rbf_of(data.train_image, strength), data, data.train_text, data.held_out_text
    )


def _two_way_kernel_ridge(data: BaselineData, strength: float) -> Matrix:
    """Text from image and image from text, each by kernel ridge; their cosines are added."""
    text_mean = data.train_text.mean(axis=0)
    texts = unit_rows(data.train_text - text_mean), unit_rows(data.held_out_text - text_mean)
    to_text = _kernel_ridge(data, strength)
    backwards = _rbf_of(texts[0], strength).fit(texts[0], data.train_image)
    to_image = data.held_out_image @ unit_rows(backwards.predict(texts[1])).T
    return to_text + to_image


def _cca(data: BaselineData, strength: float) -> Matrix:
    """Regularised canonical correlations of image and text (Hotelling 1936), weighted by them.

    Both sides are whitened with their covariance shrunk towards its average variance: as far as
    strength / (1 + strength) of the way.
    """
    text_mean = data.train_text.mean(axis=0)
    text, held_out_text = data.train_text - text_mean, data.held_out_text - text_mean
    if not (data.train_image.any() and text.any()):  # one side does not vary: all tie
        return np.zeros((len(data.held_out_image), len(held_out_text)))
    whiten_image, whiten_text = (_whitening(side, strength) for side in (data.train_image, text))
    cross = whiten_image.T @ data.train_image.T @ text @ whiten_text / len(text)
    left, correlations, right = np.linalg.svd(cross, full_matrices=False)
    image_side = data.held_out_image @ whiten_image @ (left * correlations)
    text_side = held_out_text @ whiten_text @ right.T
    return unit_rows(image_side) @ unit_rows(text_side).T


def _kernel_cca(data: BaselineData, strength: float) -> Matrix:
    """The model's closed form, alone: `morphoclip.models.closed_form`."""
    sides = (
        (data.train.image, data.held_out.image),
        (data.train_text, data.held_out_text),
    )
    given = [tuple(torch.from_numpy(rows).double() for rows in side) for side in sides]
    size = len(data.train_image)
    towers = [KernelTower(size, train.shape[1], size).double() for train, _ in given]
    fit_kernel_towers((towers[0], given[0][0]), (towers[1], given[1][0]), strength=3 * strength)
    image, text = (tower(held_out) for tower, (_, held_out) in zip(towers, given, strict=True))
    return (image @ text.T).numpy()


def _kernel_ridge_ngrams(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Predicts n-grams instead: what a language model adds. None where they are the features."""
    if data.train.ngrams is None or data.held_out.ngrams is None:
        return []
    kernel = _rbf_of(data.train_image)
    return [_predicted(kernel, data, data.train.ngrams, data.held_out.ngrams)]


def _permuted_text(data: BaselineData, rng: np.random.Generator) -> list[Matrix]:
    """Kernel ridge with the train texts permuted: chance, by the same computation."""
    text = data.train.text
    orders = [rng.permutation(len(text)) for _ in range(_PERMUTATIONS)]
    kernel = _rbf_of(data.train_image)
    return [_predicted(kernel, data, text[order], data.held_out.text) for order in orders]


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
    regression = KernelRidge(kernel="rbf", gamma=0.5, alpha=0.1)
    seen = replace(data, train_image=train, held_out_image=held_out)
    return [_predicted(regression, seen, data.train.text, data.held_out.text)]


def _untrained_backbone(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Kernel ridge on the features of a backbone with random weights."""
    name = UNTRAINED_BACKBONE
    if name not in data.train.others or name not in data.held_out.others:
        return []
    train = replace(data.train, image=data.train.others[name])
    held_out = replace(data.held_out, image=data.held_out.others[name])
    seen = BaselineData.of(train, held_out)
    kernel = _rbf_of(seen.train_image)
    return [_predicted(kernel, seen, data.train.text, data.held_out.text)]


FITS: Mapping[str, Fit] = {
    "ridge": _ridge,
    "kernel_ridge": _kernel_ridge,
    "two_way_kernel_ridge": _two_way_kernel_ridge,
    "cca": _cca,
    "kernel_cca": _kernel_cca,
}
"""Methods of a strength, which is chosen on folds of train."""

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


def _predicted(
    regression: Ridge | KernelRidge, data: BaselineData, text: Matrix, held_out_text: Matrix
) -> Matrix:
    mean = text.mean(axis=0)
    regression.fit(data.train_image, text - mean)
    predicted = regression.predict(data.held_out_image)
    return unit_rows(predicted) @ unit_rows(held_out_text - mean).T


def _rbf_of(unit: Matrix, strength: float = 0.1) -> KernelRidge:
    """For unit vectors ``(P_train, F)``; the kernel's width is their median squared distance."""
    distances = 2 - 2 * unit @ unit.T
    width = float(np.median(distances[np.triu_indices(len(unit), 1)])) if len(unit) > 1 else 1.0
    return KernelRidge(kernel="rbf", gamma=1 / max(width, 1e-6), alpha=strength)


def _whitening(centred: Matrix, strength: float) -> Matrix:
    """``(F, R)``: makes the shrunk covariance of rows ``(P_train, F)`` the identity."""
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2 / len(centred)
    kept = variances > 1e-12 * variances[0]
    shrunk = (variances[kept] + strength * variances[kept].mean()) / (1 + strength)
    return directions[kept].T / np.sqrt(shrunk)


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
