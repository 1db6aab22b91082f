"""Regressions and correlations between image and text features, at several strengths at once.

What does not depend on the strength (decompositions of kernels and covariances) is computed once.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from morphoclip.evaluation.baseline_data import BaselineData
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.models.closed_form import KernelTower, fit_kernel_towers

STRENGTHS = (0.1, 0.3, 1.0)
"""Of regularisation, relative to the diagonal of a kernel of unit vectors."""

Fit = Callable[[BaselineData, Sequence[float]], list[Matrix]]
"""Similarities of held-out perturbations to their texts ``(P, P)``, one matrix per strength."""


def ridge(data: BaselineData, strengths: Sequence[float]) -> list[Matrix]:
    """Predicts text features from image features; 1 is as strong as a feature's mean variance."""
    train, held_out = data.train_image, data.held_out_image
    scale = max(float((train**2).sum() / train.shape[1]), 1e-6)
    kernels = train @ train.T, held_out @ train.T
    return _cosines_of_predicted_texts(data, kernels, [strength * scale for strength in strengths])


def kernel_ridge(data: BaselineData, strengths: Sequence[float]) -> list[Matrix]:
    """The same with an RBF kernel, its width the median squared distance."""
    kernels = rbf_kernels(data.train_image, data.held_out_image)
    return _cosines_of_predicted_texts(data, kernels, strengths)


def two_way_kernel_ridge(data: BaselineData, strengths: Sequence[float]) -> list[Matrix]:
    """Text from image and image from text, each by kernel ridge; their cosines are added."""
    text_mean = data.train_text.mean(axis=0)
    texts = unit_rows(data.train_text - text_mean), unit_rows(data.held_out_text - text_mean)
    images = predicted(rbf_kernels(*texts), data.train_image, strengths)
    to_image = [data.held_out_image @ unit_rows(image).T for image in images]
    to_text = kernel_ridge(data, strengths)
    return [one + other for one, other in zip(to_text, to_image, strict=True)]


def cca(data: BaselineData, strengths: Sequence[float]) -> list[Matrix]:
    """Regularised canonical correlations of image and text (Hotelling 1936), weighted by them.

    Both sides are whitened with their covariance shrunk towards its average variance: as far as
    s / (1 + s) of the way, s being three times the strength.
    """
    text_mean = data.train_text.mean(axis=0)
    text, held_out_text = data.train_text - text_mean, data.held_out_text - text_mean
    if not (data.train_image.any() and text.any()):  # one side does not vary: all tie
        return [np.zeros((len(data.held_out_image), len(held_out_text)))] * len(strengths)
    image_rows, image_sizes, image_axes = np.linalg.svd(data.train_image, full_matrices=False)
    text_rows, text_sizes, text_axes = np.linalg.svd(text, full_matrices=False)
    shared = image_rows.T @ text_rows
    similarities: list[Matrix] = []
    for strength in strengths:
        whiten = [_whitening(sizes, len(text), 3 * strength) for sizes in (image_sizes, text_sizes)]
        cross = (whiten[0] * image_sizes)[:, None] * shared * (whiten[1] * text_sizes) / len(text)
        left, correlations, right = np.linalg.svd(cross, full_matrices=False)
        image_side = (data.held_out_image @ image_axes.T * whiten[0]) @ (left * correlations)
        text_side = (held_out_text @ text_axes.T * whiten[1]) @ right.T
        similarities.append(unit_rows(image_side) @ unit_rows(text_side).T)
    return similarities


def kernel_cca(data: BaselineData, strengths: Sequence[float]) -> list[Matrix]:
    """The model's closed form (`morphoclip.models.closed_form`) on means; three times strength."""
    sides = ((data.train.image, data.held_out.image), (data.train_text, data.held_out_text))
    given = [tuple(torch.from_numpy(rows).double() for rows in side) for side in sides]
    size = len(data.train_image)
    similarities: list[Matrix] = []
    for strength in strengths:
        towers = [KernelTower(size, train.shape[1], size).double() for train, _ in given]
        fit_kernel_towers((towers[0], given[0][0]), (towers[1], given[1][0]), strength=3 * strength)
        image, text = (tower(held_out) for tower, (_, held_out) in zip(towers, given, strict=True))
        similarities.append((image @ text.T).numpy())
    return similarities


FITS: Mapping[str, Fit] = {
    "ridge": ridge,
    "kernel_ridge": kernel_ridge,
    "two_way_kernel_ridge": two_way_kernel_ridge,
    "cca": cca,
    "kernel_cca": kernel_cca,
}


def rbf_kernels(train: Matrix, held_out: Matrix) -> tuple[Matrix, Matrix]:
    """``(N, N)`` and ``(P, N)``: of unit vectors; the width is their median squared distance."""
    distances = 2 - 2 * train @ train.T
    pairs = distances[np.triu_indices(len(train), 1)]
    width = max(float(np.median(pairs)), 1e-6) if len(pairs) else 1.0
    norms = (held_out**2).sum(axis=1)[:, None] + (train**2).sum(axis=1)
    return np.exp(-distances / width), np.exp(-(norms - 2 * held_out @ train.T) / width)


def predicted(
    kernels: tuple[Matrix, Matrix], wanted: Matrix, strengths: Sequence[float]
) -> list[Matrix]:
    """``k (K + strength I)^-1 Y`` for each strength, by one decomposition of ``K``."""
    values, vectors = np.linalg.eigh(kernels[0])
    turned, across = vectors.T @ wanted, kernels[1] @ vectors
    return [(across / (np.maximum(values, 0) + strength)) @ turned for strength in strengths]


def _cosines_of_predicted_texts(
    data: BaselineData, kernels: tuple[Matrix, Matrix], strengths: Sequence[float]
) -> list[Matrix]:
    return cosines_of_predicted(kernels, data.train_text, data.held_out_text, strengths)


def cosines_of_predicted(
    kernels: tuple[Matrix, Matrix], text: Matrix, held_out_text: Matrix, strengths: Sequence[float]
) -> list[Matrix]:
    """Cosines of predicted texts to held-out ones, both less the mean of the train texts."""
    mean = text.mean(axis=0)
    held_out = unit_rows(held_out_text - mean)
    return [unit_rows(p) @ held_out.T for p in predicted(kernels, text - mean, strengths)]


def _whitening(singular: Matrix, n_rows: int, strength: float) -> Matrix:
    """1 over the shrunk standard deviation along each axis; 0 along axes without variance."""
    variances = singular**2 / n_rows
    kept = variances > 1e-12 * variances[0]
    shrunk = (variances + strength * variances[kept].mean()) / (1 + strength)
    return np.where(kept, 1 / np.sqrt(shrunk), 0.0)
