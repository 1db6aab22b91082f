"""How an embedding is laid out: alignment, spread, what plates leave in it, and collapse."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples

from morphoclip.columns import PLATE
from morphoclip.metrics.conditions import rows_by_condition, scored_controls, treated_wells
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.schemas.evaluation import EMBEDDING_QUALITY

_SIMILARITIES_AT_A_TIME = 2**23
_MOST_WELLS = 20_000
"""Of a condition, whose distances to each other are taken."""


def embedding_quality(
    metadata: pd.DataFrame, image: Matrix, prompt_of_well: NDArray[np.int64], text: Matrix
) -> pd.DataFrame:
    """Numbers about the joint space, tidy.

    Args:
        metadata: Of the wells.
        image: Profiles, ``(B, E)``.
        prompt_of_well: Row of ``text`` that is true of each well, ``(B,)``.
        text: Embedded prompts, ``(P, E)``.
    """
    unit, texts = unit_rows(image.astype(np.float64)), unit_rows(text.astype(np.float64))
    sums = np.zeros(texts.shape)
    np.add.at(sums, prompt_of_well, unit)
    consensus = unit_rows(sums)
    rows = [
        ("alignment", "image and text", float((unit * texts[prompt_of_well]).sum(1).mean())),
        ("modality_gap", "image and text", float(np.linalg.norm(unit.mean(0) - texts.mean(0)))),
    ]
    for side, points in (("image", consensus), ("text", texts)):
        rows += [
            ("uniformity", side, uniformity(points)),
            ("effective_rank", side, effective_rank(points)),
            ("mean_cosine", side, mean_cosine(points)),
            ("first_component_share", side, first_component_share(points)),
        ]
    for scope, mask in (
        ("treated wells", treated_wells(metadata)),
        ("controls", scored_controls(metadata)),
    ):
        value = plate_silhouette(metadata[mask], unit[mask.to_numpy()])
        rows.append(("plate_silhouette", scope, value))
    return pd.DataFrame(rows, columns=list(EMBEDDING_QUALITY.columns))


def uniformity(points: Matrix) -> float:
    """Log of the mean of exp(-2 |x - y|^2) over pairs (Wang and Isola 2020); lower is more even.

    Two antipodes give -8, two orthogonal points -4, identical ones 0.
    """
    n = len(points)
    if n < 2:
        return 0.0
    total = 0.0
    at_a_time = max(1, _SIMILARITIES_AT_A_TIME // n)
    for start in range(0, n, at_a_time):
        block = points[start : start + at_a_time] @ points[start:].T
        total += float(np.exp(4 * block[np.triu_indices_from(block, 1)] - 4).sum())
    return float(np.log(total / (n * (n - 1) / 2)))


def effective_rank(points: Matrix) -> float:
    """Exp of the entropy of the singular values' shares (Roy and Vetterli 2007)."""
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    total = values.sum()
    if total < 1e-12:
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def first_component_share(points: Matrix) -> float:
    """Share of the variance in the first principal component."""
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) ** 2
    total = values.sum()
    return float(values[0] / total) if total > 1e-24 else 1.0


def mean_cosine(points: Matrix) -> float:
    """Mean over pairs of different points."""
    n = len(points)
    return float((np.linalg.norm(points.sum(axis=0)) ** 2 - n) / (n * (n - 1))) if n > 1 else 1.0


def plate_silhouette(metadata: pd.DataFrame, unit: Matrix) -> float:
    """Mean cosine silhouette of wells by plate, within conditions of two plates or more.

    Over all plates together it would measure modality and cell type. 1 where plates stand apart,
    about 0 where they do not. NaN without such a condition. Of a condition of more than 20,000
    wells, those of evenly spaced plates are taken.
    """
    values = [
        silhouette_samples(unit[rows], plates, metric="cosine").mean()
        for rows, plates in _plates_by_condition(metadata)
    ]
    return float(np.mean(values)) if values else float("nan")


def _plates_by_condition(
    metadata: pd.DataFrame,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for _, rows in rows_by_condition(metadata):
        plates, names = pd.factorize(metadata[PLATE].to_numpy()[rows])
        if len(rows) > _MOST_WELLS:
            n_taken = max(2, len(names) * _MOST_WELLS // len(rows))
            taken = np.linspace(0, len(names) - 1, n_taken).round().astype(int)
            kept = np.isin(plates, taken)
            rows, plates, names = rows[kept], plates[kept], names[taken]
        if 2 <= len(names) < len(rows):
            yield rows, plates
