"""What a training is about, and the same as files that another machine reads."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from morphoclip.errors import InputError
from morphoclip.models.config import ModelConfig
from morphoclip.training.checkpoints import RunCheckpoints
from morphoclip.training.config import TrainingConfig
from morphoclip.training.fine_tuning import FineTuning
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch, mapped_tokens

LogEpoch = Callable[[int, Mapping[str, float]], None]

_SETTINGS = "job.json"
_WELLS = "wells.parquet"
_MANIFEST = "manifest.parquet"
_TENSORS = "tensors.safetensors"
FILES = (_SETTINGS, _WELLS, _MANIFEST, _TENSORS)
"""Names of the files that `write_job` writes."""


@dataclass(frozen=True)
class TrainingJob:
    """What a training is about, apart from wells and processes; pickles."""

    manifest: pd.DataFrame
    model: ModelConfig
    training: TrainingConfig
    run: RunCheckpoints
    log_epoch: LogEpoch
    fine_tuning: FineTuning | None = None


def write_job(wells: Wells, job: TrainingJob, device: str, folder: Path) -> None:
    """Write all but the tokens to a folder: tables, tensors, text; nothing that is run when read.

    Checkpoints and the log stay with the machine that leads.
    """
    settings = {
        "model": job.model.model_dump(mode="json"),
        "training": job.training.model_dump(mode="json"),
        "device": device,
        "run": job.run.folder.name,
        "digests": wells.digests,
        "image_fingerprint": wells.image_fingerprint,
        "text_fingerprint": wells.text_fingerprint,
        "fact_names": wells.fact_names,
    }
    (folder / _SETTINGS).write_text(json.dumps(settings))
    wells.table.to_parquet(folder / _WELLS)
    job.manifest.to_parquet(folder / _MANIFEST)
    tensors = {
        "offsets": wells.sites.offsets.cpu(),
        "prompt_of_well": wells.prompt_of_well,
        "text": wells.text.contiguous(),
    }
    save_file(tensors, folder / _TENSORS)


def read_job(folder: Path, tokens: Path) -> tuple[Wells, TrainingJob, str]:
    """What `write_job` wrote, with the tokens of a file, and the device to train on.

    Raises:
        InputError: The files hold something else.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_text())
        tensors = load_file(folder / _TENSORS)
        wells = Wells(
            table=pd.read_parquet(folder / _WELLS),
            sites=WellBatch(mapped_tokens(tokens), tensors["offsets"]),
            prompt_of_well=tensors["prompt_of_well"],
            text=tensors["text"],
            digests=tuple(settings["digests"]),
            image_fingerprint=settings["image_fingerprint"],
            text_fingerprint=settings["text_fingerprint"],
            fact_names={name: tuple(columns) for name, columns in settings["fact_names"].items()},
        )
        job = TrainingJob(
            manifest=pd.read_parquet(folder / _MANIFEST),
            model=ModelConfig.model_validate(settings["model"]),
            training=TrainingConfig.model_validate(settings["training"]),
            run=RunCheckpoints(folder / "checkpoints" / settings["run"]),
            log_epoch=_not_logged,
        )
        return wells, job, settings["device"]
    except (
        AttributeError,
        KeyError,
        OSError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"the leading host sent something else than a training ({type(error).__name__}): "
            "install the same version of morphoclip on all hosts"
        ) from error


def _not_logged(epoch: int, metrics: Mapping[str, float]) -> None:
    """Only the leading host logs."""
