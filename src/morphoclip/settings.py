"""Project settings: the environment first, then Kedro's."""

import logging
import os
import sysconfig
from pathlib import Path
from typing import Any

from dotenv import load_dotenv

PROJECT_PATH = Path(__file__).resolve().parents[2]

# .env holds what belongs to a machine; what the shell says wins.
load_dotenv(PROJECT_PATH / ".env", override=False)

# A blank MORPHOCLIP_DATA is none (it would be the root of the disk), and ~ is the home folder.
_DATA = os.environ.get("MORPHOCLIP_DATA", "").strip()
if _DATA:
    os.environ["MORPHOCLIP_DATA"] = str(Path(_DATA).expanduser()) if _DATA[0] == "~" else _DATA
else:
    os.environ.pop("MORPHOCLIP_DATA", None)

# Nothing calls out: Kedro and MLflow both send telemetry unless they are told not to. This stands
# before any plugin imports mlflow.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

# Plugins start programs by name (kedro mlflow ui): those beside this Python, also where the
# environment is used by its path and not activated.
_PROGRAMS = sysconfig.get_path("scripts")
if _PROGRAMS not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join([_PROGRAMS, os.environ.get("PATH", "")])

# What mlflow says of kedro-mlflow's class, and FastAPI of kedro-viz's, at every command.
_OTHERS_WARNINGS = ("Add type hints to the `predict` method", "ORJSONResponse is deprecated")
logging.getLogger("py.warnings").addFilter(
    lambda record: not any(words in record.getMessage() for words in _OTHERS_WARNINGS)
)

from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from morphoclip.conf_files import CheckedConfigLoader
from morphoclip.hooks.claims import ClaimWhatIsWritten
from morphoclip.hooks.run import NameTheReport, StopBeforeMissingInputs
from morphoclip.hooks.tracking import LogArtifacts, LogTypedParameters, PrepareTracking
from morphoclip.hooks.versions import PinVersions


def copied(url: str, copies: str, part: str, endpoint: str | None) -> str:
    """Where a part of a source is read: here, where pipeline `fetch` brought all of it."""
    if "://" not in url:
        return url
    from morphoclip.remote.copies import Copy

    copy = Copy(url, Path(copies), endpoint)
    return copy.place.as_posix() if copy.is_whole(part) else url


def with_endpoint(options: DictConfig, url: str | None) -> dict[str, Any]:
    """How a source is opened, by the S3 store at this address."""
    plain: Any = OmegaConf.to_container(options)
    return {**plain, "endpoint_url": url}


def mlflow_artifacts() -> str | None:
    """A folder beside MLflow's sqlite file; None where a server keeps artifacts itself."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{PROJECT_PATH}/mlflow.db")
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri()


CONFIG_LOADER_CLASS = CheckedConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {
        "project_path": lambda: PROJECT_PATH.as_posix(),
        "mlflow_artifacts": mlflow_artifacts,
        "oc.env": oc.env,
        "below_project": lambda path: Path(PROJECT_PATH, path).as_posix(),
        "copied": copied,
        "with_endpoint": with_endpoint,
        "first_of": lambda *values: next((value for value in values if value), None),
    },
}

HOOKS = (
    ClaimWhatIsWritten(),
    PinVersions(),
    PrepareTracking(),
    StopBeforeMissingInputs(),
    LogTypedParameters(),
    LogArtifacts(),
    NameTheReport(),
)
