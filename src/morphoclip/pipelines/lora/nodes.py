"""LoRA nodes: stored images and trained towers in, an adapter and its towers out."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from torch import Tensor

from morphoclip.backbones.adapter import Adapter
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import settings_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.fingerprint import differences
from morphoclip.loaders import Loaders
from morphoclip.models.config import ModelConfig
from morphoclip.models.trained import TrainedModel
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.splits.manifest import manifest_sha256, require_recorded
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.fine_tuning import FineTuning, LoraConfig, model_to_start_from
from morphoclip.training.job import LogEpoch
from morphoclip.training.trainer import train
from morphoclip.wells.assemble import assemble_wells
from morphoclip.wells.site_images import with_images

logger = logging.getLogger(__name__)


class FineTunedAndRecorded(NamedTuple):
    """The adapter by its name, the towers trained with it, and one row per epoch."""

    adapters: dict[str, Adapter]
    model: TrainedModel
    model_record: dict[str, Any]
    training_history: pd.DataFrame


def train_adapter(  # noqa: PLR0913 - one argument per catalog entry
    site_tensors: Loaders[Tensor],
    plate_features: Loaders[PlateFeatures],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    split_manifest: pd.DataFrame,
    split_record: Mapping[str, Any],
    trained_models: Loaders[TrainedModel],
    existing_adapters: Loaders[Adapter],
    model: ModelConfig,
    training: TrainingConfig,
    features: ImageFeaturesConfig,
    lora: LoraConfig,
    checkpoints: CheckpointStore,
    epoch_log: LogEpoch,
) -> FineTunedAndRecorded:
    """Train the backbone's adapter and the towers on the train wells' images.

    Raises:
        InputError: Images, features, model and parameters do not belong together.
    """
    require_recorded(split_manifest, split_record)
    if features.backbone.adapter is not None:
        raise InputError(
            "lora trains an adapter for the backbone without one: leave out "
            "image_features.backbone.adapter, and name the feature set that has no adapter"
        )
    if model.token_normalisation in (
        TokenNormalisation.PLATE_ZSCORE,
        TokenNormalisation.NEGCON_PLANE_ZSCORE,
    ):
        raise InputError(
            "lora normalises by negative controls, which it encodes anew as the backbone changes, "
            "not by all wells of a plate or by their rows and columns: set "
            "model.token_normalisation to negcon_zscore, or to none where plates have no controls"
        )
    if lora.rank and lora.name in existing_adapters and not training.resume:
        raise InputError(
            f"there is an adapter {lora.name} already, and features may have been made with it: "
            "choose another lora.name, or delete its file in 06_models/adapters"
        )
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.token_normalisation
    )
    expected = settings_of(features)
    found = {key: wells.image_fingerprint.get(key, "absent") for key in expected}
    if differences(found, expected):
        raise InputError(
            f"the feature set {features.name} was made with other parameters "
            f"({'; '.join(differences(found, expected))}); give those, or name another set"
        )
    imaged = with_images(wells, plate_features, site_tensors)
    start = None
    if lora.start_from_model:
        start = model_to_start_from(trained_models, wells, manifest_sha256(split_manifest), model)
        logger.info("going on with the towers %s, epoch %d", start.digest, start.members[0].epoch)
    done = train(
        imaged,
        split_manifest,
        model,
        lora.applied_to(training),
        checkpoints,
        epoch_log,
        FineTuning(lora, features, start),
    )
    if done.adapter is None:
        logger.info("rank 0: the towers were trained alone; there is no adapter")
        adapters = {}
    else:
        numbers = sum(weights.numel() for weights in done.adapter.weights.values())
        logger.info(
            "adapter %s: %s numbers. Extract with it: kedro run --pipeline image_features "
            "--params image_features.name:%s,image_features.backbone.adapter:%s, then evaluate: "
            "kedro run --pipeline evaluation --params image_features.name:%s",
            lora.name,
            f"{numbers:,}",
            *[lora.name] * 3,
        )
        adapters = {lora.name: done.adapter}
    return FineTunedAndRecorded(adapters, done.model, done.model.record, done.history)
