"""What this machine has and lacks for an environment, one sentence each."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from morphoclip.errors import InputError

State = Literal["ok", "note", "lacks"]

_SECONDS = 10.0
_SMALL_DISK, _SMALL_MEMORY = 20 * 10**9, 8 * 10**9
_PACKAGES = ("torch", "transformers", "kedro", "mlflow", "pandas", "numpy")


class Finding(NamedTuple):
    """One thing that was looked at.

    ``note`` is what a run can do without, ``lacks`` what it would stop at; ``fix`` says what to do.
    """

    what: str
    state: State
    said: str
    fix: str = ""


def findings(loader: Any, params: Any, project: Path) -> Iterator[Finding]:
    """All that is looked at, in the order in which a run needs it."""
    features, texts = params["image_features"], params["text_features"]
    yield _versions()
    yield data_folder(Path(project, loader["globals"]["data"]))
    yield from _machine()
    yield _source(params["ingestion"], loader["globals"])
    yield weights_of("image backbone", features.backbone.kind, features.backbone.model_id)
    yield weights_of(
        "text backbone", texts.backbone.kind, getattr(texts.backbone, "model_id", None)
    )


def _versions() -> Finding:
    from importlib.metadata import version
    from platform import python_version

    said = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return Finding("versions", "ok", f"python {python_version()}, {said}")


def data_folder(data: Path) -> Finding:
    """Whether data can be written, and how much room there is."""
    there = next(path for path in (data, *data.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Finding(
            "data folder", "lacks", "it cannot be written to", "name another: MORPHOCLIP_DATA"
        )
    free = shutil.disk_usage(there).free
    said = f"{free / 1e9:,.0f} GB free"
    if free < _SMALL_DISK:
        fix = "a plate's images take about 43 GB: MORPHOCLIP_DATA names a larger disk"
        return Finding("data folder", "note", said, fix)
    return Finding("data folder", "ok", said)


def _machine() -> Iterator[Finding]:
    import torch

    from morphoclip.device import available_memory

    memory, cores = available_memory(), len(os.sched_getaffinity(0))
    small = memory < _SMALL_MEMORY
    yield Finding(
        "memory",
        "note" if small else "ok",
        f"{memory / 1e9:,.1f} GB available, {cores} CPU threads",
        "evaluating all of CPJUMP1 takes about 4 GB" if small else "",
    )
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        yield Finding("GPU", "ok", ", ".join(names))
    else:
        fix = "training and the demo do without; image features of a whole plate take hours"
        yield Finding("GPU", "note", "none that torch can use", fix)


def _source(ingestion: Any, shared: Any) -> Finding:
    from morphoclip.gallery.source import redact_path
    from morphoclip.remote.folders import RemoteFolder

    source = ingestion.source
    place = str(source.images or source.root)
    shown = redact_path(place)
    if "://" not in place:
        if Path(place).exists():
            return Finding("source", "ok", f"{shown} is on this machine")
        fix = "check ingestion.source.root in globals.yml (make demo makes the demo's plates)"
        return Finding("source", "lacks", f"there is no {shown}", fix)
    options = {**shared.get("fs_args", {}), "endpoint_url": source.endpoint_url}
    url = place if source.images else f"{place}/workspace/metadata"
    try:
        entries = RemoteFolder(url, options, tries=1).entries()
    except (InputError, ImportError, ValueError) as error:
        return Finding(
            "source",
            "lacks",
            f"{shown} does not answer ({str(error).splitlines()[0].rpartition(': ')[2]})",
            "check the network, ingestion.source.root, and fs_args in globals.yml",
        )
    if not (entries.folders or entries.files):
        return Finding(
            "source", "lacks", f"{shown} holds nothing", "check ingestion.source.root and batch"
        )
    return Finding("source", "ok", f"{shown} answers")


def weights_of(what: str, kind: str, model_id: str | None) -> Finding:
    """Whether a backbone's weights are here, or can be had."""
    if model_id is None or kind not in ("transformers", "transformer", "timm"):
        return Finding(what, "ok", f"{kind}: no weights are needed")
    if Path(model_id).is_dir():
        return Finding(what, "ok", f"a folder of this machine, {Path(model_id).name}")
    if kind == "timm":
        return Finding(what, "note", f"timm fetches {model_id} when it is needed")
    return of_hub(what, model_id)


def of_hub(what: str, model_id: str, ask: Callable[[str], object] | None = None) -> Finding:
    """Whether a model is in the cache of this machine, or the hub gives it."""
    from huggingface_hub import get_token, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(try_to_load_from_cache(model_id, "config.json"), str):
        return Finding(what, "ok", f"{model_id} is in the cache of this machine")
    has_token = "a token is present" if get_token() else "there is no token"
    try:
        (ask or _asked)(model_id)
    except GatedRepoError:
        fix = f"ask at https://huggingface.co/{model_id}; a token goes into .env as HF_TOKEN="
        return Finding(what, "lacks", f"{model_id} needs approval; {has_token}", fix)
    except RepositoryNotFoundError:
        return Finding(what, "lacks", f"the hub has no {model_id}", "check the backbone's model_id")
    except Exception as error:  # of the network, in many kinds
        return Finding(
            what,
            "lacks",
            f"{model_id} is not in the cache, and the hub does not answer "
            f"({type(error).__name__}); {has_token}",
            "connect, or name a folder that holds the weights as model_id",
        )
    return Finding(what, "ok", f"{model_id} can be had from the hub; {has_token}")


def _asked(model_id: str) -> object:
    """Ask for the smallest file: a page about a gated model is open to all."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    return get_hf_file_metadata(hf_hub_url(model_id, "config.json"), timeout=_SECONDS)
