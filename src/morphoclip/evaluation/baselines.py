"""Simple methods on the same perturbations: a trained model has to beat them.

All of them see one row of image features per perturbation (the mean of its sites, normalised by
its plates' negative controls) and the text features of its prompt. A baseline is one function of
`BaselineData` and one line in `BASELINES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from morphoclip.evaluation.humble_inputs import CELL_COUNT, UNTRAINED_BACKBONE, WELL_POSITION
from morphoclip.evaluation.perturbation_sets import PerturbationSet
from morphoclip.metrics.matrix import Matrix, unit_rows

_PERMUTATIONS = 10


@dataclass(frozen=True)
class BaselineData:
    """Train and held-out perturbations; image features at unit length, less the train mean.

    Attributes:
        train: What a baseline is fitted on, P_train perturbations.
        held_out: What it ranks, P perturbations.
        train_image: ``(P_train, F)``.
        held_out_image: ``(P, F)``.
    """

    train: PerturbationSet
    held_out: PerturbationSet
    train_image: Matrix
    held_out_image: Matrix

    @classmethod
    def of(cls, train: PerturbationSet, held_out: PerturbationSet) -> Self:
        """Centre the image features by train and scale them to unit length."""
        mean = train.image.mean(axis=0)
        return cls(train, held_out, unit_rows(train.image - mean), unit_rows(held_out.image - mean))


Baseline = Callable[[BaselineData, np.random.Generator], list[Matrix]]
"""Similarities ``(P, P)`` of held-out perturbations to their texts.

Several matrices are several draws, to be averaged after ranking; none where the baseline would
repeat another one.
"""


def baseline_similarities(data: BaselineData, *, seed: int) -> dict[str, list[Matrix]]:
    """Every baseline's similarities by its name."""
    scored = {
        name: baseline(data, np.random.default_rng(seed)) for name, baseline in BASELINES.items()
    }
    return {name: draws for name, draws in scored.items() if draws}


def _ridge(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Predicts text features from image features; as strong as a feature's average variance."""
    image = data.train_image
    strength = max(float((image**2).sum() / image.shape[1]), 1e-6)
    return [_predicted(Ridge(alpha=strength), data, data.train.text, data.held_out.text)]


def _kernel_ridge(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """The same with an RBF kernel, its width the median squared distance."""
    return [_predicted(_rbf(data), data, data.train.text, data.held_out.text)]


def _two_way_kernel_ridge(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Text from image and image from text, each by kernel ridge; their cosines are added."""
    text_mean = data.train.text.mean(axis=0)
    texts = unit_rows(data.train.text - text_mean), unit_rows(data.held_out.text - text_mean)
    to_text = _predicted(_rbf(data), data, data.train.text, data.held_out.text)
    backwards = _rbf_of(texts[0]).fit(texts[0], data.train_image)
    to_image = data.held_out_image @ unit_rows(backwards.predict(texts[1])).T
    return [to_text + to_image]


def _cca(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Regularised canonical correlations of image and text (Hotelling 1936), weighted by them.

    Both sides are whitened with their covariance shrunk half way to its average variance.
    """
    text_mean = data.train.text.mean(axis=0)
    text, held_out_text = data.train.text - text_mean, data.held_out.text - text_mean
    if not (data.train_image.any() and text.any()):  # one side does not vary: all tie
        return [np.zeros((len(data.held_out_image), len(held_out_text)))]
    whiten_image, whiten_text = _whitening(data.train_image), _whitening(text)
    cross = whiten_image.T @ data.train_image.T @ text @ whiten_text / len(text)
    left, correlations, right = np.linalg.svd(cross, full_matrices=False)
    image_side = data.held_out_image @ whiten_image @ (left * correlations)
    text_side = held_out_text @ whiten_text @ right.T
    return [unit_rows(image_side) @ unit_rows(text_side).T]


def _kernel_ridge_ngrams(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """Predicts n-grams instead: what a language model adds. None where they are the features."""
    if data.train.ngrams is None or data.held_out.ngrams is None:
        return []
    return [_predicted(_rbf(data), data, data.train.ngrams, data.held_out.ngrams)]


def _permuted_text(data: BaselineData, rng: np.random.Generator) -> list[Matrix]:
    """Kernel ridge with the train texts permuted: chance, by the same computation."""
    text = data.train.text
    orders = [rng.permutation(len(text)) for _ in range(_PERMUTATIONS)]
    return [_predicted(_rbf(data), data, text[order], data.held_out.text) for order in orders]


def _nearest_target(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """A text scores as the most similar train image that shares a gene with it."""
    return [_nearest_sharing(data, data.train.genes, data.held_out.genes)]


def _nearest_mechanism(data: BaselineData, _: np.random.Generator) -> list[Matrix]:
    """A text scores as the most similar train image that shares a mechanism of action with it."""
    return [_nearest_sharing(data, data.train.mechanisms, data.held_out.mechanisms)]


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
    return [_predicted(_rbf(seen), seen, data.train.text, data.held_out.text)]


BASELINES: Mapping[str, Baseline] = {
    "ridge": _ridge,
    "kernel_ridge": _kernel_ridge,
    "two_way_kernel_ridge": _two_way_kernel_ridge,
    "cca": _cca,
    "kernel_ridge_ngrams": _kernel_ridge_ngrams,
    "permuted_text": _permuted_text,
    "nearest_target": _nearest_target,
    "nearest_mechanism": _nearest_mechanism,
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


def _rbf(data: BaselineData) -> KernelRidge:
    return _rbf_of(data.train_image)


def _rbf_of(unit: Matrix) -> KernelRidge:
    """For unit vectors ``(P_train, F)``; the kernel's width is their median squared distance."""
    distances = 2 - 2 * unit @ unit.T
    width = float(np.median(distances[np.triu_indices(len(unit), 1)])) if len(unit) > 1 else 1.0
    return KernelRidge(kernel="rbf", gamma=1 / max(width, 1e-6), alpha=0.1)


def _whitening(centred: Matrix) -> Matrix:
    """``(F, R)``: makes the shrunk covariance of rows ``(P_train, F)`` the identity."""
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2 / len(centred)
    kept = variances > 1e-12 * variances[0]
    shrunk = (variances[kept] + variances[kept].mean()) / 2
    return directions[kept].T / np.sqrt(shrunk)


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
