"""What of a trained model, its data and its results goes into a bundle."""

from collections.abc import Mapping
from typing import Any, assert_never

import pandas as pd

from morphoclip.backbone_identity import model_name
from morphoclip.backbones.adapter import Adapter
from morphoclip.backbones.config import ImageBackboneConfig, TextBackboneConfig
from morphoclip.backbones.text import HashedNgrams
from morphoclip.bundle.config import ADAPTER_NAME, ImageSettings
from morphoclip.columns import (
    BROAD_SAMPLE,
    DOSE,
    ENTITY,
    GENE,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PROMPT,
    PROMPT_DIGEST,
    ROLE,
    SMILES,
    SUBSET,
    TARGET_LIST,
)
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import named_settings
from morphoclip.features.site_files import restricted
from morphoclip.fingerprint import Fingerprint
from morphoclip.fingerprint import differences as differing_settings
from morphoclip.metrics.conditions import single_subset
from morphoclip.models.trained import TrainedModel

TREATMENT_COLUMNS = [
    MODALITY, BROAD_SAMPLE, ROLE, ENTITY, PERT_INAME, GENE, TARGET_LIST, MOA_LIST, SMILES, DOSE,
]  # fmt: skip


def image_settings(
    config: ImageFeaturesConfig, fingerprint: Fingerprint, adapter: Adapter | None
) -> ImageSettings | None:
    """What makes tokens of images; None where the training's tokens were not made from images.

    Raises:
        InputError: The parameters are not those of the training.
    """
    if "normalise" not in fingerprint:
        return None
    now = named_settings(config, adapter)
    then = restricted(fingerprint, now)
    differing = differing_settings(now, then)
    if differing:
        raise InputError(
            "the parameters image_features are not those that the model's features were made with "
            f"({'; '.join(differing)}): go back to these, or train again"
        )
    return ImageSettings(
        channels=config.channels,
        preprocess=config.preprocess.model_copy(update={"workers": "auto"}),
        backbone=_without_folder(config.backbone).model_copy(
            update={
                "adapter": ADAPTER_NAME if adapter else None,
                "revision": fingerprint.get("revision", config.backbone.revision),
            }
        ),
    )


def _without_folder(config: ImageBackboneConfig) -> ImageBackboneConfig:
    """The same with a folder's name in place of its path, which is of this machine."""
    untrained = config.untrained
    if untrained is not None and untrained.like is not None:
        untrained = untrained.model_copy(update={"like": model_name(untrained.like)})
    named = None if config.model_id is None else model_name(config.model_id)
    return config.model_copy(update={"model_id": named, "untrained": untrained})


def text_settings(config: TextBackboneConfig, fingerprint: Fingerprint) -> TextBackboneConfig:
    """The text backbone of the training, a folder by its name, at the revision that was used.

    Raises:
        InputError: The parameters are not those of the training.
    """
    match config.kind:
        case "ngrams":
            now = {"model": HashedNgrams(config.dim).identity["model"], "dim": str(config.dim)}
        case "transformer":
            now = {
                "model": model_name(str(config.model_id)),
                "pooling": config.pooling,
                "max_length": str(config.max_length),
            }
        case _:
            assert_never(config.kind)
    then = {key: value for key, value in fingerprint.items() if key in now}
    differing = differing_settings(now, then)
    if differing:
        raise InputError(
            "the parameters text_features are not those that the model's features were made with "
            f"({'; '.join(differing)}): go back to these, or train again"
        )
    named = None if config.model_id is None else model_name(config.model_id)
    revision = fingerprint.get("revision", config.revision)
    return config.model_copy(update={"model_id": named, "revision": revision})


def packed_prompts(
    prompts: pd.DataFrame, prompt_embeddings: pd.DataFrame, profiles: pd.DataFrame
) -> pd.DataFrame:
    """One row per distinct prompt: its words, modality, the subset of its wells, its embedding."""
    first = prompts.drop_duplicates(PROMPT_DIGEST).set_index(PROMPT_DIGEST)[[PROMPT, MODALITY]]
    subsets = profiles.groupby(PROMPT_DIGEST)[SUBSET].agg(single_subset)
    facts = first.assign(**{SUBSET: subsets.reindex(first.index)})
    packed = prompt_embeddings.merge(facts, left_on=PROMPT_DIGEST, right_index=True, how="left")
    _require_all(packed[PROMPT], "prompts", "text_features")
    return packed


def packed_treatments(perturbations: pd.DataFrame, profiles: pd.DataFrame) -> pd.DataFrame:
    """What is known of the treatments that have wells."""
    keys = [MODALITY, BROAD_SAMPLE]
    present = profiles[keys].drop_duplicates()
    packed = present.dropna(subset=[BROAD_SAMPLE]).merge(
        perturbations[TREATMENT_COLUMNS], on=keys, how="left"
    )
    _require_all(packed[ROLE], "perturbations", "ingestion")
    return packed[TREATMENT_COLUMNS]


def require_split_of(model: TrainedModel, split_record: Mapping[str, Any]) -> None:
    """Refuse the record of another split than the model was trained on.

    Raises:
        InputError: It is of another one.
    """
    if split_record["sha256"] != model.manifest_sha256:
        raise InputError(
            f"the split on disk ({split_record['sha256'][:16]}) is not the one that the model was "
            f"trained on ({model.manifest_sha256[:16]}): load the version that belongs to it, or "
            "train again"
        )


def _require_all(found: pd.Series, table: str, pipeline: str) -> None:
    if found.isna().any():
        raise InputError(
            f"the table {table} lacks {found.isna().sum()} of the {len(found)} that the model's "
            "profiles name: other plates were ingested since, or other parameters used; run "
            f"kedro run --pipeline {pipeline} for the plates of the training"
        )
