"""Zero-shot nodes: train with whole mechanisms held out, then ask for them by their words."""

import logging

import pandas as pd

from morphoclip.backbones.text import load_text_backbone, warn_of_ngrams
from morphoclip.device import resolve_device
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.fold_data import FoldData
from morphoclip.evaluation.per_perturbation import MODEL_METHOD
from morphoclip.evaluation.zero_shot import (
    ZeroShotConfig,
    held_out_mechanisms,
    rank_by_words,
    summarise,
)
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.models.config import ModelConfig
from morphoclip.schemas.evaluation import ZERO_SHOT
from morphoclip.splits.config import SplitConfig
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.members import train_members
from morphoclip.training.run_log import RunLog

logger = logging.getLogger(__name__)

_SHOWN = 5


def ask_for_mechanisms(  # noqa: PLR0913 - one argument per catalog entry
    data: FoldData,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    encoding: TextFeaturesConfig,
    evaluation: EvaluationConfig,
    config: ZeroShotConfig,
    checkpoints: CheckpointStore,
    epoch_log: RunLog,
) -> pd.DataFrame:
    """How high the compounds of each mechanism come by its words, in each fold and seed.

    Raises:
        InputError: There are too few mechanisms, or as training does.
    """
    backbone = load_text_backbone(encoding.backbone, device=resolve_device(encoding.device))
    warn_of_ngrams(backbone)
    own = checkpoints.below("zero_shot")
    tables = []
    folds = held_out_mechanisms(data, splitting, config)
    for fold, held_out in enumerate(folds):
        words = backbone.encode(held_out.mechanisms)
        for seed in training.each_seed:
            one = training.of_seed(seed, resume=False)
            name = f"mechanisms of fold {fold}, seed {seed}"
            with epoch_log.nested(name) as nested:
                trained = train_members(
                    data.wells, held_out.manifest, model, one, own, nested
                ).model
            own.delete_opened()
            own.below("inner_folds").delete_all()
            rows = rank_by_words(
                held_out,
                data,
                trained,
                words,
                batch_size=evaluation.batch_size,
                device=evaluation.device,
                seed=evaluation.seed,
            )
            tables.append(rows.assign(fold=fold, seed=seed))
            of_model = rows[rows["method"] == MODEL_METHOD]
            logger.info(
                "%s: %d mechanisms, average precision %.3f (chance %.3f)",
                name,
                len(of_model),
                of_model["average_precision"].mean(),
                of_model["average_precision_chance"].mean(),
            )
    return pd.concat(tables, ignore_index=True)[list(ZERO_SHOT.columns)]


def summarise_mechanisms(zero_shot_words: pd.DataFrame, config: EvaluationConfig) -> pd.DataFrame:
    """Means over mechanisms, beside chance and simpler methods; logs them, and the best ones."""
    summary = summarise(zero_shot_words, config.bootstrap)
    lines = []
    for metric, rows in summary.groupby("metric", sort=False):
        lines.append(f"  {metric} over {rows['n_mechanisms'].iloc[0]} mechanisms")
        lines += [
            f"    {row.method.replace('_', ' '):<22}{row.value:.3f} "
            f"[{row.ci_low:.3f}, {row.ci_high:.3f}]"
            + ("" if row.method == MODEL_METHOD else f"  model leads by {row.lead_of_model:+.3f} "
               f"[{row.lead_low:+.3f}, {row.lead_high:+.3f}]")
            for row in rows.itertuples()
        ]  # fmt: skip
        lines.append(f"    {'chance':<22}{rows['chance'].iloc[0]:.3f}")
    of_model = zero_shot_words[zero_shot_words["method"] == MODEL_METHOD]
    means = of_model.groupby("mechanism")[["average_precision", "average_precision_chance"]].mean()
    best = means.sort_values("average_precision", ascending=False).head(_SHOWN)
    lines.append("  best of the model, average precision (chance)")
    lines += [
        f"    {name:<40}{row.average_precision:.3f} ({row.average_precision_chance:.3f})"
        for name, row in best.iterrows()
    ]
    logger.info("mechanisms by their words\n%s", "\n".join(lines))
    return summary
