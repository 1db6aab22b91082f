"""What tells one training from another, by which its checkpoints are found."""

import hashlib
import json
from typing import Any

import pandas as pd

from morphoclip.models.config import ModelConfig
from morphoclip.splits.manifest import manifest_sha256
from morphoclip.training.checkpoints import CheckpointStore, RunCheckpoints
from morphoclip.training.config import TrainingConfig
from morphoclip.training.fine_tuning import FineTuning
from morphoclip.wells.assemble import Wells

WHERE_IT_RUNS = {
    "resume",
    "device",
    "devices",
    "nodes",
    "rendezvous",
    "placement",
    "cpu_threads",
    "seeds",
}
"""Parameters that make no other training of one."""


def run_description(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    fine_tuning: FineTuning | None,
) -> dict[str, Any]:
    """What tells this run from others: configuration, split, features."""
    return {
        "model": model_config.model_dump(mode="json"),
        "training": config.model_dump(mode="json", exclude=WHERE_IT_RUNS),
        "manifest_sha256": manifest_sha256(manifest),
        "wells_sha256": wells.sha256,
        "image_fingerprint": wells.image_fingerprint,
        "text_fingerprint": wells.text_fingerprint,
    } | ({"fine_tuning": fine_tuning.record} if fine_tuning else {})


def run_digest(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    fine_tuning: FineTuning | None = None,
) -> str:
    """The name of a run's folder of checkpoints."""
    return _digest_of(run_description(wells, manifest, model_config, config, fine_tuning))


def _digest_of(what: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def find_run(checkpoints: CheckpointStore, what: dict[str, Any], *, resume: bool) -> RunCheckpoints:
    """The checkpoints of the run that is described so.

    Raises:
        InputError: There are none to resume, and there are those of another run.
    """
    digest = _digest_of(what)
    if resume:
        checkpoints.require_resumable(digest, what)
    return checkpoints.open(digest)
