"""What a backbone is called by, down to its weights."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from torch import Tensor, nn


_TIMM_FOLDER = "local-dir:"
"""What timm writes before a folder."""


def model_name(model_id: str) -> str:
    """What a fingerprint calls the model: the hub's id, or a folder's name without its path."""
    folder = Path(model_id.removeprefix(_TIMM_FOLDER))
    return folder.name if folder.is_dir() or model_id.startswith(_TIMM_FOLDER) else model_id


def parameters_digest(parameters: BaseModel, model_id: str | None, *files: str) -> str | None:
    """Digest of a backbone's parameters; None for a folder, whose files may have changed.

    ``files`` are digests of files that parameters name.
    """
    if model_id is not None and Path(model_id).is_dir():
        return None
    text = "\n".join([parameters.model_dump_json(), *files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_digest(model: "nn.Module") -> str:
    """SHA-256 over names and values of all weights, 16 characters."""
    return tensors_digest(model.state_dict().items())


def tensors_digest(tensors: Iterable[tuple[str, "Tensor"]]) -> str:
    """SHA-256 over names and values, in the order of names, 16 characters."""
    import torch  # here, since questions about treatments read parameters and no weights

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda named: named[0]):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def identity_of(model_id: str, model: "nn.Module") -> dict[str, str]:
    """What tells this model from others: the hub's commit, or a folder's name and weights."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit is not None and not Path(model_id).is_dir():
        return {"model": model_id, "revision": str(commit)}
    return {"model": Path(model_id).name, "weights": weights_digest(model)}
