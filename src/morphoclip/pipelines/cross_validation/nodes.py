"""Cross-validation node: retrieval per perturbation in, means beside baselines out."""

import logging

import pandas as pd

from morphoclip.evaluation.baseline_comparison import (
    compare_methods,
    comparison_sentence,
    headline_comparison,
)
from morphoclip.evaluation.config import EvaluationConfig

logger = logging.getLogger(__name__)


def compare_over_folds(per_perturbation: pd.DataFrame, config: EvaluationConfig) -> pd.DataFrame:
    """Means, intervals over perturbations, and differences to the model."""
    comparison = compare_methods(per_perturbation, config.bootstrap)
    rows = headline_comparison(comparison)
    lines = [f"  {'':<27} {'mean of both':<20} image>text text>image"]
    lines += [
        f"  {row.method:<27} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]"
        f"{row.image_to_text:10.3f}{row.text_to_image:11.3f}"
        for row in rows.itertuples()
    ]
    lines.append(f"  {'chance':<27} {rows['chance'].iloc[0]:.3f}")
    logger.info(
        "held-out MRR within modality [95 %% interval], %d perturbations, %d repeat(s)\n%s\n%s",
        rows["n_perturbations"].iloc[0],
        rows["n_repeats"].max(),
        "\n".join(lines),
        comparison_sentence(comparison),
    )
    return comparison
